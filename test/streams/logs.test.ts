/** What logs show, to the byte, and attachments that begin with them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { Engine } from "../harness/engine.ts";
import { LiveCommand } from "../harness/live.ts";
import { dockerClient } from "../harness/packages.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

/** @returns once it is attached; everything that is sent then, with the payloads of docker's frames put together. */
async function attach(container: string, query: string): Promise<{ text: Promise<string> }> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const begun = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  const socket = connect({ path: engine.daemon.socket, allowHalfOpen: true });
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    begun.resolve();
  });
  socket.on("error", reject);
  socket.on("end", () => {
    socket.end();
    const bytes = Buffer.concat(chunks);
    const payloads: Buffer[] = [];
    for (let at = bytes.indexOf("\r\n\r\n") + 4; at < bytes.length; ) {
      const length = bytes.readUInt32BE(at + 4);
      payloads.push(bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
    resolve(Buffer.concat(payloads).toString());
  });
  socket.write(
    `POST /containers/${container}/attach?${query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`,
  );
  await begun.promise;
  return { text: promise };
}

function attachWebSocket(container: string, query: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = new WebSocket(`ws+unix://${engine.daemon.socket}:/containers/${container}/attach/ws?${query}`);
  socket.binaryType = "arraybuffer";
  let text = "";
  socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
    text += Buffer.from(data).toString();
  };
  socket.onclose = ({ code }) => resolve(code === 1000 ? text : `closed with ${code}`);
  return promise;
}

describe("attachments that begin with the log", () => {
  const lines = 20_000;
  const whole = Array.from({ length: lines }, (_, line) => `line ${line}\n${"part".repeat(line % 7)}`).join("");
  // awk writes through a buffer of its own, so that pieces begin and end anywhere.
  const script = `read go; awk 'BEGIN { for (i = 0; i < ${lines}; i++) { printf "line %d\\n", i; for (j = 0; j < i % 7; j++) printf "part"; if (i % 500 == 0) fflush() } }'; read end`;

  test("have every byte once, whenever they come, until the end", async () => {
    await engine.start(["-i", "--name", "joined"], "sh", "-c", script);
    const query = "logs=1&stream=1&stdout=1&stderr=1";
    const attached = [attachWebSocket("joined", query), (await attach("joined", query)).text];
    await using writer = new LiveCommand([tsd, "attach", "joined"], engine.daemon.env);
    await writer.write("go\n");
    for (let count = 0; count < 8; count++) attached.push((await attach("joined", query)).text);
    await writer.write("end\n");
    const texts = await Promise.all(attached);
    expect(texts.map((text) => text === whole || text.length)).toEqual(texts.map(() => true));
    expect((await engine.tsd(["logs", "joined"])).stdout === whole).toBe(true);
    await engine.daemon.ok("rm", "-f", "joined");
  });

  test("to a container that starts again have its last run, then the new one", async () => {
    await engine.daemon.ok("create", "--name", "again", engine.busybox, "sh", "-c", "echo run; printf end");
    await engine.daemon.ok("start", "-a", "again");
    const query = "logs=1&stream=1&stdout=1&stderr=1";
    const { text } = await attach("again", query);
    await engine.daemon.ok("start", "again");
    await engine.daemon.ok("wait", "again");
    expect(await text).toBe("run\nendrun\nend");
    expect((await engine.tsd(["logs", "again"])).stdout).toBe("run\nendrun\nend");
    expect(await (await attach("again", "logs=1&stdout=1&stderr=1")).text).toBe("run\nendrun\nend");
    await engine.daemon.ok("rm", "again");
  });
});

describe("logs", () => {
  for (const driver of ["json-file", "local"]) {
    test(`are shown to the byte by ${driver}: long lines, empty ones, none at the end, from the end, with times and details`, async () => {
      const long = "0123456789".repeat(4000);
      const script =
        "echo first; echo; awk 'BEGIN { for (i = 0; i < 4000; i++) printf \"0123456789\" }'; echo; printf 'a\\r\\tb\\n'; printf 'no end'";
      await engine.start(["--name", "exact", "--log-driver", driver], "sh", "-c", script);
      await engine.daemon.ok("wait", "exact");
      const all = `first\n\n${long}\na\r\tb\nno end`;
      const logs = (...args: string[]) => engine.tsd(["logs", ...args, "exact"]);
      expect(await logs()).toEqual({ status: 0, stdout: all, stderr: "" });
      expect((await logs("-n", "1")).stdout).toBe("no end");
      expect((await logs("-n", "2")).stdout).toBe("a\r\tb\nno end");
      expect((await logs("-n", "0")).stdout).toBe("");
      expect((await logs("-n", "100")).stdout).toBe(all);
      const stamped = (await logs("-t")).stdout;
      const time = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /g;
      // One for each line and, as docker has it, for each piece of 16 KiB of a long one.
      expect(stamped.match(time)).toHaveLength(7);
      expect(stamped.split(time).map((piece) => piece.length)).toEqual([0, 6, 1, 16_384, 16_384, 7233, 5, 6]);
      expect(stamped.replace(time, "")).toBe(all);
      expect((await logs("--details", "-n", "2")).stdout).toBe(" a\r\tb\n no end");
      const last = stamped.split("\n").at(-1)!.split(" ")[0]!;
      expect((await logs("--since", last)).stdout).toEndWith("no end");
      expect((await logs("--until", "2001-01-01T00:00:00Z")).stdout).toBe("");
      const docker = await engine.daemon.docker(["logs", "exact"]);
      expect(docker).toEqual({ status: 0, stdout: all, stderr: "" });
      await engine.daemon.ok("rm", "exact");
    });
  }

  test("are followed to the last byte while they are written fast, by tsd's client and docker's", async () => {
    const lines = 30_000;
    const whole = Array.from({ length: lines }, (_, line) => `${line + 1}\n`).join("");
    await engine.start(["-i", "--name", "fast"], "sh", "-c", `echo before; read go; seq 1 ${lines}; printf end`);
    await engine.untilLogs("fast", "before");
    await using follower = new LiveCommand([tsd, "logs", "-f", "fast"], engine.daemon.env);
    await using late = new LiveCommand([tsd, "logs", "-f", "-n", "0", "fast"], engine.daemon.env);
    await using docker = new LiveCommand([dockerClient(), "logs", "-f", "--tail", "1", "fast"], engine.daemon.env);
    await follower.shows("before\n");
    await docker.shows("before\n");
    await engine.tsd(["attach", "fast"], { stdin: "go\n" });
    expect([await follower.end(), await late.end(), await docker.end()]).toEqual([0, 0, 0]);
    expect(follower.stdout === `before\n${whole}end`).toBe(true);
    // From when it was there on, which may have been late.
    expect(`${whole}end`.endsWith(late.stdout)).toBe(true);
    expect(docker.stdout === `before\n${whole}end`).toBe(true);
    await engine.daemon.ok("rm", "fast");
  });

  test("are followed up to a restart or the container's removal; and it is an error when the daemon goes", async () => {
    const script = "echo one; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";
    await engine.start(["--name", "followed"], "sh", "-c", script);
    const argv = ["logs", "-f", "-n", "1", "followed"];
    const follow = async () => {
      const both = [tsd, dockerClient()].map((client) => new LiveCommand([client, ...argv], engine.daemon.env));
      for (const follower of both) await follower.shows("one\n");
      return both;
    };
    const before = await follow();
    await engine.daemon.ok("restart", "followed");
    const after = await follow();
    await engine.daemon.ok("rm", "-f", "followed");
    await engine.start(["--name", "followed"], "sh", "-c", script);
    const last = await follow();
    await engine.daemon.stop("SIGKILL");
    const ends = async (followers: LiveCommand[]) =>
      Promise.all(followers.map(async (follower) => ({ status: await follower.end(), stdout: follower.stdout })));
    const whole = { status: 0, stdout: "one\nbye\n" };
    expect(await ends(before)).toEqual([whole, whole]);
    const killed = { status: 0, stdout: "one\n" };
    expect(await ends(after)).toEqual([killed, killed]);
    const cut = { status: 1, stdout: "one\n" };
    expect(await ends(last)).toEqual([cut, cut]);
    expect(last.map(({ stderr }) => stderr.split("\n")[0])).toEqual([
      expect.stringContaining("went away in the middle of its answer"),
      "unexpected EOF",
    ]);
    await engine.daemon.start();
    expect((await engine.tsd(["logs", "followed"])).stdout).toBe("one\n");
    await engine.daemon.ok("rm", "-f", "followed");
  });
});
