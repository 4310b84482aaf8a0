/** What tests of plans share: a root file system of busybox, a configuration like Docker's, and a way to run it. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR } from "../../../ffi/constants/open.ts";
import type { Descriptor } from "../../../ffi/fd.ts";
import { openat } from "../../../ffi/files.ts";
import { type Ending, type PlanProcess, spawnPlan } from "../../../ffi/plan/spawn.ts";
import type { EngineError } from "../../core/errors.ts";
import type { OciProcess, RuntimeConfig } from "../../oci/runtime.ts";
import type { CompiledPlan, InitContext } from "./context.ts";
import { planError } from "./failure.ts";
import { compileInit } from "./init.ts";

/** A static busybox, which is all that a root needs. */
export const busybox = "/usr/bin/busybox";
export const canRunPlans = process.getuid?.() === 0 && existsSync(busybox);

export interface Bundle extends Disposable {
  path: string;
  rootfs: string;
}

/** A bundle on the disk (not on a tmpfs or overlay), gone at the end of the block. */
export function makeBundle(): Bundle {
  const path = mkdtempSync("/var/tmp/tsd-bundle-");
  const rootfs = join(path, "rootfs");
  for (const name of ["bin", "etc", "tmp", "root", "usr"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(busybox, join(rootfs, "bin/busybox"));
  for (const name of [
    "sh",
    "cat",
    "echo",
    "id",
    "ls",
    "mount",
    "true",
    "hostname",
    "ip",
    "stat",
    "pwd",
    "tty",
    "grep",
  ]) {
    symlinkSync("busybox", join(rootfs, "bin", name));
  }
  return { path, rootfs, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** The mounts, masks and namespaces of Docker's default, with a shell command as the process. */
export function dockerLikeConfig(command: string): RuntimeConfig {
  const capabilities = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
  ];
  return {
    ociVersion: "1.2.0",
    process: {
      cwd: "/",
      args: ["/bin/sh", "-c", command],
      env: ["PATH=/sbin:/bin", "A=b"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 512, hard: 512 }],
    },
    root: { path: "rootfs" },
    hostname: "planned",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev/shm",
        type: "tmpfs",
        source: "shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
      },
    ],
    linux: {
      namespaces: [{ type: "mount" }, { type: "network" }, { type: "uts" }, { type: "pid" }, { type: "ipc" }],
      maskedPaths: ["/proc/acpi", "/proc/keys", "/proc/timer_list", "/proc/not-there", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/absent"],
    },
  };
}

export interface Outcome {
  ending: Ending;
  output: string;
  error: EngineError | undefined;
  checkpoints: string[];
}

interface RunOptions extends Partial<InitContext> {
  descriptors?: Record<string, Descriptor>;
  /** Answers a checkpoint, before the plan goes on. */
  at?: Record<string, (running: PlanProcess, compiled: CompiledPlan) => void>;
}

const waiting = new Set(["user-maps", "create-runtime", "terminal", "recorded", "seccomp-listener"]);

/** Runs a container to its end and collects what it writes. */
export function runConfig(bundle: Bundle, config: RuntimeConfig, options: RunOptions = {}): Outcome {
  const { descriptors, at, ...context } = options;
  const compiled = compileInit(config, { id: "test", bundle: bundle.path, start: "now", cgroupProcs: 0, ...context });
  return runPlan(bundle, compiled, config.process!, descriptors, at);
}

export function runPlan(
  bundle: Bundle,
  compiled: CompiledPlan,
  process: OciProcess,
  descriptors: Record<string, Descriptor> = {},
  answers: NonNullable<RunOptions["at"]> = {},
): Outcome {
  const outputPath = join(bundle.path, "output");
  using output = openat(AT_FDCWD, outputPath, O_RDWR | O_CREAT, 0o666);
  using input = openat(AT_FDCWD, "/dev/null", O_RDONLY);
  const streams = process.terminal ? {} : { stdin: input, stdout: output, stderr: output };
  using running = spawnPlan(compiled.plan, { descriptors: { ...streams, ...descriptors } });
  const checkpoints: string[] = [];
  for (let name = running.next(); name !== undefined; name = running.next()) {
    checkpoints.push(name);
    answers[name]?.(running, compiled);
    if (waiting.has(name)) running.proceed();
  }
  const error = planError(running, compiled, process);
  const ending = running.reap();
  const text = readFileSync(outputPath, "utf8");
  rmSync(outputPath);
  return { ending, output: text, error, checkpoints };
}
