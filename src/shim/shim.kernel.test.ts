import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ShimClient } from "./client.ts";
import { Connection } from "./connection.ts";
import { readExitRecord, readShimRecord } from "./records.ts";
import { readToEnd, TestShim, unframe, untilStill } from "./testing/shim-process.ts";

/** More for a soak: `TSD_BULK_BYTES=200000000`. */
const SIGUSR1 = 10;
const bulkBytes = Number(process.env.TSD_BULK_BYTES ?? 11_000_000);

const both = { stdin: false, stdout: true, stderr: true };

describe("a shim", () => {
  test("runs a container from first to last byte, logs it, and records its end", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach(both);
    const { pid, startedAt } = await shim.client.run(shim.container("echo out; echo error >&2; printf end; exit 7"));
    expect(pid).toBeGreaterThan(1);
    expect(unframe(await readToEnd(stream))).toEqual({ stdout: "out\nend", stderr: "error\n" });
    const exit = await shim.client.wait();
    expect(exit).toMatchObject({ exitCode: 7, signal: null, oomKilled: false, pid });
    expect(exit.finishedAt >= startedAt).toBe(true);
    expect(readExitRecord(shim.stateDir)).toEqual(exit);
    expect(readShimRecord(shim.stateDir)).toMatchObject({ id: "test", pid, startedAt, socket: shim.socketPath });
    const logged = shim.logged;
    expect(logged.filter(({ stream: name }) => name === "stdout").map(({ log }) => log)).toEqual(["out\n", "end"]);
    expect(logged.filter(({ stream: name }) => name === "stderr").map(({ log }) => log)).toEqual(["error\n"]);
    await shim.client.release();
    expect(await shim.exited).toBe(0);
    expect(existsSync(shim.socketPath)).toBe(false);
  });

  test("reports a signal as shells do", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    await shim.client.signal(9);
    expect(await shim.client.wait()).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
    await expect(shim.client.signal(15)).rejects.toMatchObject({ code: "conflict" });
  });

  test("keeps its files to itself", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exit 0"));
    await shim.client.wait();
    for (const [path, mode] of [
      [shim.socketPath, 0o600],
      [shim.stateDir, 0o700],
      [join(shim.stateDir, "exit.json"), 0o600],
      [join(shim.stateDir, "shim.json"), 0o600],
      [shim.logPath, 0o600],
    ] as const) {
      expect([path, statSync(path).mode & 0o777]).toEqual([path, mode]);
    }
  });

  test("spare, ends with its last client", async () => {
    await using shim = await TestShim.start();
    const other = await ShimClient.connect(shim.socketPath);
    expect(await other.hello()).toMatchObject({ status: "spare", containerId: null, pid: shim.pid });
    shim.client.close();
    await Bun.sleep(50);
    expect((await other.state()).status).toBe("spare");
    other.close();
    expect(await shim.exited).toBe(0);
    expect(existsSync(shim.socketPath)).toBe(false);
  });

  test("spare, ends with the client that could have started it, whoever is attached", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach(both);
    shim.client.close();
    expect(await stream.read()).toBeUndefined();
    expect(await shim.exited).toBe(0);
  });

  test("says what is wrong with a container that cannot start, leaves nothing, and can be tried again", async () => {
    await using shim = await TestShim.start();
    const broken = shim.container("");
    const config = JSON.parse(readFileSync(join(broken.bundle, "config.json"), "utf8"));
    config.process.args = ["nothing"];
    writeFileSync(join(broken.bundle, "config.json"), JSON.stringify(config));
    const stream = await shim.client.attach(both);
    await expect(shim.client.run(broken)).rejects.toMatchObject({
      code: "command_not_found",
      message: expect.stringContaining('exec: "nothing": executable file not found in $PATH'),
    });
    expect(await readToEnd(stream)).toHaveLength(0);
    expect(existsSync(join(broken.runtimeRoot, "test"))).toBe(false);
    expect((await shim.client.state()).status).toBe("spare");
    await shim.client.run(shim.container("exit 3"));
    expect(await shim.client.wait()).toMatchObject({ exitCode: 3 });
  });

  test("takes one container only, and refuses what needs one before", async () => {
    await using shim = await TestShim.start();
    for (const early of [() => shim.client.wait(), () => shim.client.signal(9), () => shim.client.closeStdin()]) {
      await expect(early()).rejects.toMatchObject({ code: "conflict", message: "this shim has no container yet" });
    }
    await shim.client.run(shim.container("exec sleep 100"));
    await expect(shim.client.run(shim.container("exit 0"))).rejects.toMatchObject({ code: "conflict" });
    await expect(shim.client.release()).rejects.toMatchObject({
      code: "conflict",
      message: "container test is running",
    });
    await shim.client.release({ force: true });
    expect(await shim.exited).toBe(0);
    expect(readExitRecord(shim.stateDir)).toMatchObject({ exitCode: 137 });
  });

  test("survives garbage", async () => {
    await using shim = await TestShim.start();
    const ask = async (
      line: string | Uint8Array,
    ): Promise<{ ok: boolean; id: unknown; error: { message: string } }> => {
      const connection = await Connection.open(shim.socketPath);
      await connection.write(line);
      const answer = Buffer.from((await connection.read())!).toString();
      connection.close();
      return JSON.parse(answer);
    };
    const cases: [string | Uint8Array, string, number | null][] = [
      ["garbage\n", "the line is not JSON", null],
      [new Uint8Array([0xff, 0, 10]), "the line is not JSON", null],
      ["[]\n", "request must be an object", null],
      ['{"id":4}\n', "request.request must be a string, it is missing", 4],
      ['{"id":5,"request":"toString"}\n', 'there is no request "toString"', 5],
      ['{"id":6,"request":"signal","signal":"KILL"}\n', "signal.signal must be a whole number from 1 to 64", 6],
      ['{"id":7,"request":"run","container":{"id":"x"}}\n', "run.container.bundle must be an absolute path", 7],
      ['{"id":8,"request":"resize","rows":1,"columns":70000}\n', "resize.columns must be a whole number", 8],
    ];
    for (const [line, message, id] of cases) {
      const answer = await ask(line);
      expect(answer).toMatchObject({ ok: false, id });
      expect(answer.error.message).toContain(message);
    }
    const long = await ask(new Uint8Array(9 * 2 ** 20).fill(65));
    expect(long.error.message).toContain("longer than 8388608 bytes");
    expect(await shim.client.hello()).toMatchObject({ status: "spare" });
  });

  test("refuses a socket path that no socket can have", async () => {
    const path = `/var/tmp/${"x".repeat(100)}`;
    await expect(ShimClient.connect(path)).rejects.toThrow("socket path has 109 bytes, at most 107 fit");
    await expect(ShimClient.connect("/var/tmp/tsd-no-shim.sock")).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("attached clients", () => {
  test("several read the same, whenever they come", async () => {
    await using shim = await TestShim.start();
    const first = await shim.client.attach(both);
    await shim.client.run(shim.container("echo early; read go; echo late", { stdin: { open: true, once: false } }));
    const received = await first.read();
    expect(unframe(Buffer.from(received!)).stdout).toBe("early\n");
    const second = await shim.client.attach({ stdin: true, stdout: true, stderr: false });
    await second.write("go\n");
    expect(unframe(await readToEnd(first)).stdout).toBe("late\n");
    expect(unframe(await readToEnd(second)).stdout).toBe("late\n");
    await expect(shim.client.attach(both)).rejects.toMatchObject({
      code: "conflict",
      message: "container test has ended",
    });
  });

  test("give input, end it by half-closing, and read on", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    // Sent before there is a container to read it.
    await stream.write("one\n");
    stream.end();
    await shim.client.run(shim.container("cat; sleep 0.05; echo after", { stdin: { open: true, once: true } }));
    expect(unframe(await readToEnd(stream)).stdout).toBe("one\nafter\n");
    expect(await shim.client.wait()).toMatchObject({ exitCode: 0 });
  });

  test("leave input open for the next unless it is for one client", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("cat", { stdin: { open: true, once: false } }));
    const first = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    await first.write("one\n");
    first.end();
    await Bun.sleep(20);
    first.close();
    const second = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    await second.write("two\n");
    expect(unframe(Buffer.from((await second.read())!)).stdout).toBe("two\n");
    await shim.client.closeStdin();
    expect(await shim.client.wait()).toMatchObject({ exitCode: 0 });
    expect(shim.logged.map(({ log }) => log)).toEqual(["one\n", "two\n"]);
  });

  test("end the input with themselves when it is for one client", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("cat; exit 5", { stdin: { open: true, once: true } }));
    const stream = await shim.client.attach({ stdin: true, stdout: false, stderr: false });
    await stream.write("input\n");
    await Bun.sleep(20);
    stream.close();
    expect(await shim.client.wait()).toMatchObject({ exitCode: 5 });
    expect(shim.logged.map(({ log }) => log)).toEqual(["input\n"]);
  });

  test("gone together with the daemon end no input: a client of the next daemon goes on", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("cat; exit 5", { stdin: { open: true, once: true } }));
    const first = await shim.client.attach({ stdin: true, stdout: false, stderr: false });
    await first.write("one\n");
    first.close();
    shim.client.close();
    shim.client = await ShimClient.connect(shim.socketPath);
    const second = await shim.client.attach({ stdin: true, stdout: false, stderr: false });
    await second.write("two\n");
    await Bun.sleep(1200);
    second.end();
    expect(await shim.client.wait()).toMatchObject({ exitCode: 5 });
    expect(shim.logged.map(({ log }) => log)).toEqual(["one\n", "two\n"]);
  });

  test("gone before the start end the input that was to be theirs", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    stream.close();
    await Bun.sleep(20);
    await shim.client.run(shim.container("cat; exit 8", { stdin: { open: true, once: true } }));
    expect(await shim.client.wait()).toMatchObject({ exitCode: 8 });
  });

  test("feed the process as fast as it reads, byte for byte, whatever it makes of the end", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    const waiting = "trap go=1 USR1; until [ $go ]; do sleep 0.01; done; sha256sum";
    await shim.client.run(shim.container(waiting, { stdin: { open: true, once: true } }));
    const hash = createHash("sha256");
    const piece = new Uint8Array(300_007).map((_, index) => (index * 31) & 0xff);
    let written = 0;
    const sending = (async () => {
      for (; written < bulkBytes; written += piece.length) {
        await stream.write(piece);
        hash.update(piece);
      }
      stream.end();
    })();
    // Nobody reads yet: what is under way is what the buffers hold.
    await untilStill(() => written);
    expect(written).toBeLessThan(2_000_000);
    await shim.client.signal(SIGUSR1);
    await sending;
    expect(unframe(await readToEnd(stream)).stdout).toBe(`${hash.digest("hex")}  -\n`);
  }, 60_000);

  test("whose input the process does not read to the end are not stopped by it", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    const script = "trap 'echo end; exit' USR1; head -c 3; echo; exec <&-; while :; do sleep 0.01; done";
    await shim.client.run(shim.container(script, { stdin: { open: true, once: true } }));
    for (let sent = 0; sent < 40; sent++) await stream.write(new Uint8Array(100_000).fill(97));
    let first = ""; // It ends when all was written: a connection that is closed takes no more.
    while (!first.includes("aaa\n")) first += unframe(Buffer.from((await stream.read())!)).stdout;
    await shim.client.signal(SIGUSR1);
    expect(first + unframe(await readToEnd(stream)).stdout).toBe("aaa\nend\n");
  });

  test("that read slowly slow the container, lose nothing, and cost bounded memory", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach(both);
    const bytes = bulkBytes - (bulkBytes % 11);
    await shim.client.run(shim.container(`yes 0123456789 | head -c ${bytes}`));
    // While nobody reads, it comes to a stop, and before its end.
    const logged = await untilStill(() => statSync(shim.logPath).size);
    expect(logged).toBeGreaterThan(0);
    expect(logged).toBeLessThan(bytes);
    const anonymous = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${shim.pid}/status`, "utf8"))![1];
    expect(Number(anonymous)).toBeLessThan(100_000);
    const hash = createHash("sha256");
    let payload = 0;
    let rest = Buffer.alloc(0);
    for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 8 && rest.length >= 8 + rest.readUInt32BE(4)) {
        const length = rest.readUInt32BE(4);
        hash.update(rest.subarray(8, 8 + length));
        payload += length;
        rest = rest.subarray(8 + length);
      }
    }
    expect(payload).toBe(bytes);
    const line = Buffer.from("0123456789\n");
    const expected = createHash("sha256").update(Buffer.alloc(bytes, line)).digest("hex");
    expect(hash.digest("hex")).toBe(expected);
    expect(await shim.client.wait()).toMatchObject({ exitCode: 0 });
  }, 60_000);

  test("killed in the middle do not stop the container", async () => {
    await using shim = await TestShim.start();
    const client = Bun.spawn(
      [
        process.execPath,
        "-e",
        `const { ShimClient } = await import(${JSON.stringify(join(import.meta.dir, "client.ts"))});
         const client = await ShimClient.connect(${JSON.stringify(shim.socketPath)});
         const stream = await client.attach({ stdin: false, stdout: true, stderr: true });
         console.log("attached");
         await Bun.sleep(1e6);`,
      ],
      { stdout: "pipe", stderr: "ignore" },
    );
    try {
      await client.stdout.getReader().read();
      // More than every buffer on the way holds: the container waits for the client, which reads nothing.
      await shim.client.run(shim.container("yes $(printf %01999d 0) | head -c 20000000; echo done"));
      await Bun.sleep(100);
      expect((await shim.client.state()).attached).toBe(1);
    } finally {
      client.kill("SIGKILL");
    }
    expect(await shim.client.wait()).toMatchObject({ exitCode: 0 });
    expect(shim.logged.at(-1)!.log).toBe("done\n");
    expect(shim.logged).toHaveLength(10_001);
  }, 20_000);
});

describe("a terminal", () => {
  test("is shared, resized, and ends with the container", async () => {
    await using shim = await TestShim.start();
    const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
    const script = "stty size; stty -echo; echo ready; read line; echo got $line; stty size; tty >/dev/null && exit 4";
    await shim.client.run(shim.container(script, { terminal: true, consoleSize: { rows: 11, columns: 22 } }));
    let output = "";
    const readUntil = async (text: string) => {
      while (!output.includes(text)) output += Buffer.from((await stream.read()) ?? Buffer.from("(ended)"));
    };
    await readUntil("ready\r\n");
    expect(output).toBe("11 22\r\nready\r\n");
    await shim.client.resize(33, 44);
    await stream.write("hello\n");
    output += (await readToEnd(stream)).toString();
    expect(output).toBe("11 22\r\nready\r\ngot hello\r\n33 44\r\n");
    expect(await shim.client.wait()).toMatchObject({ exitCode: 4 });
    expect(shim.logged.map(({ log }) => log).join("")).toBe(output);
  });

  test("outlives a hang-up: an init may close its console and open it again", async () => {
    await using shim = await TestShim.start();
    const script = 'me=$(tty); echo one; exec </dev/null >/dev/null 2>&1; sleep 0.5; echo two >"$me"; sleep 0.5';
    await shim.client.run(shim.container(script, { terminal: true }));
    const stream = await shim.client.attach({ stdin: false, stdout: true, stderr: true });
    expect((await readToEnd(stream)).toString()).toEndWith("two\r\n");
    expect(shim.logged.map(({ log }) => log)).toEqual(["one\r\n", "two\r\n"]);
  });

  test("is refused to a process that has none", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    await expect(shim.client.resize(1, 1)).rejects.toMatchObject({ code: "conflict" });
  });
});

describe("output that outlives its process", () => {
  test("is waited for only for a moment when another process holds the pipe", async () => {
    await using shim = await TestShim.start();
    const started = performance.now();
    await shim.client.run(shim.container("echo before; (sleep 30; echo never) & exit 6"));
    expect(await shim.client.wait()).toMatchObject({ exitCode: 6 });
    expect(performance.now() - started).toBeLessThan(25_000);
    expect(shim.logged.map(({ log }) => log)).toEqual(["before\n"]);
  });
});

describe("exec", () => {
  const process = (script: string) => ({ args: ["sh", script], cwd: "/" });

  test("runs processes beside the first, each with its own streams and status", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    const optionsA = { execId: "a", process: process("cat; exit 3"), terminal: false, stdin: true };
    const { stream: a, started } = await shim.client.execAttached(optionsA, {
      stdin: true,
      stdout: true,
      stderr: true,
    });
    const optionsB = { execId: "b", process: process("stty size; exit 4"), terminal: true, stdin: false };
    const { stream: b } = await shim.client.execAttached(optionsB, { stdin: false, stdout: true, stderr: true });
    await a.write("input");
    a.end();
    expect(unframe(await readToEnd(a)).stdout).toBe("input");
    expect(await shim.client.wait("a")).toMatchObject({ exitCode: 3, pid: started.pid });
    expect((await readToEnd(b)).toString()).toBe("0 0\r\n");
    expect(await shim.client.wait("b")).toMatchObject({ exitCode: 4 });
    expect((await shim.client.state()).execs.map(({ execId, running }) => [execId, running])).toEqual([
      ["a", false],
      ["b", false],
    ]);
    expect(shim.logged).toEqual([]);
    expect((await shim.client.state()).status).toBe("running");
  });

  test("is signalled alone", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    await expect(shim.client.signal(15, { execId: "x" })).rejects.toMatchObject({ code: "not_found" });
    await shim.client.exec({ execId: "x", process: process("exec sleep 100"), terminal: false, stdin: false });
    await shim.client.signal(15, { execId: "x" });
    expect(await shim.client.wait("x")).toMatchObject({ exitCode: 143, signal: "SIGTERM" });
    expect((await shim.client.state()).status).toBe("running");
  });

  test("refuses a container that has ended, a taken id, an unknown one, and a program that is not there", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    const options = { execId: "x", process: process("exec sleep 100"), terminal: false, stdin: false };
    await shim.client.exec(options);
    await expect(shim.client.exec(options)).rejects.toMatchObject({ code: "already_exists" });
    const streams = { stdin: false, stdout: true, stderr: true };
    await expect(shim.client.execAttached(options, streams)).rejects.toMatchObject({ code: "already_exists" });
    await expect(shim.client.wait("y")).rejects.toMatchObject({ code: "not_found", message: "no such exec: y" });
    const missing = { ...options, execId: "z", process: { args: ["nothing"], cwd: "/" } };
    await expect(shim.client.exec(missing)).rejects.toMatchObject({ code: "command_not_found" });
    await expect(shim.client.execAttached(missing, streams)).rejects.toMatchObject({ code: "command_not_found" });
    await shim.client.signal(9);
    await shim.client.wait();
    const late = { ...options, execId: "late" };
    const refusal = { code: "conflict", message: "container test is not running" };
    await expect(shim.client.exec(late)).rejects.toMatchObject(refusal);
    await expect(shim.client.execAttached(late, streams)).rejects.toMatchObject(refusal);
  });

  test("statuses are kept for a while and not for ever", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    const ids = Array.from({ length: 70 }, (_, index) => `exec-${index}`);
    await Promise.all(
      ids.map((execId) => shim.client.exec({ execId, process: process("exit 1"), terminal: false, stdin: false })),
    );
    const ended = async () => (await shim.client.state()).execs.every(({ running }) => !running);
    while (!(await ended())) await Bun.sleep(10);
    // Nobody has heard of any of them so far.
    for (const execId of ids) expect(await shim.client.wait(execId)).toMatchObject({ exitCode: 1 });
    const { execs } = await shim.client.state();
    expect(execs.length).toBe(64);
    await expect(shim.client.wait("exec-0")).rejects.toMatchObject({ code: "not_found" });
    expect(await shim.client.wait("exec-69")).toMatchObject({ exitCode: 1 });
  }, 30_000);
});

describe("without its daemon", () => {
  test("a shim with a container goes on, and the next daemon finds everything", async () => {
    await using shim = await TestShim.start();
    const script = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.05; done; exit 9";
    await shim.client.run(shim.container(script));
    shim.client.close();
    await Bun.sleep(100);
    const record = readShimRecord(shim.stateDir)!;
    shim.client = await ShimClient.connect(record.socket);
    expect(await shim.client.hello()).toMatchObject({ status: "running", containerId: "test" });
    const stream = await shim.client.attach(both);
    expect(unframe(await readToEnd(stream)).stdout).toEndWith("8\n");
    expect(await shim.client.wait()).toMatchObject({ exitCode: 9 });
    expect(shim.logged.map(({ log }) => log).join("")).toBe("1\n2\n3\n4\n5\n6\n7\n8\n");
  });

  test("a shim whose container has ended leaves the record and goes", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("sleep 0.1; echo last words; exit 9"));
    shim.client.close();
    expect(await shim.exited).toBe(0);
    expect(readExitRecord(shim.stateDir)).toMatchObject({ exitCode: 9 });
    expect(shim.logged.map(({ log }) => log)).toEqual(["last words\n"]);
    expect(existsSync(join(shim.directory, "runtime", "test"))).toBe(false);
  });

  test("a shim with a container does not end because it is asked to", async () => {
    await using shim = await TestShim.start();
    await shim.client.run(shim.container("exec sleep 100"));
    process.kill(shim.pid, "SIGTERM");
    await Bun.sleep(50);
    expect((await shim.client.state()).status).toBe("running");
    expect(shim.shimLog).toContain("SIGTERM is not heeded");
  });

  test("a shim whose own log is on a full disk goes on", async () => {
    await using shim = await TestShim.start("/dev/full");
    await shim.client.run(shim.container("sleep 0.2; exit 6"));
    for (let round = 0; round < 3; round++) process.kill(shim.pid, "SIGTERM");
    expect(await shim.client.wait()).toMatchObject({ exitCode: 6 });
  });

  test("killed itself leaves no exit status that nobody knows", async () => {
    await using shim = await TestShim.start();
    const { pid } = await shim.client.run(shim.container("exec sleep 100"));
    const waiting = shim.client.wait();
    process.kill(shim.pid, "SIGKILL");
    await expect(waiting).rejects.toMatchObject({ code: "unavailable" });
    expect(readExitRecord(shim.stateDir)).toBeUndefined();
    expect(readShimRecord(shim.stateDir)).toMatchObject({ pid });
    process.kill(pid, "SIGKILL");
  });
});
