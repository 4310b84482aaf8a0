import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errorMessage } from "../../src/core/errors.ts";
import { type CommandOptions, type CommandResult, command, succeed, until } from "./command.ts";

/** The executable under test, which test/run.ts has built. */
export const tsd: string = process.env.TSD_EXECUTABLE ?? join(import.meta.dir, "..", "..", "dist", "tsd");

/**
 * What one test file has for itself: a directory on a real file system, a network namespace with its own
 * loopback, a cgroup parent, and at the end a look whether anything was left over.
 */
export class Workspace implements AsyncDisposable {
  readonly name: string = `tsd-test-${randomBytes(4).toString("hex")}`;
  /** Short: sockets below it must fit into 107 bytes. */
  readonly directory: string = `/var/tmp/${this.name}`;
  readonly cgroupParent: string = `/${this.name}`;
  readonly #networkNamespace = join(this.directory, "netns");
  readonly #closers: { what: string; close: () => Promise<unknown> }[] = [];

  static async open(): Promise<Workspace> {
    const workspace = new Workspace();
    mkdirSync(workspace.directory, { mode: 0o755 });
    await Bun.write(workspace.#networkNamespace, "");
    await succeed(["unshare", `--net=${workspace.#networkNamespace}`, "ip", "link", "set", "lo", "up"]);
    return workspace;
  }

  path(...names: string[]): string {
    return join(this.directory, ...names);
  }

  /** The argument vector that runs a program in this workspace's network namespace. */
  inNetwork(argv: string[]): string[] {
    return ["nsenter", `--net=${this.#networkNamespace}`, ...argv];
  }

  run(argv: string[], options?: CommandOptions): Promise<CommandResult> {
    return command(this.inNetwork(argv), options);
  }

  /** Registers something to be closed before the leak check, last registered first. */
  onClose(what: string, close: () => Promise<unknown>): void {
    this.#closers.push({ what, close });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const problems: string[] = [];
    for (const { what, close } of this.#closers.reverse()) {
      try {
        await close();
      } catch (error) {
        problems.push(`${what}: ${errorMessage(error)}`);
      }
    }
    problems.push(...(await this.#leaks()));
    await command(["umount", this.#networkNamespace]);
    rmSync(this.directory, { recursive: true, force: true });
    if (problems.length > 0) throw new Error(`left over after the test:\n${problems.join("\n")}`);
  }

  /** What is still there of this workspace: processes, mounts, cgroups, network devices. */
  async #leaks(): Promise<string[]> {
    // The kernel ends processes and takes mounts down in its own time.
    try {
      await until("no process and no mount", () => this.#processes().length + this.mounts().length === 0, 3000);
    } catch {
      // Said below, by name.
    }
    const links = await this.run(["ip", "-o", "link", "show"]);
    const veths = links.stdout.split("\n").filter((line) => /veth|@if/.test(line));
    const [processes, mounts] = [this.#processes(), this.mounts()];
    const leaks = [
      ...processes.map((process) => `process ${process}`),
      ...mounts.map((mount) => `mount ${mount}`),
      ...this.cgroups().map((cgroup) => `cgroup ${cgroup}`),
      ...veths.map((line) => `network device ${line}`),
    ];
    // Looked for again: a number may have come to somebody else by now.
    if (processes.length > 0) {
      for (const pid of this.#processes()) process.kill(Number(pid.split(" ")[0]), "SIGKILL");
    }
    for (const mount of mounts.reverse()) await command(["umount", "-l", mount]);
    for (const parent of this.#cgroupParents()) removeEmptyDirectory(parent);
    return leaks;
  }

  #processes(): string[] {
    return readdirSync("/proc").flatMap((pid) => {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        const belongs = line.includes(this.directory) || readlinkSync(`/proc/${pid}/root`).includes(this.directory);
        return belongs ? [`${pid} ${line}`] : [];
      } catch {
        return []; // it ended while it was looked at
      }
    });
  }

  /** Mount points below this workspace's directory, but for its network namespace. */
  mounts(): string[] {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const points = mounts.map((line) => line.split(" ")[4] ?? "");
    return points.filter((point) => point.startsWith(`${this.directory}/`) && point !== this.#networkNamespace);
  }

  /** The cgroup parent in every hierarchy: all those of v1, or the one of v2. */
  #cgroupParents(): string[] {
    const hierarchies = ["", ...safeReaddir("/sys/fs/cgroup")];
    return hierarchies.map((hierarchy) => join("/sys/fs/cgroup", hierarchy, this.cgroupParent));
  }

  /** Cgroups below this workspace's parent. */
  cgroups(): string[] {
    const found: string[] = [];
    for (const parent of this.#cgroupParents()) {
      for (const child of safeReaddir(parent, true)) found.push(join(parent, child));
    }
    return found;
  }
}

function safeReaddir(path: string, directoriesOnly = false): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => !directoriesOnly || entry.isDirectory()).map((entry) => entry.name);
  } catch {
    return []; // no such hierarchy
  }
}

function removeEmptyDirectory(path: string): void {
  Bun.spawnSync(["rmdir", path], { stderr: "ignore" });
}
