/** Copies that are ended: by a start, by a removal, by a refusal. What others wait for, and what is left. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { archive } from "../../src/tar/tar-fixture.ts";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd } from "../harness/workspace.ts";
import { copying, unread } from "./going.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine?.[Symbol.asyncDispose]());

const none = ["--network", "none"];

function ok(...args: string[]): Promise<string> {
  return engine.daemon.ok(...args);
}

function upload(place: string): LiveCommand {
  return new LiveCommand([tsd, "cp", "-", place], engine.daemon.env);
}

/** An upload by hand, for no client waits with its first byte. */
function rawUpload(
  container: string,
  path: string,
): { socket: Socket; answer: { text: string }; closed: Promise<void> } {
  const socket = connect(engine.daemon.socket);
  const answer = { text: "" };
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => undefined); // the daemon closes while this writes
  socket.on("data", (data) => {
    answer.text += data;
  });
  const head = `PUT /containers/${container}/archive?path=${path} HTTP/1.1\r\nHost: tsd\r\nTransfer-Encoding: chunked`;
  socket.write(`${head}\r\n\r\n`);
  return { socket, answer, closed };
}

function chunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

const half = archive([{ name: "w", data: "x".repeat(100_000) }]).subarray(0, 50_000);

test("a container that starts again takes its files from copies of its earlier run", async () => {
  const script = "[ -e /big ] || dd if=/dev/zero of=/big bs=1M count=40 2>/dev/null; sleep 1000";
  await ok("run", "-d", ...none, "--name", "again", engine.busybox, "sh", "-c", script);
  await until(
    "the file is whole",
    async () => (await ok("exec", "again", "sh", "-c", "ls -A /root; wc -c < /big")) === "41943040",
  );
  await using reading = await unread(engine, "again", "/big");
  await using writing = upload("again:/root");
  await writing.write(half);
  const children = [...(await copying(engine, "read")), ...(await copying(engine, "write"))];
  await ok("kill", "again");
  await ok("wait", "again");
  expect(children.map((pid) => existsSync(`/proc/${pid}`))).toEqual([true, true]);
  await ok("start", "again");
  expect(children.map((pid) => existsSync(`/proc/${pid}`))).toEqual([false, false]);
  await expect(reading.response.bytes()).rejects.toThrow();
  expect([await writing.end(), writing.stderr.trim()]).toEqual([
    1,
    "Error response from daemon: container again: /root: container again was started again meanwhile",
  ]);
  expect(await ok("exec", "again", "sh", "-c", "ls -A /root; wc -c < /big")).toBe("41943040");
  await ok("rm", "-f", "again");
});

test("a container is removed by force however slowly somebody writes into it", async () => {
  await ok("create", ...none, "--name", "slow", engine.busybox, "sleep", "1000");
  await using writing = upload("slow:/root");
  await writing.write(half);
  await copying(engine, "write");
  const waiting = rawUpload("slow", "/root");
  waiting.socket.write(chunk(half));
  await ok("version"); // it has come by then
  await ok("rm", "-f", "slow");
  expect([await writing.end(), writing.stderr]).toEqual([1, expect.stringContaining("slow was removed meanwhile")]);
  await waiting.closed;
  expect(waiting.answer.text).toMatch(/^HTTP\/1.1 409 .*slow was removed meanwhile/s);
});

test("a container does not wait for who has sent nothing yet", async () => {
  await ok("create", ...none, "--name", "silent", engine.busybox, "sleep", "1000");
  const { socket, answer, closed } = rawUpload("silent", "/root");
  // Whatever the daemon does of it, it has done when it answers to what came later.
  await ok("version");
  await ok("start", "silent");
  socket.write(chunk(archive([{ name: "late", data: "late" }])));
  socket.write("0\r\n\r\n");
  await until("it is answered", () => answer.text.includes("\r\n\r\n"));
  expect(answer.text).toStartWith("HTTP/1.1 200 ");
  expect(await ok("exec", "silent", "cat", "/root/late")).toBe("late");
  socket.destroy();
  await closed;
  await ok("rm", "-f", "silent");
});

test("who sends what is refused is told at once, and not listened to any more", async () => {
  await ok("create", ...none, "--name", "refusing", engine.busybox);
  const { socket, answer, closed } = rawUpload("refusing", "/none");
  const piece = chunk(Buffer.alloc(2 ** 20, "x"));
  let [sent, most] = [0, 200 * piece.length];
  const send = () => {
    while (!socket.destroyed && sent < most) {
      sent += piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", send);
  send();
  await closed;
  expect(answer.text).toMatch(/^HTTP\/1.1 404 .*\r\n(.*\r\n)*connection: close\r\n/i);
  expect(sent).toBeLessThan(most);
  // Who sends nothing at all any more is not waited for, either.
  const silent = rawUpload("refusing", "/none");
  silent.socket.write(piece.subarray(0, 1000));
  await silent.closed;
  expect(silent.answer.text).toStartWith("HTTP/1.1 404 ");
  await ok("rm", "refusing");
});

test("users are the container's own, wherever its first process has gone", async () => {
  const away = ["--userns", "auto", "--security-opt", "seccomp=unconfined", "--name", "away"];
  const script = "chown 5:6 /etc/passwd; exec unshare -U sleep 1000";
  await ok("run", "-d", ...none, ...away, engine.busybox, "sh", "-c", script);
  const pid = await ok("inspect", "-f", "{{.State.Pid}}", "away");
  await until("it has gone", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
  await using writing = upload("away:/root");
  await writing.write(archive([{ name: "f", data: "f", uid: 1000, gid: 29 }]));
  await writing.endInput();
  expect([await writing.end(), writing.stderr]).toEqual([0, ""]);
  const list = `for path in /root/f /etc/passwd; do ${tsd} cp away:$path - | tar -tv --numeric-owner; done`;
  await using listing = new LiveCommand(["sh", "-c", list], engine.daemon.env);
  expect([await listing.end(), listing.stdout]).toEqual([0, expect.stringMatching(/ 1000\/29 .*\n.* 5\/6 /)]);
  await ok("rm", "-f", "away");
});
