import { existsSync, readdirSync } from "node:fs";
import { type CommandOptions, type CommandResult, until } from "./command.ts";
import { Daemon, type DaemonOptions } from "./daemon.ts";
import { type Registry, startRegistry } from "./registry.ts";
import { Workspace } from "./workspace.ts";

/** A daemon with a busybox image that it has pulled from a registry of its own: what most test files begin with. */
export class Engine implements AsyncDisposable {
  readonly workspace: Workspace;
  readonly daemon: Daemon;
  readonly registry: Registry;
  /** The reference of the pulled image, with the registry's host and no tag. */
  readonly busybox: string;

  private constructor(workspace: Workspace, daemon: Daemon, registry: Registry, busybox: string) {
    this.workspace = workspace;
    this.daemon = daemon;
    this.registry = registry;
    this.busybox = busybox;
  }

  /** @param options.prepare is called before the daemon starts. */
  static async open(
    options: DaemonOptions & { prepare?: (workspace: Workspace) => Promise<void> } = {},
  ): Promise<Engine> {
    const workspace = await Workspace.open();
    try {
      await options.prepare?.(workspace);
      const [daemon, registry] = await Promise.all([Daemon.start(workspace, options), startRegistry(workspace)]);
      const busybox = await registry.push("busybox");
      await daemon.ok("pull", "-q", busybox);
      return new Engine(workspace, daemon, registry, busybox);
    } catch (error) {
      await workspace[Symbol.asyncDispose]();
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.workspace[Symbol.asyncDispose]();
  }

  tsd(args: string[], options?: CommandOptions): Promise<CommandResult> {
    return this.daemon.tsd(args, options);
  }

  /** `tsd run --rm FLAGS busybox COMMAND` */
  run(flags: string[], command: string[], options?: CommandOptions): Promise<CommandResult> {
    return this.tsd(["run", "--rm", ...flags, this.busybox, ...command], options);
  }

  /** Runs a shell script in a container; it has to succeed. @returns its standard output, without the last newline. */
  async sh(flags: string[], script: string, options?: CommandOptions): Promise<string> {
    const { status, stdout, stderr } = await this.run(flags, ["sh", "-c", script], options);
    if (status !== 0) throw new Error(`run ${flags.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  /** Starts a container in the background. @returns its id. */
  start(flags: string[], ...command: string[]): Promise<string> {
    return this.daemon.ok("run", "-d", ...flags, this.busybox, ...command);
  }

  /** One field of `inspect`, by a template. */
  inspect(container: string, template: string): Promise<string> {
    return this.daemon.ok("inspect", "--format", template, container);
  }

  /** Waits until a template of `inspect` gives this value. */
  async untilInspect(container: string, template: string, value: string): Promise<void> {
    const look = async () => (await this.inspect(container, template)) === value;
    await until(`${template} of ${container} is ${value}`, look);
  }

  /** Waits until a container has printed a line. */
  async untilLogs(container: string, line: string): Promise<void> {
    await until(`${container} has printed ${line}`, async () => {
      const { stdout } = await this.tsd(["logs", container]);
      return stdout.split(/\r?\n/).includes(line);
    });
  }

  /** All that a container leaves on the host: its record, its files, its runtime state, its processes, its cgroup. */
  async traces(): Promise<string[]> {
    const { root, state } = this.daemon;
    const records = (await this.daemon.ok("ps", "-aq", "--no-trunc")).split("\n").filter(Boolean);
    return [
      ...records.map((id) => `record ${id}`),
      ...entries(`${root}/containers`),
      ...entries(`${root}/snapshots/trash`),
      ...entries(`${state}/containers`),
      ...entries(`${state}/runtime`),
      ...this.workspace.mounts(),
      ...this.workspace.cgroups(),
    ];
  }

  /** Waits until nothing of any container is left, as after `run --rm`. */
  async untilNoTrace(): Promise<void> {
    let traces: string[] = [];
    try {
      await until("no trace of a container", async () => {
        traces = await this.traces();
        return traces.length === 0;
      });
    } catch (error) {
      throw new Error(`left behind:\n${traces.join("\n")}`, { cause: error });
    }
  }
}

/** But for hidden ones: what is kept for all containers. */
function entries(directory: string): string[] {
  if (!existsSync(directory)) return []; // nothing has needed it yet
  const names = readdirSync(directory).filter((name) => !name.startsWith("."));
  return names.map((name) => `${directory}/${name}`);
}
