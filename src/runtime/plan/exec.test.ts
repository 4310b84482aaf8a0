import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { openat, read } from "../../../ffi/files.ts";
import { explainPlan } from "../../../ffi/plan/explain.ts";
import { type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import { pidfd_getfd } from "../../../ffi/process.ts";
import { isErrno } from "../../core/errors.ts";
import type { LinuxNamespaceType, OciProcess, RuntimeConfig } from "../../oci/runtime.ts";
import type { ExecContext } from "./context.ts";
import { compileExec } from "./exec.ts";
import { type Bundle, canRunPlans, dockerLikeConfig, makeBundle, runPlan } from "./fixture.ts";
import { compileInit } from "./init.ts";

const asRoot = test.skipIf(!canRunPlans);
const types: LinuxNamespaceType[] = ["mount", "network", "uts", "pid", "ipc"];
const files: Record<string, string> = {
  mount: "mnt",
  network: "net",
  uts: "uts",
  pid: "pid",
  ipc: "ipc",
  user: "user",
};

const base: OciProcess = { cwd: "/tmp", args: ["sh", "-c", "id; pwd; hostname"], env: ["PATH=/bin"], capabilities: {} };

/** A container that waits for `start`, and with `start()` goes on. */
class Waiting implements Disposable {
  readonly running: PlanProcess;
  readonly #bundle: Bundle;
  readonly #fifo: string;

  constructor(bundle: Bundle, config: RuntimeConfig) {
    this.#bundle = bundle;
    this.#fifo = join(bundle.path, "exec.fifo");
    execFileSync("mkfifo", ["-m", "622", this.#fifo]);
    using execFifo = openat(AT_FDCWD, this.#fifo, O_PATH);
    using nothing = openat(AT_FDCWD, "/dev/null", O_RDWR);
    const compiled = compileInit(config, { id: "w", bundle: bundle.path, start: "wait", cgroupProcs: 0 });
    const descriptors = { stdin: nothing, stdout: nothing, stderr: nothing, execFifo };
    this.running = spawnPlan(compiled.plan, { descriptors });
  }

  /** The reader's end; a byte comes when the process has gone on. */
  start(): string {
    using fifo = openat(AT_FDCWD, this.#fifo, O_RDONLY | O_NONBLOCK);
    expect(this.running.next()).toBeUndefined();
    const buffer = new Uint8Array(4);
    return Buffer.from(buffer.subarray(0, read(fifo, buffer))).toString();
  }

  exec(process: OciProcess, context: Partial<ExecContext> = {}, answers = {}) {
    const namespaces = context.namespaces ?? types;
    const compiled = compileExec(process, { id: "w", namespaces, cgroupProcs: 0, ...context });
    const descriptors: Record<string, Fd> = {};
    for (const type of namespaces) {
      descriptors[`namespace.${type}`] = openat(AT_FDCWD, `/proc/${this.running.pid}/ns/${files[type]}`, O_RDONLY);
    }
    try {
      return runPlan(this.#bundle, compiled, process, descriptors, answers);
    } finally {
      for (const fd of Object.values(descriptors)) fd.close();
    }
  }

  [Symbol.dispose](): void {
    process.kill(this.running.pid, 9);
    this.running.reap();
    this.running[Symbol.dispose]();
  }
}

function sleeping(bundle: Bundle): RuntimeConfig {
  symlinkSync("busybox", join(bundle.rootfs, "bin/sleep"));
  return dockerLikeConfig("exec sleep 1000");
}

/** Everything that was written to a terminal whose last writer has gone: reading ends with EIO then. */
function readTerminal(master: Fd): string {
  let text = "";
  const buffer = new Uint8Array(4096);
  for (;;) {
    try {
      text += Buffer.from(buffer.subarray(0, read(master, buffer))).toString();
    } catch (error) {
      if (isErrno(error, "EIO")) return text;
      throw error;
    }
  }
}

describe("a container that waits for start", () => {
  asRoot("has given up all that its program will not have, and goes on when the fifo is read", () => {
    using bundle = makeBundle();
    const config = sleeping(bundle);
    config.process!.user = { uid: 5, gid: 6 };
    using waiting = new Waiting(bundle, config);
    expect(waiting.running.next()).toBe("created");
    const status = readFileSync(`/proc/${waiting.running.pid}/status`, "utf8");
    expect(status).toContain("Uid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6");
    expect(status).toContain("CapEff:\t00000000000004e3\nCapBnd:\t00000000000004e3");
    expect(waiting.start()).toBe("0");
    expect(waiting.running.failure()).toBeUndefined();
    expect(readlinkSync(`/proc/${waiting.running.pid}/exe`)).toEndWith("/busybox");
  });

  asRoot("needs a few pages, and no more", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    expect(waiting.running.next()).toBe("created");
    const status = readFileSync(`/proc/${waiting.running.pid}/status`, "utf8");
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(status)![1])).toBeLessThan(256);
  });

  asRoot("is not created at all when there is no such program", () => {
    using bundle = makeBundle();
    const config = dockerLikeConfig("");
    config.process!.args = ["missing"];
    using waiting = new Waiting(bundle, config);
    expect(waiting.running.next()).toBeUndefined();
    expect(waiting.running.failure()).toMatchObject({ errno: "ENOENT", why: "process.args" });
  });
});

describe("the plan of an exec", () => {
  test("gives up its privileges before it forks into the pid namespace, and loads seccomp before them", () => {
    const seccomp = { program: new Uint8Array(8), flags: 0 };
    const compiled = compileExec(base, { id: "x", namespaces: types, cgroupProcs: 2, seccomp });
    const calls = explainPlan(compiled.plan).records.map((record) => record.call);
    const order = ["write", "setns", "seccomp", "setresuid", "capset", "clone", "setsid", "execve"];
    const positions = order.map((call) => calls.indexOf(call));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(compiled.descriptors).toEqual([
      ...["cgroup.0", "cgroup.1", "namespace.ipc", "namespace.uts", "namespace.network", "namespace.pid"],
      ...["namespace.mount", "stdin", "stdout", "stderr"],
    ]);
  });

  test("loads seccomp last when no_new_privs lets it", () => {
    const seccomp = { program: new Uint8Array(8), flags: 0 };
    const process = { ...base, noNewPrivileges: true };
    const { plan } = compileExec(process, { id: "x", namespaces: types, cgroupProcs: 0, seccomp });
    const calls = explainPlan(plan).records.map((record) => record.call);
    expect(calls.indexOf("seccomp")).toBeGreaterThan(calls.indexOf("setsid"));
    expect(calls[calls.indexOf("seccomp") + 1]).toBe("execve");
  });

  test("joins the first process's cgroup when the container's own takes none", () => {
    const { plan, descriptors } = compileExec(base, { id: "x", namespaces: [], cgroupProcs: 1, cgroupFallback: true });
    expect(descriptors).toContain("cgroup.fallback.0");
    const first = plan.records.findIndex((record) => record.what === "cgroup.procs of hierarchy 0");
    const { onError } = explainPlan(plan).records[first]!;
    expect(explainPlan(plan).records[onError! + 1]!.text).toStartWith("write(@cgroup.fallback.0, ");
  });
});

describe("an exec", () => {
  asRoot("runs in a container's namespaces, also in one that has not started", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    expect(waiting.running.next()).toBe("created");
    for (const expected of ["before", "after"]) {
      const { output, error, ending } = waiting.exec({ ...base, user: { uid: 7, gid: 8, additionalGids: [9] } });
      expect(error).toBeUndefined();
      expect(output).toBe("uid=7 gid=8 groups=9\n/tmp\nplanned\n");
      expect(ending).toEqual({ status: 0 });
      if (expected === "before") waiting.start();
    }
  });

  asRoot("has only its own descriptors, and the pid that follows", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    waiting.running.next();
    waiting.start();
    const args = ["sh", "-c", "echo $$; ls /proc/$$/fd; ls /proc | grep '^[0-9]'; grep Cap /proc/self/status"];
    const { output } = waiting.exec({ ...base, args });
    expect(output).toStartWith("2\n0\n1\n2\n1\n2\n");
    expect(output).toContain("CapBnd:\t0000000000000000");
  });

  asRoot("gets a terminal of the container's", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    waiting.running.next();
    let master: Fd | undefined;
    const args = ["sh", "-c", "tty; stty size; id -u >/dev/tty"];
    symlinkSync("busybox", join(bundle.rootfs, "bin/stty"));
    const size = { height: 21, width: 67 };
    const process = { ...base, args, terminal: true, consoleSize: size, user: { uid: 3, gid: 3 } };
    const terminal = (running: PlanProcess, compiled: ReturnType<typeof compileExec>) => {
      master = pidfd_getfd(running.pidfd, running.result(compiled.terminal!)!);
    };
    const { error, checkpoints } = waiting.exec(process, {}, { terminal });
    expect(error).toBeUndefined();
    expect(checkpoints).toEqual(["terminal", "ready"]);
    expect(readTerminal(master!)).toBe("/dev/pts/0\r\n21 67\r\n3\r\n");
    master?.close();
  });

  asRoot("has nothing that could be taken from it when it appears in the container (CVE-2016-9962)", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    waiting.running.next();
    waiting.start();
    const capabilities = { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] };
    const seen = { status: "", exe: "", links: [] as string[], owner: 0 };
    let master: Fd | undefined;
    const terminal = (running: PlanProcess, compiled: ReturnType<typeof compileExec>) => {
      master = pidfd_getfd(running.pidfd, running.result(compiled.terminal!)!);
      const directory = `/proc/${running.pid}`;
      seen.status = readFileSync(`${directory}/status`, "utf8");
      seen.exe = readlinkSync(`${directory}/exe`);
      seen.links = readdirSync(`${directory}/fd`).map((fd) => readlinkSync(`${directory}/fd/${fd}`));
      seen.owner = statSync(`${directory}/environ`).uid;
    };
    const process = { ...base, terminal: true, capabilities, user: { uid: 9, gid: 9 } };
    expect(waiting.exec(process, {}, { terminal }).error).toBeUndefined();
    master?.close();
    // It is in the container's pid namespace, with the container's capabilities and user, and not dumpable: its files
    // are the host's root's.
    expect(seen.status).toMatch(/NSpid:\t\d+\t2\n/);
    expect(seen.status).toContain("CapPrm:\t0000000000000020\nCapEff:\t0000000000000020\nCapBnd:\t0000000000000020");
    expect(seen.status).toContain("Uid:\t9\t9\t9\t9");
    expect(seen.owner).toBe(0);
    expect(seen.exe).toBe("/memfd:tsd-init (deleted)");
    const kinds = seen.links.map((link) => link.replace(/\d+|\[.*/g, "")).sort();
    // Three streams, the terminal as it was opened, its master, and the socket of the checkpoints.
    expect(kinds).toEqual(["/dev/pts/", "/dev/pts/", "/dev/pts/", "/dev/pts/", "/dev/pts/ptmx", "socket:"]);
  });

  asRoot("says in runc's words that there is no such program, and leaves no process", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    waiting.running.next();
    const { error, ending } = waiting.exec({ ...base, args: ["missing"] });
    expect(error).toMatchObject({ code: "command_not_found" });
    expect(error?.message).toBe('exec: "missing": executable file not found in $PATH');
    expect(ending).toEqual({ status: 255 });
  });

  asRoot("says which namespace it could not join", () => {
    using bundle = makeBundle();
    using waiting = new Waiting(bundle, sleeping(bundle));
    waiting.running.next();
    const compiled = compileExec(base, { id: "w", namespaces: ["uts"], cgroupProcs: 0 });
    using wrong = openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
    const { error } = runPlan(bundle, compiled, base, { "namespace.uts": wrong });
    expect(error?.message).toBe("the container's namespaces: setns the uts namespace: EINVAL (invalid argument)");
  });
});
