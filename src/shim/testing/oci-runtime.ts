/**
 * A small OCI runtime with runc's command line, for tests of the shim: its "containers" are plain processes, so that
 * no privileges are needed. It is started as `bun oci-runtime.ts`; what is asked of it is what runc is asked.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openTerminal } from "../../../ffi/pty.ts";
import { connectUnix, sendDescriptors } from "../../../ffi/scm.ts";

interface Arguments {
  flags: Map<string, string>;
  rest: string[];
}

const booleanFlags = new Set(["--force", "--all", "--detach", "--no-pivot", "--no-new-keyring"]);

function parse(args: string[]): Arguments {
  const flags = new Map<string, string>();
  let index = 0;
  for (; args[index]?.startsWith("--"); index++) {
    const name = args[index]!;
    flags.set(name, booleanFlags.has(name) ? "" : args[++index]!);
  }
  return { flags, rest: args.slice(index) };
}

const global = parse(process.argv.slice(2));
const [verb, ...others] = global.rest;
const local = parse(others);
const [id, ...operands] = local.rest;
const root = join(global.flags.get("--root")!, id!);
const pidFile = join(root, "pid");
const fifo = join(root, "start");

function fail(message: string): never {
  writeFileSync(global.flags.get("--log")!, `${JSON.stringify({ level: "error", msg: message })}\n`);
  process.exitCode = 1;
  throw new Error(message);
}

/** Leaves a process behind that runs the script, with this program's streams or a terminal. */
function leave(script: string, env: Record<string, string>): number {
  const consoleSocket = local.flags.get("--console-socket");
  let stdio: (number | "inherit")[] = ["inherit", "inherit", "inherit"];
  if (consoleSocket !== undefined) {
    const { master, slave } = openTerminal();
    const socket = connectUnix(consoleSocket);
    sendDescriptors(socket, "terminal", [master]);
    stdio = [slave.number, slave.number, slave.number];
  }
  // setsid(1) would fork if it were a session's leader already, and the pid would be another.
  const command = consoleSocket === undefined ? ["sh", "-c", script] : ["setsid", "-c", "sh", "-c", script];
  const child = Bun.spawn(command, {
    stdio: stdio as ["inherit", "inherit", "inherit"],
    env,
    detached: consoleSocket === undefined,
  });
  child.unref();
  writeFileSync(local.flags.get("--pid-file")!, String(child.pid));
  return child.pid;
}

const environment = { PATH: process.env.PATH ?? "" };
switch (verb) {
  case "create": {
    if (existsSync(root)) fail(`container with id ${id} already exists`);
    const config = JSON.parse(readFileSync(join(local.flags.get("--bundle")!, "config.json"), "utf8"));
    const [program, script] = config.process.args as string[];
    if (program !== "sh") fail(`exec: "${program}": executable file not found in $PATH`);
    mkdirSync(root, { recursive: true });
    Bun.spawnSync(["mkfifo", fifo]);
    writeFileSync(pidFile, String(leave(`: < "$0"; ${script}`.replace("$0", fifo), environment)));
    break;
  }
  case "start":
    writeFileSync(fifo, "");
    break;
  case "exec": {
    if (!existsSync(pidFile)) fail(`container ${id} does not exist`);
    const { args } = JSON.parse(readFileSync(local.flags.get("--process")!, "utf8")) as { args: string[] };
    if (args[0] !== "sh") fail(`exec: "${args[0]}": executable file not found in $PATH`);
    leave(args[1]!, environment);
    break;
  }
  case "kill":
    process.kill(Number(readFileSync(pidFile, "utf8")), Number(operands[0]));
    break;
  case "delete":
    if (!existsSync(root) && !local.flags.has("--force")) fail(`container ${id} does not exist`);
    rmSync(root, { recursive: true, force: true });
    break;
  default:
    fail(`unknown command ${verb}`);
}
