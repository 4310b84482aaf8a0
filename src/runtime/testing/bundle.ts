/** Bundles for tests: a root file system that is busybox and nothing else. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatExactJson } from "../../core/exact-json.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { specTemplate } from "../spec-template.ts";

const busybox = "/usr/bin/busybox";
const applets = ["sh", "cat", "echo", "env", "false", "grep", "id", "kill", "ls", "pwd", "readlink", "seq", "sleep"];
const moreApplets = ["sort", "stty", "touch", "true", "tty", "wc", "head", "stat", "test", "hostname", "mount", "ps"];

/** One directory with everything that a test makes, removed at its end. */
export class TestBundles implements Disposable {
  readonly directory: string = mkdtempSync("/var/tmp/tsd-runtime-");
  /** The state root for `--root`. */
  readonly root: string = join(this.directory, "state");
  #count = 0;

  /** A new bundle whose process is the command; `change` may alter its configuration. @returns its path. */
  make(args: string[], change: (config: RuntimeConfig) => void = () => undefined): string {
    this.#count += 1;
    const bundle = join(this.directory, `bundle${this.#count}`);
    makeRootfs(join(bundle, "rootfs"));
    const config = specTemplate({ cgroupNamespace: false });
    config.process = { ...config.process!, args, terminal: false };
    config.linux = { ...config.linux, cgroupsPath: `/${this.cgroupPrefix}${this.#count}` };
    change(config);
    writeFileSync(join(bundle, "config.json"), formatExactJson(config));
    return bundle;
  }

  /** What the names of their cgroups begin with. */
  get cgroupPrefix(): string {
    return `tsd-test-${process.pid}-${this.directory.slice(-6)}-`;
  }

  /** Gives everything to a user without privileges. */
  chown(uid: number): void {
    const { exitCode, stderr } = Bun.spawnSync(["chown", "-R", `${uid}:${uid}`, this.directory]);
    if (exitCode !== 0) throw new Error(stderr.toString());
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function makeRootfs(rootfs: string): void {
  for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(busybox, join(rootfs, "bin", "busybox"));
  for (const applet of [...applets, ...moreApplets]) symlinkSync("busybox", join(rootfs, "bin", applet));
  writeFileSync(join(rootfs, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
  writeFileSync(join(rootfs, "etc", "not-executable"), "text\n");
}
