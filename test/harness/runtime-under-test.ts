/**
 * Which OCI runtime the tests of conformance drive: the built executable by the name tsd-runc, or what `bun run
 * test:runtime --runtime NAME|PATH` names, which comes here in an environment variable.
 */
import { test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";

export const runtimeVariable = "TSD_TEST_RUNTIME";

const given = process.env[runtimeVariable] ?? "";

/** The program that was asked for; undefined for tsd-runc. */
export const foreignRuntime: string | undefined = given === "" || given === "tsd-runc" ? undefined : findProgram(given);

/** tsd's own runtime is under test. Where it differs from runc on purpose, a test states both. */
export const isTsd: boolean = foreignRuntime === undefined;

/** What the runtime calls itself in help and usage lines, in the log, and in `--version`. */
export const runtimeName: string = foreignRuntime === undefined ? "tsd-runc" : basename(foreignRuntime);

/** The version of runc that is under test, `[1, 1, 5]`; undefined for another runtime. */
const runcVersion: number[] | undefined = foreignRuntime === undefined ? undefined : versionOfRunc(foreignRuntime);

/** Nothing but cgroup v2 on this machine. */
export const isCgroup2: boolean = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** Why containers cannot be saved on this machine; undefined where they can be. */
const whyNoCriu: string | undefined = checkCriu();

function checkCriu(): string | undefined {
  const program = Bun.which("criu");
  if (program === null) return "criu is not installed";
  const { success, stderr } = Bun.spawnSync([program, "check"]);
  return success ? undefined : `criu check: ${/Error \(.*/.exec(stderr.toString())?.[0] ?? "failed"}`;
}

function findProgram(name: string): string {
  const path = Bun.which(name);
  if (path === null) throw new Error(`${runtimeVariable}: ${name}: no such program`);
  return path;
}

function versionOfRunc(program: string): number[] | undefined {
  const text = Bun.spawnSync([program, "--version"]).stdout.toString();
  const match = /^runc version (\d+)\.(\d+)\.(\d+)/.exec(text);
  return match?.slice(1).map(Number);
}

/**
 * What a test needs of the runtime or the machine:
 * - `runc >= 1.2`: a behaviour that runc has since then. tsd has it; an older runc and every other runtime is let off.
 * - `tsd`: something that no other runtime has, or has otherwise for a reason that the test gives.
 * - `runc`: what runc and tsd have, and crun, for example, need not.
 * - `cgroup v1`, `cgroup v2`, `systemd`, `criu` that works with this kernel: of the machine. The guest has all but v1.
 */
export type Need = `runc >= ${number}.${number}` | "tsd" | "runc" | "cgroup v1" | "cgroup v2" | "systemd" | "criu";

/** What defines a test: `test` itself, or something that skips it. */
type Define = (name: string, body: () => Promise<unknown>, timeoutMs?: number) => void;

/**
 * Like `test`; where a need is not met it skips the test, and prints its name and the reason. With tsd-runc such a skip
 * has to be one of test/expected-skips.json.
 */
export function needs(...list: Need[]): Define {
  const reason = list.map(whyNot).find((found) => found !== undefined);
  if (reason === undefined) return (name, body, timeoutMs) => test(name, body, timeoutMs);
  return (name, body) => {
    console.log(`note: skipped: ${name}: ${reason}`);
    test.skip(name, body);
  };
}

function whyNot(need: Need): string | undefined {
  switch (need) {
    case "tsd":
      return isTsd ? undefined : "only tsd-runc does this";
    case "runc":
      return isTsd || runcVersion !== undefined ? undefined : `${runtimeName} need not do as runc does`;
    case "cgroup v1":
      return isCgroup2 ? "the machine has cgroup v2 alone" : undefined;
    case "cgroup v2":
      return isCgroup2 ? undefined : "the machine has cgroup v1 controllers";
    case "systemd":
      return readFileSync("/proc/1/comm", "utf8") === "systemd\n" ? undefined : "the machine does not run systemd";
    case "criu":
      return whyNoCriu;
    default:
      return whyNotSince(need);
  }
}

function whyNotSince(need: Need): string | undefined {
  if (isTsd) return undefined;
  const version = runcVersion?.join(".") ?? "";
  if (runcVersion === undefined) return `needs ${need}, and ${runtimeName} is none`;
  const [major = 0, minor = 0] = need.slice("runc >= ".length).split(".").map(Number);
  const isEnough = runcVersion[0]! > major || (runcVersion[0] === major && runcVersion[1]! >= minor);
  return isEnough ? undefined : `needs ${need}, and this is ${version}`;
}
