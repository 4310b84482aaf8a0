/** The unmodified docker client's streams: whole, apart, half-closed, shared, slow; attach, exec and logs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { commandBytes, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(() => scene.close());

const mebibyte = 2 ** 20;
const none = ["run", "--rm", "--network", "none"];

/** 100 MiB that busybox makes, and this test too: numbered lines of 128 bytes. */
const lineCount = 819_200;
const padding = "x".repeat(121);
const writeLines = `seq -w 1 ${lineCount} | sed s/$/${padding}/`;

function linesDigest(): string {
  const hash = createHash("sha256");
  for (let line = 1; line <= lineCount; line++) hash.update(`${String(line).padStart(6, "0")}${padding}\n`);
  return hash.digest("hex");
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("output", () => {
  test("of 100 MiB arrives whole, attached and in the log", async () => {
    const args = ["run", "--network", "none", "--name", "big", scene.image, "sh", "-c", writeLines];
    const attached = await commandBytes(scene.argv(...args), { env: scene.daemon.env, timeoutMs: 100_000 });
    expect({ status: attached.status, stderr: attached.stderr }).toEqual({ status: 0, stderr: "" });
    const digest = linesDigest();
    expect(attached.stdout.byteLength).toBe(100 * mebibyte);
    expect(sha256(attached.stdout)).toBe(digest);
    const logs = await commandBytes(scene.argv("logs", "big"), { env: scene.daemon.env, timeoutMs: 100_000 });
    expect(sha256(logs.stdout)).toBe(digest);
    await scene.ok("rm", "big");
  });

  test("of an exec arrives whole, its two streams apart", async () => {
    await scene.background("writer", "exec sleep 1000");
    const script = "head -c 20000000 /dev/zero; head -c 10000000 /dev/zero | tr '\\0' x >&2";
    const result = await commandBytes(scene.argv("exec", "writer", "sh", "-c", script), { env: scene.daemon.env });
    expect([result.status, result.stdout.byteLength, result.stderr.length]).toEqual([0, 20_000_000, 10_000_000]);
    expect(sha256(result.stdout)).toBe(sha256(new Uint8Array(20_000_000)));
    expect(result.stderr.replaceAll("x", "")).toBe("");
    await scene.ok("rm", "-f", "writer");
  });

  test("waits for a slow reader, and is whole then", async () => {
    const count = 20_000_000;
    const script = `${scene.argv(...none, scene.image, "head", "-c", String(count), "/dev/zero").join(" ")} |
      { head -c 1 >/dev/null; until [ -e ${scene.workspace.path("go")} ]; do sleep 0.02; done; wc -c; }`;
    const reading = commandBytes(["sh", "-c", script], { env: scene.daemon.env });
    const running = await until("the container runs", async () => (await scene.ok("ps", "-q")) || undefined);
    // Nothing is dropped and nobody buffers without end: the writer is held up.
    const pid = await scene.ok("inspect", "-f", "{{.State.Pid}}", running);
    const blocked = async () => /\n?State:\s+S/.test(await Bun.file(`/proc/${pid}/status`).text());
    await until("the writer is held up", blocked);
    await Bun.write(scene.workspace.path("go"), "");
    expect(new TextDecoder().decode((await reading).stdout).trim()).toBe(String(count - 1));
  });
});

describe("input", () => {
  test("of 50 MB arrives whole, and its end is told: what the container says afterwards is heard", async () => {
    const input = new Uint8Array(50_000_000).map((_, index) => index * 31);
    const run = await scene.sh("sha256sum; echo after", ["-i"], { stdin: input });
    expect(run).toEqual({ status: 0, stdout: `${sha256(input)}  -\nafter\n`, stderr: "" });
    await scene.background("reader", "exec sleep 1000");
    const exec = await scene.docker(["exec", "-i", "reader", "sh", "-c", "sha256sum; echo after"], { stdin: input });
    expect(exec).toEqual({ status: 0, stdout: `${sha256(input)}  -\nafter\n`, stderr: "" });
    await scene.ok("rm", "-f", "reader");
  });

  test("reaches a container that was left and attached to again", async () => {
    await scene.ok("run", "-d", "-i", "--network", "none", "--name", "echoing", scene.image, "cat");
    await using first = scene.live("attach", "echoing");
    await first.write("one\n");
    await first.shows("one\n");
    first.kill("SIGKILL");
    await first.end();
    await using second = scene.live("attach", "echoing");
    await second.write("two\n");
    await second.shows("two\n");
    await second.endInput();
    // Started without an attached client, its standard input stays open for the next.
    expect(await scene.ok("inspect", "-f", "{{.State.Running}}", "echoing")).toBe("true");
    expect(second.stdout).toBe("two\n");
    expect(await scene.ok("logs", "echoing")).toBe("one\ntwo");
    await scene.ok("rm", "-f", "echoing");
    await second.end();
  });
});

describe("attach", () => {
  test("of two clients: both have the output and either writes", async () => {
    await scene.ok("run", "-d", "-i", "--network", "none", "--name", "shared", scene.image, "cat");
    await using first = scene.live("attach", "shared");
    await using second = scene.live("attach", "shared");
    const format = "{{len .ExecIDs}} {{.State.Running}}";
    expect(await scene.ok("inspect", "-f", format, "shared")).toBe("0 true");
    await until("both are attached", async () => {
      await first.write("knock\n");
      return first.stdout.includes("knock") && second.stdout.includes("knock");
    });
    await first.write("from first\n");
    await second.write("from second\n");
    for (const client of [first, second]) {
      await client.shows("from first\n");
      await client.shows("from second\n");
    }
    await scene.ok("kill", "shared");
    expect([await first.end(), await second.end()]).toEqual([137, 137]);
    await scene.ok("rm", "shared");
  });

  test("ends with the container's exit status, and is refused when nothing runs", async () => {
    await scene.background("ending", "read line; exit 6", ["-i"]);
    await using live = scene.live("attach", "ending");
    await live.write("go\n");
    expect(await live.end()).toBe(6);
    const refused = await scene.docker(["attach", "ending"]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("cannot attach to a stopped container, start it first");
    await scene.ok("rm", "ending");
  });
});

describe("exec", () => {
  beforeAll(async () => {
    await scene.background("host", "exec sleep 1000");
  });
  afterAll(() => scene.ok("rm", "-f", "host"));

  test("runs as told: user, directory, variables, status, in the background", async () => {
    const flags = ["-u", "alice", "-w", "/tmp", "-e", "A=b"];
    const result = await scene.docker(["exec", ...flags, "host", "sh", "-c", "id -un; pwd; echo $A; exit 5"]);
    expect(result).toEqual({ status: 5, stdout: "alice\n/tmp\nb\n", stderr: "" });
    expect(await scene.ok("exec", "-d", "host", "sh", "-c", "echo done > /tmp/mark")).toBe("");
    const read = () => scene.docker(["exec", "host", "cat", "/tmp/mark"]);
    await until("the background exec has written", async () => (await read()).stdout === "done\n");
    expect((await scene.docker(["exec", "host", "sh", "-c", "kill -9 $$"])).status).toBe(137);
  });

  test.each([
    [
      "a program that is not there",
      ["host", "absent-program"],
      127,
      'exec: "absent-program": executable file not found',
    ],
    [
      "a file that is no program",
      ["host", "/etc/not-executable"],
      126,
      'exec: "/etc/not-executable": permission denied',
    ],
    ["a directory that is not there", ["-w", "/absent", "host", "pwd"], 126, "chdir /absent: ENOENT"],
    ["a relative directory", ["-w", "relative", "host", "pwd"], 1, "it needs to be an absolute path"],
    ["a user that is not there", ["-u", "nobody-has-it", "host", "id"], 126, "unable to find user nobody-has-it"],
    ["a container that is not there", ["absent", "true"], 1, "No such container: absent"],
  ])("of %s fails with docker's status and the reason", async (_what, args, status, message) => {
    const result = await scene.docker(["exec", ...args]);
    expect(result.stdout + result.stderr).toContain(message);
    expect(result.status).toBe(status);
  });

  test("in a stopped container is refused, and ends with its container", async () => {
    await scene.background("short", "exec sleep 1000");
    await using live = scene.live("exec", "short", "sh", "-c", "echo up; sleep 1000");
    await live.shows("up");
    await scene.ok("kill", "short");
    expect(await live.end()).toBe(137);
    const refused = await scene.docker(["exec", "short", "true"]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("is not running");
    await scene.ok("rm", "short");
  });
});

describe("logs", () => {
  test("are shown in parts, with times, by stream, since and until", async () => {
    await scene.background("logged", "for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.05; done");
    await scene.ok("wait", "logged");
    const logs = (...args: string[]) => scene.docker(["logs", ...args, "logged"]);
    expect(await logs()).toEqual({ status: 0, stdout: "out1\nout2\nout3\n", stderr: "err1\nerr2\nerr3\n" });
    expect(await logs("--tail", "2")).toMatchObject({ stdout: "out3\n", stderr: "err3\n" });
    expect(await logs("--tail", "0")).toMatchObject({ stdout: "", stderr: "" });
    const timed = (await logs("-t")).stdout.trimEnd().split("\n");
    expect(timed[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out1$/);
    const third = timed[2]!.split(" ")[0]!;
    expect((await logs("--since", third)).stdout).toBe("out3\n");
    expect((await logs("--until", timed[1]!.split(" ")[0]!)).stdout).toBe("out1\nout2\n");
    expect((await logs("--since", "1h")).stdout).toBe("out1\nout2\nout3\n");
    expect((await logs("-f")).stdout).toBe("out1\nout2\nout3\n");
    expect((await logs("--since", "nonsense")).status).toBe(1);
    expect((await scene.docker(["logs", "absent"])).stderr).toContain("No such container: absent");
    await scene.ok("rm", "logged");
  });

  test("are followed line by line until the container ends, and through a start", async () => {
    await scene.background("followed", 'while read line; do echo "got $line"; done', ["-i"]);
    await using follower = scene.live("logs", "-f", "followed");
    await using late = scene.live("logs", "-f", "--tail", "0", "followed");
    await using writer = scene.live("attach", "followed");
    for (const word of ["one", "two"]) {
      await writer.write(`${word}\n`);
      await follower.shows(`got ${word}\n`);
    }
    await scene.ok("kill", "followed");
    expect(await follower.end()).toBe(0);
    expect(await late.end()).toBe(0);
    expect(follower.stdout).toBe("got one\ngot two\n");
    await scene.ok("rm", "followed");
  });

  test("of a container without a log driver are refused", async () => {
    await scene.background("unlogged", "echo lost", ["--log-driver", "none"]);
    await scene.ok("wait", "unlogged");
    const refused = await scene.docker(["logs", "unlogged"]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("configured logging driver does not support reading");
    await scene.ok("rm", "unlogged");
  });
});
