import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandOptions, type CommandResult, command, until } from "./command.ts";
import { makeBusybox } from "./fixtures.ts";
import { LiveCommand } from "./live.ts";
import { type ConfigChange, type TestConfig, testConfig } from "./oci-bundle.ts";
import { foreignRuntime, runtimeName } from "./runtime-under-test.ts";
import { tsd, Workspace } from "./workspace.ts";

/** A container of a test; it is deleted by force when the test ends. */
export interface TestContainer extends AsyncDisposable {
  id: string;
  /** Its directory, absolute. */
  bundle: string;
}

/** What state JSON has in runc and in tsd. */
export interface RuntimeState {
  ociVersion: string;
  id: string;
  pid: number;
  status: "created" | "running" | "paused" | "stopped";
  bundle: string;
  rootfs: string;
  created: string;
  annotations?: Record<string, string>;
  owner: string;
}

/**
 * The runtime under test (runtime-under-test.ts) for one test file: with a state root, a busybox root file system, a
 * cgroup parent and bundles of its own. At the end no container, process, mount or cgroup may be left.
 */
export class OciRuntime implements AsyncDisposable {
  readonly workspace: Workspace;
  readonly program: string;
  /** `--root`. */
  readonly stateRoot: string;
  /** Of busybox, shared by the containers of this file that do not ask for their own; writable. */
  readonly rootfs: string;
  /** Milliseconds that a wait may take: processes start slowly where the processor is emulated. */
  readonly patienceMs: number = 60_000;
  #count = 0;

  private constructor(workspace: Workspace) {
    this.workspace = workspace;
    this.stateRoot = workspace.path("state");
    this.rootfs = workspace.path("rootfs");
    this.program = foreignRuntime ?? workspace.path("bin", runtimeName);
    workspace.onClose("containers that tests left", () => this.#removeAll());
  }

  static async open(): Promise<OciRuntime> {
    const runtime = new OciRuntime(await Workspace.open());
    if (foreignRuntime === undefined) {
      mkdirSync(runtime.workspace.path("bin"));
      symlinkSync(tsd, runtime.program);
    }
    await makeBusybox(runtime.rootfs);
    return runtime;
  }

  /** The argument vector of a verb, with the state root. Global flags can stand before the verb. */
  argv(...words: string[]): string[] {
    return [this.program, "--root", this.stateRoot, ...words];
  }

  /** Runs a verb whose streams are pipes: not one that leaves a process with them, for which there is `detached`. */
  verb(words: string[], options?: CommandOptions): Promise<CommandResult> {
    return command(this.argv(...words), options);
  }

  /** Runs a verb that has to succeed. @returns its standard output. */
  async ok(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.verb(words);
    if (status !== 0) throw new Error(`${words.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Runs a verb that has to fail. @returns its status and the error in its log. */
  async fails(...words: string[]): Promise<{ status: number; message: string }> {
    const { status, stdout, stderr } = await this.verb(words);
    if (status === 0) throw new Error(`${words.join(" ")}: succeeded\n${stdout}${stderr}`);
    return { status, message: errorOf(stderr) };
  }

  /** Runs a verb that leaves a process behind: its streams are files, for a pipe would not end before the process does. */
  async detached(words: string[], options: Pick<CommandOptions, "env" | "cwd"> = {}): Promise<CommandResult> {
    return detached(this.argv(...words), this.path("streams"), options);
  }

  /** Runs a verb beside the test, with pipes. */
  live(words: string[], env?: Record<string, string>): LiveCommand {
    return new LiveCommand(this.argv(...words), env);
  }

  /** A path in the workspace that nothing has yet. */
  path(name: string): string {
    this.#count += 1;
    return this.workspace.path(`${name}-${String(this.#count).padStart(3, "0")}`);
  }

  /** A name that no other container has, of the same length each time: tables are compared. */
  newId(): string {
    this.#count += 1;
    return `${this.workspace.name}-${String(this.#count).padStart(3, "0")}`;
  }

  /** A root file system of its own, for a test that spoils it. */
  async newRootfs(): Promise<string> {
    const rootfs = this.path("rootfs");
    await makeBusybox(rootfs);
    return rootfs;
  }

  /** A bundle with the shared root; its container, which nobody has made yet, has the name that is returned. */
  bundle(args: string[], change: ConfigChange = () => undefined): TestContainer {
    const id = this.newId();
    const config = testConfig(args, this.rootfs, `${this.workspace.cgroupParent}/${id}`);
    change(config);
    return this.bundleOf(config, id);
  }

  /** A bundle with whatever is given for a config.json: an object, or the file's text. */
  bundleOf(config: TestConfig | object | string, id: string = this.newId()): TestContainer {
    const bundle = this.workspace.path(`bundle-${id}`);
    mkdirSync(bundle);
    const text = typeof config === "string" ? config : JSON.stringify(config, null, 2);
    writeFileSync(join(bundle, "config.json"), text);
    return { id, bundle, [Symbol.asyncDispose]: () => this.remove(id) };
  }

  /** `run` in the foreground, which deletes the container at its end. */
  async run(args: string[], change?: ConfigChange, flags: string[] = [], options?: CommandOptions) {
    const { id, bundle } = this.bundle(args, change);
    return { id, bundle, ...(await this.verb(["run", ...flags, "--bundle", bundle, id], options)) };
  }

  /** A container that `create` made. */
  async created(args: string[] = ["sleep", "1000"], change?: ConfigChange, flags?: string[]): Promise<TestContainer> {
    return this.#make(["create", ...(flags ?? [])], this.bundle(args, change));
  }

  /** A container that `run --detach` started. */
  async running(args: string[] = ["sleep", "1000"], change?: ConfigChange, flags?: string[]): Promise<TestContainer> {
    return this.#make(["run", "--detach", ...(flags ?? [])], this.bundle(args, change));
  }

  async #make(words: string[], container: TestContainer): Promise<TestContainer> {
    const { status, stderr } = await this.detached([...words, "--bundle", container.bundle, container.id]);
    if (status !== 0) throw new Error(`${words.join(" ")}: exit status ${status}\n${stderr}`);
    return container;
  }

  /** A command in a container, with the flags of `exec` before the id. */
  exec(id: string, args: string[], flags: string[] = [], options?: CommandOptions): Promise<CommandResult> {
    return this.verb(["exec", ...flags, id, ...args], options);
  }

  /** `exec` of a shell script that has to succeed. @returns its output, without the last newline. */
  async inside(id: string, script: string): Promise<string> {
    return (await this.ok("exec", id, "sh", "-c", script)).replace(/\n$/, "");
  }

  async state(id: string): Promise<RuntimeState> {
    return JSON.parse(await this.ok("state", id));
  }

  /** The kernel ends processes, and their parent reaps them, in their own time. */
  waitFor(id: string, wanted: RuntimeState["status"]): Promise<RuntimeState> {
    return this.until(`${id} is ${wanted}`, async () => {
      const state = await this.state(id);
      return state.status === wanted && state;
    });
  }

  until<T>(what: string, look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
    return until(what, look, this.patienceMs);
  }

  /** Deletes it by force, and waits until nothing is left of it. */
  async remove(id: string): Promise<void> {
    await this.ok("delete", "--force", id);
    await this.until(`nothing is left of ${id}`, () => this.traces(id).length === 0);
  }

  /** The container's directory in every hierarchy that has one. */
  cgroups(id: string): string[] {
    return globSync(`/sys/fs/cgroup/{,*/}${this.workspace.cgroupParent.slice(1)}/${id}`);
  }

  /** Whatever there is of a container: its state, cgroups, processes, mounts. */
  traces(id: string): string[] {
    const state = join(this.stateRoot, id);
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const processes = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isBelow(pid, id));
    return [
      ...(existsSync(state) ? [`state ${state}`] : []),
      ...this.cgroups(id).map((path) => `cgroup ${path}`),
      ...mounts.filter((line) => line.includes(id)).map((line) => `mount ${line}`),
      ...processes.map((pid) => `process ${pid}`),
    ];
  }

  /** Pids of commands on a container that have not ended, and of shells that are about to become one. */
  commands(id: string): string[] {
    return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && wordsOf(pid).includes(id));
  }

  async #removeAll(): Promise<void> {
    const left = existsSync(this.stateRoot) ? readdirSync(this.stateRoot) : [];
    const ids = left.filter((name) => name.startsWith(this.workspace.name));
    for (const id of ids) await this.verb(["delete", "--force", id]);
    if (ids.length > 0) throw new Error(ids.join(" "));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.workspace[Symbol.asyncDispose]();
  }
}

/**
 * Runs a program whose streams are files.
 * @param path of the files, without their ends.
 */
export async function detached(
  argv: string[],
  path: string,
  options: Pick<CommandOptions, "env" | "cwd"> = {},
): Promise<CommandResult> {
  const [out, err] = [`${path}.out`, `${path}.err`];
  const child = Bun.spawn(argv, {
    stdio: ["ignore", Bun.file(out), Bun.file(err)],
    env: { ...process.env, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  const status = await child.exited;
  return { status, stdout: await Bun.file(out).text(), stderr: await Bun.file(err).text() };
}

/** The `msg` of the last error in a log in text format. */
export function errorOf(log: string): string {
  const quoted = [...log.matchAll(/level=error msg=("(?:[^"\\]|\\.)*"|\S+)/g)].at(-1)?.[1];
  if (quoted === undefined) throw new Error(`no error in the log: ${log}`);
  return quoted.startsWith('"') ? JSON.parse(quoted) : quoted;
}

/** Whether a process is in a container's cgroup. One that has ended, and that its parent has yet to reap, is no trace. */
function isBelow(pid: string, id: string): boolean {
  try {
    if (!readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(id)) return false;
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false; // it ended while it was looked at
  }
}

function wordsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it ended while it was looked at
  }
}
