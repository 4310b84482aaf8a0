/** What goes through a container's standard streams, attached and in its log. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { command, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

const total = 100_000_000;
/** 100 MB of lines that differ, and their digest on standard error. */
const flood = "head -c 75000000 /dev/urandom | base64 | head -c 100000000 | tee /dev/fd/3 | sha256sum >&2";

/** A program's standard output, counted and hashed as it comes. */
async function measure(argv: string[]): Promise<{ bytes: number; sha256: string; stderr: string; status: number }> {
  const child = Bun.spawn(argv, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...engine.daemon.env },
  });
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of child.stdout) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  const [stderr, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  return { bytes, sha256: hash.digest("hex"), stderr, status };
}

test("100 MB through standard output arrive whole, attached and in the log", async () => {
  const attached = await measure([tsd, "run", "--name", "flood", engine.busybox, "sh", "-c", `exec 3>&1; ${flood}`]);
  expect(attached.status).toBe(0);
  expect(attached.bytes).toBe(total);
  expect(attached.stderr.trim()).toBe(`${attached.sha256}  -`);
  const logged = await measure([tsd, "logs", "flood"]);
  expect({ ...logged, stderr: logged.stderr.trim() }).toEqual({ ...attached, stderr: attached.stderr.trim() });
  await engine.daemon.ok("rm", "flood");
});

test("50 MB of input come back whole through cat", async () => {
  const input = new Uint8Array(50_000_000);
  for (let at = 0; at < input.length; at += 65536) crypto.getRandomValues(input.subarray(at, at + 65536));
  const child = Bun.spawn([tsd, "run", "-i", "--rm", engine.busybox, "cat"], {
    stdin: new Blob([input]),
    stdout: "pipe",
    env: { ...process.env, ...engine.daemon.env },
  });
  const output = await new Response(child.stdout).bytes();
  expect(await child.exited).toBe(0);
  expect(Bun.hash(output)).toBe(Bun.hash(input));
});

test("standard output and standard error stay apart, attached and in the log", async () => {
  const args = ["run", "--name", "two", engine.busybox, "sh", "-c", "echo out; echo err >&2; printf end"];
  const expected = { status: 0, stdout: "out\nend", stderr: "err\n" };
  expect(await engine.tsd(args)).toEqual(expected);
  expect(await engine.tsd(["logs", "two"])).toEqual(expected);
  await engine.daemon.ok("rm", "two");
});

test("-a chooses the streams", async () => {
  const script = "echo out; echo err >&2";
  expect(await engine.run(["-a", "stdout"], ["sh", "-c", script])).toEqual({ status: 0, stdout: "out\n", stderr: "" });
  expect(await engine.run(["-a", "stderr"], ["sh", "-c", script])).toEqual({ status: 0, stdout: "", stderr: "err\n" });
});

test("the command's output after the end of its input still arrives", async () => {
  const result = await engine.run(["-i"], ["sh", "-c", "cat >/dev/null; echo late; echo later >&2; exit 5"], {
    stdin: "x",
  });
  expect(result).toEqual({ status: 5, stdout: "late\n", stderr: "later\n" });
});

test("a command that does not read its input ends all the same", async () => {
  const child = Bun.spawn([tsd, "run", "-i", "--rm", engine.busybox, "echo", "done"], {
    stdin: "pipe",
    stdout: "pipe",
    env: { ...process.env, ...engine.daemon.env },
  });
  // The input stays open: only the command's end can end it.
  expect(await new Response(child.stdout).text()).toBe("done\n");
  expect(await child.exited).toBe(0);
  child.stdin.end();
});

test("a reader that closes the pipe ends run, as docker, with 1, and exec by SIGPIPE; the container goes on into its log", async () => {
  const script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
  const pipeline = `"$0" run --name cut ${engine.busybox} sh -c '${script}' | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const result = await command(["bash", "-c", pipeline, tsd], { env: engine.daemon.env });
  expect(result.stdout.split("\n")[0]).toBe("line 0");
  expect(await engine.daemon.ok("wait", "cut")).toBe("0");
  const lines = (await engine.daemon.ok("logs", "cut")).split("\n");
  expect(lines.length).toBe(20000);
  expect(lines.at(-1)).toBe("line 19999");
  expect(result.stdout.split("\n")[1]).toBe("1");
  expect(result.stderr).toBe("write /dev/stdout: broken pipe\n");
  const start = `"$0" start -a cut | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const started = await command(["bash", "-c", start, tsd], { env: engine.daemon.env });
  expect(started.stdout).toBe("line 0\n1\n");
  const flags = "--rm --sig-proxy=false";
  const alone = `"$0" run ${flags} ${engine.busybox} sh -c '${script}' | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const ended = await command(["bash", "-c", alone, tsd], { env: engine.daemon.env });
  expect(ended).toEqual({ status: 0, stdout: "line 0\n141\n", stderr: "" });
  await engine.daemon.ok("rm", "-f", "cut");
});

test("a slow reader slows the command and loses nothing", async () => {
  const child = Bun.spawn([tsd, "run", "--rm", engine.busybox, "sh", "-c", "head -c 8000000 /dev/zero | tr '\\0' x"], {
    stdout: "pipe",
    env: { ...process.env, ...engine.daemon.env },
  });
  let bytes = 0;
  for await (const chunk of child.stdout) {
    bytes += chunk.byteLength;
    if (bytes < 2_000_000) await Bun.sleep(1);
  }
  expect(bytes).toBe(8_000_000);
  expect(await child.exited).toBe(0);
});

test("bytes that are no text arrive as they are, and in the log too", async () => {
  const script = "for i in 0 1 2 3; do printf '\\000\\377\\303\\050\\r\\n'; done";
  const expected = Buffer.from([0, 255, 0xc3, 0x28, 13, 10]);
  const child = Bun.spawnSync([tsd, "run", "--name", "bytes", engine.busybox, "sh", "-c", script], {
    env: { ...process.env, ...engine.daemon.env },
  });
  expect(child.stdout.equals(Buffer.concat([expected, expected, expected, expected]))).toBe(true);
  await engine.daemon.ok("rm", "bytes");
});

test("logs follows until the end, cuts the tail, and shows times", async () => {
  await engine.start(["--name", "talker"], "sh", "-c", "echo one; echo two; read line; echo $line", "-");
  await engine.daemon.ok("rm", "-f", "talker");
  const id = await engine.start(
    ["-i", "--name", "follower"],
    "sh",
    "-c",
    "echo one; echo two; read line; echo got $line",
  );
  const follow = engine.tsd(["logs", "-f", "follower"]);
  await until("two lines are in the log", async () => (await engine.daemon.ok("logs", "follower")) === "one\ntwo");
  expect(await engine.daemon.ok("logs", "--tail", "1", "follower")).toBe("two");
  expect(await engine.daemon.ok("logs", "-n", "0", "follower")).toBe("");
  const stamped = await engine.daemon.ok("logs", "-t", "--tail", "1", "follower");
  expect(stamped).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z two$/);
  const attached = await engine.tsd(["attach", "follower"], { stdin: "three\n" });
  expect(attached).toEqual({ status: 0, stdout: "got three\n", stderr: "" });
  expect(await follow).toEqual({ status: 0, stdout: "one\ntwo\ngot three\n", stderr: "" });
  await engine.daemon.ok("rm", id);
});

test("attach carries input and output of a running container and gives its status", async () => {
  await engine.start(
    ["-i", "--name", "calc"],
    "sh",
    "-c",
    "while read a b && [ $a != end ]; do echo $((a+b)); done; exit 6",
  );
  const attached = await engine.tsd(["attach", "calc"], { stdin: "1 2\n30 40\nend\n" });
  expect(attached).toEqual({ status: 6, stdout: "3\n70\n", stderr: "" });
  await engine.daemon.ok("rm", "calc");
});

test("start -ai attaches before it starts", async () => {
  await engine.daemon.ok("create", "-i", "--name", "later", engine.busybox, "cat");
  expect(await engine.tsd(["start", "-ai", "later"], { stdin: "through\n" })).toEqual({
    status: 0,
    stdout: "through\n",
    stderr: "",
  });
  await engine.daemon.ok("rm", "later");
});
