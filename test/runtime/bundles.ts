import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { type CommandOptions, type CommandResult, command, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { startRegistry } from "../harness/registry.ts";
import { tsd, Workspace } from "../harness/workspace.ts";

export type RuntimeName = "runc" | "tsd";

/** Bundles that `tsd bundle` wrote of real images, and the two runtimes that run them, each with a state root of its own. */
export class Bundles implements AsyncDisposable {
  readonly workspace: Workspace;
  #count = 0;

  private constructor(workspace: Workspace) {
    this.workspace = workspace;
  }

  /** @param images what is pulled from a registry and written out as a bundle, once for the file. */
  static async open(images: ("busybox" | "debian")[]): Promise<Bundles> {
    const bundles = new Bundles(await Workspace.open());
    const { workspace } = bundles;
    const daemon = await Daemon.start(workspace);
    const registry = await startRegistry(workspace);
    for (const image of images) {
      await daemon.ok("bundle", "-q", await registry.push(image), workspace.path(image));
    }
    return bundles;
  }

  /** The argument vector of a verb. */
  argv(runtime: RuntimeName, words: string[]): string[] {
    const program = runtime === "runc" ? ["runc"] : [tsd, "runtime"];
    return [...program, "--root", this.stateRoot(runtime), ...words];
  }

  stateRoot(runtime: RuntimeName): string {
    return this.workspace.path(`state-${runtime}`);
  }

  verb(runtime: RuntimeName, words: string[], options?: CommandOptions): Promise<CommandResult> {
    return command(this.argv(runtime, words), options);
  }

  /** Runs a verb that leaves a process behind: its streams are files, for a pipe would not end before the process does. */
  async detached(runtime: RuntimeName, words: string[]): Promise<CommandResult> {
    this.#count += 1;
    const [out, err] = [this.workspace.path(`out-${this.#count}`), this.workspace.path(`err-${this.#count}`)];
    const child = Bun.spawn(this.argv(runtime, words), { stdio: ["ignore", Bun.file(out), Bun.file(err)] });
    const status = await child.exited;
    return { status, stdout: await Bun.file(out).text(), stderr: await Bun.file(err).text() };
  }

  async state(runtime: RuntimeName, id: string): Promise<Record<string, unknown> & { pid: number; status: string }> {
    const { status, stdout, stderr } = await this.verb(runtime, ["state", id]);
    if (status !== 0) throw new Error(`state ${id}: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** The kernel ends processes, and their parent reaps them, in their own time. */
  waitFor(runtime: RuntimeName, id: string, wanted: string): Promise<unknown> {
    return until(`${id} is ${wanted}`, async () => (await this.state(runtime, id)).status === wanted);
  }

  /** Whatever there is of a container: its state, cgroups, processes, mounts. */
  traces(runtime: RuntimeName, id: string): string[] {
    const state = join(this.stateRoot(runtime), id);
    const cgroups = globSync(`/sys/fs/cgroup/{,*/}${this.workspace.cgroupParent.slice(1)}/${id}`);
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const processes = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && cgroupOf(pid).includes(id));
    return [
      ...(existsSync(state) ? [`state ${state}`] : []),
      ...cgroups.map((path) => `cgroup ${path}`),
      ...mounts.filter((line) => line.includes(id)).map((line) => `mount ${line}`),
      ...processes.map((pid) => `process ${pid}`),
    ];
  }

  /** A name that no other container has, of the same length each time: tables are compared. */
  newId(): string {
    this.#count += 1;
    return `${this.workspace.name}-${String(this.#count).padStart(3, "0")}`;
  }

  /**
   * A bundle with the root of an image's and a configuration of its own.
   * @param change alters the configuration that `tsd bundle` made.
   * @returns its directory.
   */
  async variant(
    image: "busybox" | "debian",
    id: string,
    change: (config: RuntimeConfig) => void = () => undefined,
  ): Promise<string> {
    const original = this.workspace.path(image);
    const directory = this.workspace.path(`bundle-${id}`);
    mkdirSync(directory, { recursive: true });
    const config = (await Bun.file(join(original, "config.json")).json()) as RuntimeConfig;
    config.root = { ...config.root, path: join(original, "rootfs") };
    config.linux = { ...config.linux, cgroupsPath: `${this.workspace.cgroupParent}/${id}` };
    change(config);
    writeFileSync(join(directory, "config.json"), JSON.stringify(config, null, 2));
    return directory;
  }

  /** A busybox bundle whose process is the command; its container has the name that is returned. */
  async bundleOf(
    args: string[],
    change: (config: RuntimeConfig) => void = () => undefined,
  ): Promise<{ id: string; bundle: string }> {
    const id = this.newId();
    const bundle = await this.variant("busybox", id, (config) => {
      config.process!.args = args;
      change(config);
    });
    return { id, bundle };
  }

  /** A container that runs, and is deleted when the test ends. */
  async running(
    runtime: RuntimeName,
    args: string[] = ["sleep", "1000"],
    change?: (config: RuntimeConfig) => void,
  ): Promise<{ id: string; bundle: string } & AsyncDisposable> {
    const { id, bundle } = await this.bundleOf(args, change);
    const { status, stderr } = await this.detached(runtime, ["run", "--detach", "--bundle", bundle, id]);
    if (status !== 0) throw new Error(stderr);
    return { id, bundle, [Symbol.asyncDispose]: () => this.remove(runtime, id) };
  }

  async remove(runtime: RuntimeName, id: string): Promise<void> {
    const { status, stderr } = await this.verb(runtime, ["delete", "--force", id]);
    if (status !== 0) throw new Error(stderr);
    await until(`nothing is left of ${id}`, () => this.traces(runtime, id).length === 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.workspace[Symbol.asyncDispose]();
  }
}

/** The `msg` of the error in the log on standard error. */
export function messageOf(stderr: string): string {
  const quoted = /level=error msg=(".*")$/m.exec(stderr)?.[1];
  if (quoted === undefined) throw new Error(`no error in the log: ${stderr}`);
  return JSON.parse(quoted);
}

/** A process that has ended, and that its parent has yet to reap, is no trace. */
function cgroupOf(pid: string): string {
  try {
    if (/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return "";
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return ""; // it ended while it was looked at
  }
}
