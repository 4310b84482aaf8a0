/** What the tests of escapes share: hostile root file systems, containers of them, and a look at the host afterwards. */
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { RuntimeConfig } from "../../../src/oci/runtime.ts";
import { type CommandOptions, type CommandResult, command, succeed, until } from "../../harness/command.ts";
import { tsd, Workspace } from "../../harness/workspace.ts";
import { dockerLikeConfig } from "./config.ts";

export interface Victim {
  id: string;
  bundle: string;
  /** The root file system on the host: what an attacker's image, or a volume that is shared, has in it. */
  rootfs: string;
}

type Change = (config: RuntimeConfig) => void;

/** A state root, root file systems that a test makes hostile, and containers of them that run under the built tsd. */
export class Scene implements AsyncDisposable {
  readonly workspace: Workspace;
  #count = 0;

  private constructor(workspace: Workspace) {
    this.workspace = workspace;
  }

  static async open(): Promise<Scene> {
    const scene = new Scene(await Workspace.open());
    await makeRootfs(scene.path("image"));
    return scene;
  }

  path(...names: string[]): string {
    return this.workspace.path(...names);
  }

  get stateRoot(): string {
    return this.path("state");
  }

  newId(): string {
    this.#count += 1;
    return `${this.workspace.name}-${this.#count}`;
  }

  argv(words: string[]): string[] {
    return [tsd, "runtime", "--root", this.stateRoot, ...words];
  }

  verb(words: string[], options?: CommandOptions): Promise<CommandResult> {
    return command(this.argv(words), options);
  }

  /** A directory of the host's, with a name of its own. */
  directory(name: string): string {
    const path = this.path(`${this.newId()}-${name}`);
    mkdirSync(path);
    return path;
  }

  /**
   * A bundle with a root file system of its own: busybox, perl, nothing in the way of an attacker.
   * @param spoil makes the image hostile; gets the path of the root file system. The programs in it are hard links to
   *   those of all the others.
   */
  async victim(args: string[], change: Change = () => undefined, spoil?: (rootfs: string) => void): Promise<Victim> {
    const id = this.newId();
    const bundle = this.path(id);
    const rootfs = join(bundle, "rootfs");
    mkdirSync(bundle);
    await succeed(["cp", "-al", this.path("image"), rootfs]);
    spoil?.(rootfs);
    const victim = { id, bundle, rootfs };
    this.configure(victim, args, change);
    return victim;
  }

  /** Writes the configuration of a bundle anew. */
  configure({ id, bundle }: Victim, args: string[], change: Change = () => undefined): void {
    const config = dockerLikeConfig(args);
    config.linux!.cgroupsPath = `${this.workspace.cgroupParent}/${id}`;
    change(config);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  }

  /** `run` in the foreground, to the end. */
  run({ id, bundle }: Victim, options?: CommandOptions): Promise<CommandResult> {
    return this.verb(["run", "--bundle", bundle, id], options);
  }

  /** A container that runs (or with `create` waits), and is deleted at the end of the block. */
  async running(
    args: string[] = ["sleep", "1000"],
    change?: Change,
    spoil?: (rootfs: string) => void,
    verb: string[] = ["run", "--detach"],
  ): Promise<Victim & { output: () => string } & AsyncDisposable> {
    const victim = await this.victim(args, change, spoil);
    const output = this.path(`${victim.id}.out`);
    const child = Bun.spawn(this.argv([...verb, "--bundle", victim.bundle, victim.id]), {
      stdio: ["ignore", Bun.file(output), Bun.file(output)],
    });
    const read = () => readFileSync(output, "utf8");
    if ((await child.exited) !== 0) throw new Error(`${verb.join(" ")}: ${read()}`);
    return { ...victim, output: read, [Symbol.asyncDispose]: () => this.remove(victim.id) };
  }

  exec(id: string, words: string[], options?: CommandOptions): Promise<CommandResult> {
    const at = words.indexOf("--");
    return this.verb(["exec", ...words.slice(0, at), id, ...words.slice(at + 1)], options);
  }

  async pidOf(id: string): Promise<number> {
    const { status, stdout, stderr } = await this.verb(["state", id]);
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout).pid;
  }

  async remove(id: string): Promise<void> {
    const { status, stderr } = await this.verb(["delete", "--force", id]);
    if (status !== 0) throw new Error(stderr);
    await until(`no process of ${id}`, () => this.workspace.cgroups().every((path) => !path.includes(id)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.workspace[Symbol.asyncDispose]();
  }
}

/** What a test has hidden on the host, outside of every root: a container that shows it has got out. */
export const secret = "the-host-has-a-secret-46b1c9";

/** Every name below a directory with its type, inode, size, times and target: what an attacker would have changed. */
export function treeState(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .sort()
    .map((path) => {
      const { ino, mode, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
      const target = (mode & 0o170000n) === 0o120000n ? readlinkSync(path) : "";
      return [path, ino, mode, size, mtimeNs, ctimeNs, target].join(" ");
    });
}

const applets =
  "cat chmod chroot cp cut dd echo env false find grep head hostname id kill ln ls mkdir mknod mount mv pwd readlink rm sh sleep sort stat sync tail test touch tr true tty umount wc".split(
    " ",
  );

/** busybox and perl (which Debian always has) with its libraries: an attacker brings his own tools. */
async function makeRootfs(rootfs: string): Promise<void> {
  for (const name of ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "vol"]) {
    mkdirSync(join(rootfs, name), { recursive: true });
  }
  copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
  for (const applet of applets) symlinkSync("busybox", join(rootfs, "bin", applet));
  const perl = "/usr/bin/perl";
  const libraries = (await succeed(["ldd", perl])).matchAll(/(\/\S+) \(0x/g);
  for (const path of [perl, ...[...libraries].map((match) => match[1]!)]) {
    mkdirSync(join(rootfs, dirname(path)), { recursive: true });
    copyFileSync(path, join(rootfs, path));
  }
  writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n");
  writeFileSync(join(rootfs, "etc/hostname"), "inside\n");
}
