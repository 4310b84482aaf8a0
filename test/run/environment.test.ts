/** Variables and files that make other programs of the executable, or make it run another's code, do nothing. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../../src/core/errors.ts";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
/** A directory as an attacker would leave it: every file there is executed or read by a Bun that is let to. */
let trap: string;
const marker = () => engine.workspace.path("executed");
beforeAll(async () => {
  engine = await Engine.open();
  trap = engine.workspace.path("trap");
  mkdirSync(trap);
  writeFileSync(
    `${trap}/evil.ts`,
    `require("node:fs").writeFileSync(${JSON.stringify(marker())}, process.argv.join(" "));`,
  );
  writeFileSync(`${trap}/bunfig.toml`, `preload = ["${trap}/evil.ts"]\n[run]\npreload = ["${trap}/evil.ts"]\n`);
  for (const name of [".env", ".env.local", ".env.production", ".env.development"]) {
    writeFileSync(`${trap}/${name}`, "TSD_HOST=unix:///from/dotenv\nDOCKER_HOST=unix:///from/dotenv\nFROM_DOTENV=1\n");
  }
  writeFileSync(`${trap}/package.json`, JSON.stringify({ name: "trap", scripts: { ps: "true" } }));
  writeFileSync(`${trap}/tsconfig.json`, "{ this is no JSON");
});
afterAll(() => engine[Symbol.asyncDispose]());

test("the command line reads neither .env nor bunfig.toml of the directory that it is called in", async () => {
  const result = await engine.run(["-e", "FROM_DOTENV"], ["env"], { cwd: trap });
  expect(result.status).toBe(0);
  expect(result.stdout).not.toContain("FROM_DOTENV");
  // Without a host in the environment, the default is used, not the file's.
  const child = Bun.spawnSync([tsd, "ps"], { cwd: trap, env: { PATH: process.env.PATH!, HOME: "/nonexistent" } });
  expect(child.stderr.toString()).not.toContain("dotenv");
  expect(existsSync(marker())).toBe(false);
});

test("variables of Bun and Node change nothing about the command line", async () => {
  const env = {
    BUN_BE_BUN: "1",
    BUN_OPTIONS: `--preload ${trap}/evil.ts`,
    BUN_JSC_noSuchOption: "1",
    BUN_INSPECT: "127.0.0.1:0/x",
    BUN_CONFIG_VERBOSE_FETCH: "curl",
    NODE_OPTIONS: `--require ${trap}/evil.ts`,
    NODE_PATH: trap,
    NODE_EXTRA_CA_CERTS: `${trap}/evil.ts`,
  };
  const result = await engine.run([], ["echo", "unmoved"], { env, cwd: trap });
  expect({ ...result, stderr: "" }).toEqual({ status: 0, stdout: "unmoved\n", stderr: "" });
  // They are the caller's all the same, who may hand them on.
  const handed = await engine.run(["-e", "BUN_BE_BUN", "-e", "BUN_NOT_THERE"], ["env"], { env, cwd: trap });
  expect(handed.stdout.split("\n").filter((line) => line.startsWith("BUN_"))).toEqual(["BUN_BE_BUN=1"]);
  expect(existsSync(marker())).toBe(false);
});

test("a daemon, its shims and what they start are free of all that was in the daemon's environment and directory", async () => {
  const daemon = await startTrapped({
    BUN_BE_BUN: "1",
    BUN_OPTIONS: `--preload ${trap}/evil.ts`,
    BUN_JSC_noSuchOption: "1",
    BUN_INSTALL: "/x",
    BUN_RUNTIME_TRANSPILER_CACHE_PATH: trap,
    NODE_OPTIONS: `--require ${trap}/evil.ts`,
    NODE_PATH: trap,
    NODE_EXTRA_CA_CERTS: `${trap}/evil.ts`,
  });
  const run = await daemon.tsd(["run", "-q", "--rm", engine.busybox, "env"]);
  expect({ status: run.status, stdout: run.stdout.replace(/HOSTNAME=.*\n/, "") }).toEqual({
    status: 0,
    stdout: "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\n",
  });
  const shims = readdirSync("/proc").filter((pid) => commandLine(pid).includes(`shim\0--socket\0${daemon.state}`));
  expect(shims.length).toBeGreaterThan(0);
  for (const pid of shims) {
    const names = readOrNone(`/proc/${pid}/environ`).split("\0");
    expect(names.filter((line) => /^(BUN|NODE)_/.test(line))).toEqual([]);
  }
  expect(existsSync(marker())).toBe(false);
});

function commandLine(pid: string): string {
  if (!/^\d+$/.test(pid)) return "";
  return readOrNone(`/proc/${pid}/cmdline`);
}

/** Nothing when the process has ended while it was looked at. */
function readOrNone(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}

/** A second daemon, started in the trap. */
async function startTrapped(environment: Record<string, string>): Promise<Daemon> {
  const daemon = await Daemon.start(engine.workspace, { name: "e", cwd: trap, env: environment });
  await until("the trapped daemon answers", async () => (await daemon.tsd(["version"])).status === 0);
  return daemon;
}
