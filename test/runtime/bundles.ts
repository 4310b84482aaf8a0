import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeConfig } from "../../src/oci/runtime.ts";
import { type CommandOptions, type CommandResult, command } from "../harness/command.ts";
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

  [Symbol.asyncDispose](): Promise<void> {
    return this.workspace[Symbol.asyncDispose]();
  }
}
