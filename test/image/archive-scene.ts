/** What the tests of archives share: a daemon, trees unpacked by GNU tar, and what is left in a store. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { type TreeOptions, treeLines } from "../harness/tree.ts";
import { Workspace } from "../harness/workspace.ts";

export class ArchiveScene {
  readonly workspace: Workspace;
  readonly daemon: Daemon;
  #count = 0;

  private constructor(workspace: Workspace, daemon: Daemon) {
    this.workspace = workspace;
    this.daemon = daemon;
  }

  static async open(): Promise<ArchiveScene> {
    const workspace = await Workspace.open();
    try {
      return new ArchiveScene(workspace, await Daemon.start(workspace));
    } catch (error) {
      await workspace[Symbol.asyncDispose]();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.workspace[Symbol.asyncDispose]();
  }

  /** A path that nobody has used. */
  fresh(name: string): string {
    return this.workspace.path(`${name}-${++this.#count}`);
  }

  /** Archives a directory with GNU tar. @returns the archive's path. */
  async tar(tree: string, ...flags: string[]): Promise<string> {
    const path = this.fresh("tree.tar");
    const numeric = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name"];
    await succeed(["tar", "-c", "--format=posix", ...numeric, ...flags, "-f", path, "-C", tree, "."], {
      timeoutMs: 120_000,
    });
    return path;
  }

  /** What GNU tar makes of an archive. Nothing is said of the root itself, which few archives describe. */
  async treeOf(archive: string, options?: TreeOptions): Promise<string[]> {
    const directory = this.fresh("unpacked");
    mkdirSync(directory);
    const flags = ["-p", "--same-owner", "--numeric-owner", "--xattrs", "--xattrs-include=*"];
    await succeed(["tar", "-x", ...flags, "-f", archive, "-C", directory], { timeoutMs: 120_000 });
    const lines = linesBelow(directory, options);
    rmSync(directory, { recursive: true });
    return lines;
  }

  /** The file system of an image, as an export of a container of it shows it, without what marks it as a container's. */
  async treeOfImage(image: string, options?: TreeOptions): Promise<string[]> {
    const id = await this.daemon.ok("create", "--network", "none", image, "none");
    const archive = this.fresh("image.tar");
    await this.daemon.ok("export", "-o", archive, id);
    await this.daemon.ok("rm", id);
    const lines = await this.treeOf(archive, options);
    rmSync(archive);
    return lines.filter((line) => !line.startsWith('"./.dockerenv" '));
  }

  /** A command that has to fail. @returns the last line of its standard error that is no hint. */
  async refused(args: string[], stdin?: string | Uint8Array): Promise<string> {
    const { status, stdout, stderr } = await this.daemon.tsd(args, stdin === undefined ? {} : { stdin });
    if (status === 0) throw new Error(`${args.join(" ")}: did not fail: ${stdout}`);
    return stderr
      .trimEnd()
      .split("\n")
      .findLast((line) => !line.startsWith("hint:"))!;
  }

  /** Everything that a store has: blobs, what is being taken in, layers. */
  stored(): string[] {
    const { root } = this.daemon;
    return [
      ...readdirSync(join(root, "content/blobs/sha256")),
      ...readdirSync(join(root, "content/ingest")),
      ...readdirSync(join(root, "snapshots")).filter((name) => name !== "trash" && name !== "empty"),
    ].sort();
  }

  /** Removes every image and container. */
  async clear(): Promise<void> {
    await this.daemon.removeContainers();
    await this.daemon.removeImages();
  }
}

export function linesBelow(directory: string, options?: TreeOptions): string[] {
  return treeLines(directory, options).filter((line) => !line.startsWith('"." '));
}
