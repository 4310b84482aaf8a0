/**
 * Drives any OCI runtime through its command line, the one that runc made: create, start, exec, kill, pause, resume,
 * update, delete. The runtime leaves the container's first process behind as an orphan, and this process is its
 * subreaper.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { O_DIRECTORY, O_PATH } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { POLLIN, waitReady } from "../../ffi/poll.ts";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../ffi/scm.ts";
import { withCleanup } from "../core/cleanup.ts";
import { EngineError, type ErrorCode, errorMessage, isErrno, wrapError } from "../core/errors.ts";
import { formatExactJson } from "../core/exact-json.ts";
import { log } from "../core/log.ts";
import { scrubbedEnvironment } from "../core/self.ts";
import type { LinuxResources, OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import type { OomFigures } from "../runtime/cgroup/stats.ts";
import type { ContainerStdio } from "../runtime/options.ts";
import type { RuntimeDriver } from "./driver.ts";
import type { ShimContainer } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";
import { mountRootfs, unmountRootfs } from "./rootfs.ts";

interface CommandOptions {
  /** For the verb's own streams; a container's first process inherits them. */
  stdio?: [number, number, number];
}

export interface CommandRuntimeContext {
  container: ShimContainer;
  /** What the bundle's config.json says. */
  config: RuntimeConfig;
  reaper: Reaper;
  /** Of what the kernel killed in the container's cgroup for want of memory. */
  oomFigures: () => OomFigures | undefined;
}

export class CommandRuntime implements RuntimeDriver {
  readonly #container: ShimContainer;
  readonly #config: RuntimeConfig;
  readonly #context: CommandRuntimeContext;
  /** Files between the runtime and the shim: pid files, logs, console sockets. */
  readonly #directory: string;
  readonly sharesPidNamespace: boolean;
  #execs = 0;

  constructor(context: CommandRuntimeContext) {
    this.#context = context;
    this.#container = context.container;
    this.#config = context.config;
    this.#directory = join(context.container.stateDir, "runtime");
    this.sharesPidNamespace = !context.config.linux?.namespaces?.some(
      (namespace) => namespace.type === "pid" && namespace.path === undefined,
    );
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  async run(stdio: ContainerStdio, onPid: (pid: number) => void): Promise<void> {
    const { id, bundle, rootfsMount, noPivot, noNewKeyring, restore } = this.#container;
    if (restore !== undefined) throw this.#noCheckpoints();
    await withCleanup(`create container ${id}`, async (undo) => {
      if (rootfsMount !== undefined) {
        const rootfs = this.#rootfs();
        mkdirSync(rootfs, { recursive: true });
        mountRootfs(rootfs, rootfsMount);
        undo.add("unmount the root file system", () => unmountRootfs(rootfs));
      }
      const flags = ["--bundle", bundle];
      if (noPivot) flags.push("--no-pivot");
      if (noNewKeyring) flags.push("--no-new-keyring");
      // A runtime that was not there, or refused the command, may have made something all the same.
      undo.add("delete what the runtime made", () => this.#delete());
      await this.#launch("create", flags, [id], stdio, onPid);
      await this.#command("start", [], [id]);
    });
  }

  async exec(process: OciProcess, stdio: ContainerStdio, onPid: (pid: number) => void): Promise<void> {
    const file = this.#file("process.json");
    await Bun.write(file, formatExactJson(process), { mode: 0o600 });
    try {
      await this.#launch("exec", ["--detach", "--process", file], [this.#container.id], stdio, onPid);
    } finally {
      rmSync(file, { force: true });
    }
  }

  async signal(signal: number, all: boolean): Promise<void> {
    await this.#command("kill", all ? ["--all"] : [], [this.#container.id, String(signal)]);
  }

  async pause(): Promise<void> {
    await this.#command("pause", [], [this.#container.id]);
  }

  async resume(): Promise<void> {
    await this.#command("resume", [], [this.#container.id]);
  }

  async update(resources: LinuxResources): Promise<void> {
    const file = this.#file("resources.json");
    await Bun.write(file, formatExactJson(resources), { mode: 0o600 });
    try {
      await this.#command("update", ["--resources", file], [this.#container.id]);
    } finally {
      rmSync(file, { force: true });
    }
  }

  async checkpoint(): Promise<void> {
    throw this.#noCheckpoints();
  }

  #noCheckpoints(): EngineError {
    const { id, runtime } = this.#container;
    return new EngineError("unsupported", `container ${id}: its runtime ${runtime!.path} is not asked for checkpoints`);
  }

  oomFigures(): OomFigures | undefined {
    return this.#context.oomFigures();
  }

  async remove(): Promise<void> {
    await this.#delete();
    if (this.#container.rootfsMount !== undefined) unmountRootfs(this.#rootfs());
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #rootfs(): string {
    const path = this.#config.root?.path ?? "rootfs";
    return path.startsWith("/") ? path : join(this.#container.bundle, path);
  }

  async #delete(): Promise<void> {
    try {
      await this.#command("delete", ["--force"], [this.#container.id]);
    } catch (error) {
      // `delete --force` of what does not exist is no error with runc; others say so. Without the program nothing
      // exists.
      if (!/does not exist|not found|cannot be executed/.test(errorMessage(error))) throw error;
    }
  }

  /** A verb that leaves a process behind: its pid comes in a file, its terminal by a socket. */
  async #launch(
    verb: "create" | "exec",
    flags: string[],
    args: string[],
    stdio: ContainerStdio,
    onPid: (pid: number) => void,
  ): Promise<void> {
    const pidFile = this.#file("pid");
    const socketPath = this.#file("console.sock");
    const terminal = "onConsole" in stdio;
    using listener = terminal ? listenUnix(socketPath, 1) : undefined;
    using directory = open(this.#directory, O_PATH | O_DIRECTORY);
    try {
      const console = terminal ? ["--console-socket", reachableSocket(socketPath, directory)] : [];
      const options: CommandOptions = "stdin" in stdio ? { stdio: [stdio.stdin, stdio.stdout, stdio.stderr] } : {};
      await this.#command(verb, [...flags, "--pid-file", pidFile, ...console], args, options);
      onPid(readPid(pidFile));
      if (listener !== undefined && "onConsole" in stdio) stdio.onConsole(receiveConsole(listener));
    } finally {
      rmSync(pidFile, { force: true });
      rmSync(socketPath, { force: true });
    }
  }

  /** Runs a verb to its end. @throws EngineError in the runtime's own words. */
  async #command(verb: string, flags: string[], args: string[], options: CommandOptions = {}): Promise<void> {
    const { runtime, runtimeRoot, id } = this.#container;
    const path = runtime!.path;
    const logFile = this.#file("log");
    const global = ["--root", runtimeRoot, "--log", logFile, "--log-format", "json"];
    const command = [path, ...(runtime!.args ?? []), ...global, verb, ...flags, ...args];
    log("debug", "runtime command", { command: command.join(" ") });
    try {
      await this.#context.reaper.withForeignChildren(async () => {
        const [stdin, stdout, stderr] = options.stdio ?? (["ignore", "ignore", "pipe"] as const);
        const child = Bun.spawn(command, {
          cwd: this.#container.bundle,
          env: scrubbedEnvironment(),
          stdin,
          stdout,
          stderr,
        });
        const [status, said] = await Promise.all([child.exited, textOf(child.stderr)]);
        if (status === 0) return;
        const reason = readRuntimeLog(logFile) ?? (said.trim() || `it ended with status ${status}`);
        throw new EngineError(codeOf(reason), `container ${id}: ${path} ${verb}: ${reason}`, { stage: verb });
      });
    } catch (error) {
      if (isErrno(error, "ENOENT", "EACCES") && !(error instanceof EngineError)) {
        throw new EngineError("not_found", `runtime ${path} cannot be executed: ${errorMessage(error)}`, { path });
      }
      throw error;
    } finally {
      rmSync(logFile, { force: true });
    }
  }

  /** A name of its own, for several verbs may run at once. */
  #file(name: string): string {
    return join(this.#directory, `${this.#execs++}.${name}`);
  }
}

/** sizeof(sun_path), with its NUL: unix(7). */
const socketPathBytesMax = 108;

/** A path that the runtime can connect to: a long one, below a state directory far down, leads through this process. */
function reachableSocket(path: string, directory: Fd): string {
  if (Buffer.byteLength(path) < socketPathBytesMax) return path;
  return `/proc/${process.pid}/fd/${directory.number}/${basename(path)}`;
}

function textOf(stream: unknown): Promise<string> {
  return stream instanceof ReadableStream ? new Response(stream).text() : Promise.resolve("");
}

function readPid(path: string): number {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw wrapError(error, "the runtime wrote no pid file");
  }
  const pid = Number(text.trim());
  if (!Number.isInteger(pid) || pid <= 0) throw new EngineError("internal", `the runtime's pid file says ${text}`);
  return pid;
}

/** The runtime has ended: what it sent waits in the socket. */
function receiveConsole(listener: Fd): Fd {
  const none = new EngineError("internal", "the runtime sent no terminal to its console socket");
  if (!waitReady(listener, POLLIN, 1000)) throw none;
  using connection = acceptUnix(listener);
  if (!waitReady(connection, POLLIN, 1000)) throw none;
  const { descriptors } = receiveDescriptors(connection);
  const [master, ...others] = descriptors;
  for (const other of others) other.close();
  if (master === undefined) throw none;
  return master;
}

/** The last error in a runtime's JSON log. */
function readRuntimeLog(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined; // Not every runtime writes one.
  }
  for (const line of text.trim().split("\n").reverse()) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      if (msg !== undefined && (level === "error" || level === "fatal")) return msg;
    } catch {
      return line === "" ? undefined : line;
    }
  }
  return undefined;
}

/** As docker tells from the text what exit status `docker run` has. */
function codeOf(reason: string): ErrorCode {
  if (/executable file `?.*`? ?not found|no such file or directory/i.test(reason) && /exec|\$PATH/.test(reason)) {
    return "command_not_found";
  }
  if (/permission denied|is a directory/i.test(reason) && /exec/.test(reason)) return "command_not_executable";
  if (/not running|stopped state|does not exist/.test(reason)) return "conflict";
  return "internal";
}
