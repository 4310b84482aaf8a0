/** What every runtime must do under a shim, in process or by its command line. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, processStat } from "../../ffi/process.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { newestReport, reportText } from "../runtime/failure-report.ts";
import { ShimClient } from "./client.ts";
import type { ShimContainer } from "./protocol.ts";
import { readExitRecord, readShimRecord } from "./records.ts";
import { BusyboxContainers, type BusyboxOptions, canRunContainers } from "./testing/busybox.ts";
import { readToEnd, TestShim, unframe } from "./testing/shim-process.ts";

const containers = new BusyboxContainers();
afterAll(() => containers[Symbol.dispose]());

const both = { stdin: false, stdout: true, stderr: true };

/** Of which memory there is a limit that a container can meet: the cgroup controller is there. */
const limitsMemory = existsSync("/sys/fs/cgroup/memory") || existsSync("/sys/fs/cgroup/memory.max");

function traces(options: ShimContainer): string[] {
  const found: string[] = [];
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  if (mounts.includes(options.bundle)) found.push("a mount");
  if (existsSync(join(options.runtimeRoot, options.id))) found.push("runtime state");
  for (const controller of readdirSync("/sys/fs/cgroup")) {
    if (existsSync(join("/sys/fs/cgroup", controller, options.id))) found.push(`a cgroup of ${controller}`);
  }
  return found;
}

const runtimes: { name: string; usable: boolean; options: BusyboxOptions }[] = [
  { name: "the built-in runtime", usable: true, options: {} },
  { name: "runc", usable: Bun.which("runc") !== null, options: { runtime: { path: "runc" } } },
];

for (const runtime of runtimes) {
  const make = (shim: TestShim, script: string, more: BusyboxOptions = {}) =>
    containers.make(shim, script, { ...runtime.options, ...more });

  describe.skipIf(!canRunContainers || !runtime.usable)(`a container of ${runtime.name}`, () => {
    test("is created, attached, executed in, and leaves nothing", async () => {
      await using shim = await TestShim.start();
      const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
      const options = make(shim, "touch /made; echo out; echo error >&2; cat; exit 7", {
        stdin: { open: true, once: true },
      });
      const { pid } = await shim.client.run(options);
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(options.id);
      const process = {
        args: ["sh", "-c", "echo $$; until [ -e /made ]; do :; done; ls /made; exit 3"],
        cwd: "/",
        env: ["PATH=/bin"],
        user: { uid: 0, gid: 0 },
      };
      const { stream: execStream, started } = await shim.client.execAttached(
        { execId: "e", process, terminal: false, stdin: false },
        { stdin: false, stdout: true, stderr: true },
      );
      expect(started.pid).not.toBe(pid);
      expect(unframe(await readToEnd(execStream)).stdout).toMatch(/^\d+\n\/made\n$/);
      expect(await shim.client.wait("e")).toMatchObject({ exitCode: 3, pid: started.pid });
      await stream.write("input\n");
      stream.end();
      expect(unframe(await readToEnd(stream))).toEqual({ stdout: "out\ninput\n", stderr: "error\n" });
      expect(await shim.client.wait()).toMatchObject({ exitCode: 7, pid, oomKilled: false });
      await shim.client.release();
      expect(await shim.exited).toBe(0);
      expect(traces(options)).toEqual([]);
      expect(existsSync(join(options.rootfsMount!.upper!, "made"))).toBe(true);
    }, 20_000);

    test("sees its own streams and nothing of the shim", async () => {
      await using shim = await TestShim.start();
      const stream = await shim.client.attach(both);
      const script = "ls /proc/self/fd; readlink /proc/self/fd/1; env; umask; echo again >/dev/stdout";
      await shim.client.run(make(shim, script));
      const lines = unframe(await readToEnd(stream)).stdout.split("\n");
      // The fourth is the directory that ls reads.
      expect(lines.slice(0, 4)).toEqual(["0", "1", "2", "3"]);
      expect(lines[4]).toMatch(/^pipe:\[\d+\]$/);
      const names = lines.slice(5, -3).map((line) => line.split("=")[0]);
      expect(names.sort().filter((name) => !["SHLVL", "PWD", "HOME"].includes(name!))).toEqual(["PATH"]);
      expect(lines.slice(-3)).toEqual(["0022", "again", ""]);
      await shim.client.release();
    }, 20_000);

    test("can open its standard streams again as another user", async () => {
      await using shim = await TestShim.start();
      const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
      const options = make(shim, "id -u >/dev/stdout; echo error >/dev/stderr; cat </dev/stdin", {
        stdin: { open: true, once: true },
        edit: (config) => {
          config.process!.user = { uid: 1000, gid: 1000 };
        },
      });
      await shim.client.run(options);
      await stream.write("input\n");
      stream.end();
      expect(unframe(await readToEnd(stream))).toEqual({ stdout: "1000\ninput\n", stderr: "error\n" });
      await shim.client.release();
    }, 20_000);

    test("has a terminal when it asks for one, for an exec too", async () => {
      await using shim = await TestShim.start();
      const stream = await shim.client.attach({ stdin: true, stdout: true, stderr: true });
      const options = make(shim, "stty size; read x; stty size; echo $x", {
        terminal: true,
        consoleSize: { rows: 12, columns: 34 },
      });
      await shim.client.run(options);
      expect(Buffer.from((await stream.read())!).toString()).toStartWith("12 34\r\n");
      const process = {
        args: ["sh", "-c", "stty size; readlink /proc/self/fd/0"],
        cwd: "/",
        env: ["PATH=/bin"],
        user: { uid: 0, gid: 0 },
        terminal: true,
      };
      const consoleSize = { rows: 5, columns: 6 };
      const { stream: execStream } = await shim.client.execAttached(
        { execId: "t", process, terminal: true, consoleSize, stdin: true },
        { stdin: true, stdout: true, stderr: true },
      );
      expect((await readToEnd(execStream)).toString()).toBe("5 6\r\n/dev/pts/1\r\n");
      await shim.client.resize(20, 30);
      await stream.write("typed\n");
      expect((await readToEnd(stream)).toString()).toEndWith("20 30\r\ntyped\r\n");
      expect(await shim.client.wait()).toMatchObject({ exitCode: 0 });
      await shim.client.release();
    }, 20_000);

    test("is paused, resumed, and killed by SIGKILL while it is paused", async () => {
      await using shim = await TestShim.start();
      const options = make(shim, "sleep 100");
      await shim.client.run(options);
      await shim.client.pause();
      expect((await shim.client.state()).status).toBe("paused");
      await expect(shim.client.pause()).rejects.toMatchObject({ code: "conflict" });
      await shim.client.resume();
      await expect(shim.client.resume()).rejects.toMatchObject({ code: "conflict" });
      await shim.client.pause();
      await shim.client.signal(9);
      expect(await shim.client.wait()).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
      await shim.client.release();
      expect(traces(options)).toEqual([]);
    }, 20_000);

    test("does one pause after the other, tells of none that is not done, and takes SIGKILL in between", async () => {
      await using shim = await TestShim.start();
      await shim.client.run(make(shim, "sleep 100"));
      const { client } = shim;
      await Promise.all([client.pause(), client.resume(), client.pause()]);
      expect((await client.state()).status).toBe("paused");
      await client.resume();
      const pausing = client.pause();
      expect((await client.state({ settled: true })).status).toBe("paused");
      await pausing;
      await client.resume();
      await Promise.allSettled([client.pause(), client.signal(9)]);
      expect(await client.wait()).toMatchObject({ exitCode: 137 });
      await client.release();
    }, 20_000);

    test("has its limits changed, all of them or none", async () => {
      await using shim = await TestShim.start();
      const { pid } = await shim.client.run(make(shim, "sleep 100"));
      const limit = () => {
        const [, path] = /^\d*:(?:pids)?:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))!;
        return readFileSync(
          `/sys/fs/cgroup${existsSync("/sys/fs/cgroup/pids") ? "/pids" : ""}${path}/pids.max`,
          "utf8",
        );
      };
      await shim.client.update({ pids: { limit: 70 } });
      expect(limit()).toBe("70\n");
      await expect(shim.client.update({ pids: { limit: 80 }, cpu: { cpus: "4000" } })).rejects.toThrow();
      expect(limit()).toBe("70\n");
      await shim.client.signal(9);
      await shim.client.wait();
      await expect(shim.client.update({ pids: { limit: 90 } })).rejects.toMatchObject({ code: "conflict" });
      await shim.client.release();
    }, 20_000);

    test("takes signals, alone or with all its processes", async () => {
      await using shim = await TestShim.start();
      const stream = await shim.client.attach(both);
      const script =
        "trap 'echo first; exit 1' USR1; (trap 'echo second; exit' USR1; echo ready; while :; do sleep 0.01; done) & wait; wait";
      await shim.client.run(make(shim, script));
      expect(unframe(Buffer.from((await stream.read())!)).stdout).toBe("ready\n");
      await shim.client.signal(10, { all: true });
      const { stdout } = unframe(await readToEnd(stream));
      expect(stdout).toContain("first\n");
      expect(await shim.client.wait()).toMatchObject({ exitCode: 1 });
      await shim.client.release();
    }, 20_000);

    test("has limits that need all 64 bits", async () => {
      await using shim = await TestShim.start();
      const stream = await shim.client.attach(both);
      const unlimited = 2n ** 64n - 1n;
      const edit = (config: RuntimeConfig) => {
        config.process!.rlimits = [{ type: "RLIMIT_FSIZE", soft: unlimited - 2n, hard: unlimited }];
      };
      await shim.client.run(make(shim, "grep 'Max file size' /proc/self/limits", { edit }));
      expect(unframe(await readToEnd(stream)).stdout).toMatch(/18446744073709551613 +unlimited/);
      await shim.client.release();
    });

    test("without a pid namespace of its own leaves no process behind", async () => {
      await using shim = await TestShim.start();
      const options = make(shim, "sleep 1000 & echo $!; exit 2", {
        edit: (config) => {
          config.linux!.namespaces = config.linux!.namespaces!.filter(({ type }) => type !== "pid");
        },
      });
      const stream = await shim.client.attach(both);
      await shim.client.run(options);
      const left = Number(unframe(await readToEnd(stream)).stdout);
      const exit = await shim.client.wait();
      expect(exit).toMatchObject({ exitCode: 2 });
      // The pipe that it had inherited was not waited for: the shim's grace for that is two seconds.
      expect(Date.now() - Date.parse(exit.finishedAt)).toBeLessThan(2000);
      await shim.client.release();
      // It has ended; whoever has it now as an orphan may not have reaped it yet.
      expect(["Z", "X", undefined]).toContain(processStat(left)?.state);
      expect(traces(options)).toEqual([]);
    }, 20_000);

    test.skipIf(!limitsMemory)(
      "that was killed for want of memory says so",
      async () => {
        await using shim = await TestShim.start();
        const options = make(shim, "x=$(yes | head -c 100000000); echo $x", {
          edit: (config) => {
            config.linux!.resources = { ...config.linux!.resources, memory: { limit: 20 * 2 ** 20 } };
          },
        });
        await shim.client.run(options);
        const exit = await shim.client.wait();
        expect(exit).toMatchObject({ oomKilled: true, oom: { limitBytes: 20 * 2 ** 20 } });
        expect(exit.oom!.kills).toBeGreaterThan(0);
        await shim.client.release();
      },
      20_000,
    );

    test("that cannot be started is refused with the reason, and leaves nothing", async () => {
      await using shim = await TestShim.start();
      for (const [program, code] of [
        ["/nothing", "command_not_found"],
        ["/tmp", "command_not_executable"],
      ] as const) {
        const options = make(shim, "", {
          edit: (config) => {
            config.process!.args = [program];
          },
        });
        await expect(shim.client.run(options)).rejects.toMatchObject({ code });
        expect(traces(options)).toEqual([]);
      }
      expect((await shim.client.state()).status).toBe("spare");
      const { pid } = await shim.client.run(make(shim, "sleep 100"));
      const process = { args: ["/nothing"], cwd: "/", user: { uid: 0, gid: 0 } };
      const exec = { execId: "e", process, terminal: false, stdin: false };
      await expect(shim.client.exec(exec)).rejects.toMatchObject({ code: "command_not_found" });
      expect(await shim.client.state()).toMatchObject({ status: "running", pid, execs: [] });
    }, 20_000);

    test("goes on without its daemon, and its end is on record", async () => {
      await using shim = await TestShim.start();
      const options = make(shim, "sleep 0.3; echo last; exit 4");
      const { pid } = await shim.client.run(options);
      const record = readShimRecord(shim.stateDir)!;
      expect(record).toMatchObject({ id: options.id, pid, shimPid: shim.pid });
      expect(isAlive({ pid, startTime: record.pidStartTime! })).toBe(true);
      shim.client.close();
      expect(await shim.exited).toBe(0);
      expect(readExitRecord(shim.stateDir)).toMatchObject({ exitCode: 4 });
      expect(shim.logged.map(({ log }) => log)).toEqual(["last\n"]);
      expect(traces(options)).toEqual([]);
      await expect(ShimClient.connect(shim.socketPath)).rejects.toMatchObject({ code: "unavailable" });
    }, 20_000);
  });
}

test.skipIf(!canRunContainers)("a runtime that is not there is named", async () => {
  await using shim = await TestShim.start();
  const options = containers.make(shim, "", { runtime: { path: "/no/such/runtime" } });
  await expect(shim.client.run(options)).rejects.toMatchObject({
    code: "not_found",
    message: expect.stringContaining("runtime /no/such/runtime cannot be executed"),
  });
  expect(traces(options)).toEqual([]);
});

describe.skipIf(!canRunContainers)("a shim that is released for reuse", () => {
  test("is spare again, and the next container has nothing of the last", async () => {
    await using shim = await TestShim.start();
    for (const [count, word] of ["one", "two", "three"].entries()) {
      const options = containers.make(shim, `sleep 100 & echo ${word}; ls /proc/self/fd | wc -l; exit ${count}`);
      const stream = await shim.client.attach(both);
      await shim.client.run(options);
      expect(unframe(await readToEnd(stream))).toEqual({ stdout: `${word}\n4\n`, stderr: "" });
      expect(await shim.client.wait()).toMatchObject({ exitCode: count });
      expect(await shim.client.release({ reuse: true })).toBe(true);
      expect(await shim.client.state()).toMatchObject({ status: "spare", containerId: null, exit: null, attached: 0 });
      await expect(shim.client.wait()).rejects.toMatchObject({ message: "this shim has no container yet" });
      expect(traces(options)).toEqual([]);
    }
    expect(await shim.client.release()).toBe(false);
    expect(await shim.exited).toBe(0);
  }, 20_000);

  test("ends after a container that could leave processes to it", async () => {
    await using shim = await TestShim.start();
    const options = containers.make(shim, "exit 0", {
      edit: ({ linux }) => {
        linux!.namespaces = linux!.namespaces!.filter(({ type }) => type !== "pid");
      },
    });
    await shim.client.run(options);
    await shim.client.wait();
    expect(await shim.client.release({ reuse: true })).toBe(false);
    expect(await shim.exited).toBe(0);
  }, 20_000);
});

test.skipIf(!canRunContainers)(
  "what the built-in runtime cannot start, or add, is kept as a report",
  async () => {
    await using shim = await TestShim.start();
    const broken = containers.make(shim, "", {
      edit: (config) => {
        config.process!.args = ["/nothing"];
      },
    });
    await expect(shim.client.run(broken)).rejects.toMatchObject({ code: "command_not_found" });
    const report = newestReport(broken.runtimeRoot, broken.id);
    expect(report).toMatchObject({ verb: "run", code: "command_not_found", errno: "ENOENT" });
    expect(reportText(report)).toMatch(/\n>> *\d+ execve\("\/nothing", .* = ENOENT {3}← failed\n/);
    const options = containers.make(shim, "sleep 100");
    await shim.client.run(options);
    const process = { args: ["/nothing"], cwd: "/", user: { uid: 0, gid: 0 } };
    const exec = { execId: "e", process, terminal: false, stdin: false };
    await expect(shim.client.exec(exec)).rejects.toMatchObject({ code: "command_not_found" });
    expect(newestReport(options.runtimeRoot, options.id)).toMatchObject({ verb: "exec", errno: "ENOENT" });
  },
  20_000,
);
