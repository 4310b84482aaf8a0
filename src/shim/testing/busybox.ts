/** Containers of a static busybox for tests that need a real runtime, and root. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatExactJson } from "../../core/exact-json.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { specTemplate } from "../../runtime/spec-template.ts";
import type { ShimContainer } from "../protocol.ts";
import type { TestShim } from "./shim-process.ts";

const busybox = Bun.which("busybox");
export const canRunContainers: boolean = process.getuid?.() === 0 && busybox !== null;

const commands = [
  "sh",
  "cat",
  "sleep",
  "echo",
  "stty",
  "id",
  "touch",
  "kill",
  "head",
  "yes",
  "ls",
  "env",
  "readlink",
  "true",
  "wc",
];

export interface BusyboxOptions extends Partial<ShimContainer> {
  edit?: (config: RuntimeConfig) => void;
}

/** A directory with the image and what its containers write. */
export class BusyboxContainers implements Disposable {
  readonly directory: string = mkdtempSync("/var/tmp/tsd-busybox-");
  #count = 0;

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A container that runs a shell script on an overlay of its own. */
  make(shim: TestShim, script: string, { edit, ...more }: BusyboxOptions = {}): ShimContainer {
    const number = this.#count++;
    const at = (name: string) => join(this.directory, `${number}.${name}`);
    for (const name of ["upper", "work", "bundle"]) mkdirSync(at(name));
    mkdirSync(join(at("bundle"), "rootfs"));
    const id = `tsd-test-${process.pid}-${number}-${Math.random().toString(36).slice(2, 8)}`;
    const config = specTemplate({ cgroupNamespace: false });
    const terminal = more.terminal ?? false;
    config.process = { ...config.process!, terminal, args: ["sh", "-c", script], env: ["PATH=/bin"] };
    config.root = { path: "rootfs", readonly: false };
    config.linux!.cgroupsPath = `/${id}`;
    edit?.(config);
    writeFileSync(join(at("bundle"), "config.json"), formatExactJson(config));
    const { runtime: _, ...rest } = shim.container("", more);
    return {
      ...rest,
      ...more,
      id,
      bundle: at("bundle"),
      config,
      rootfsMount: { lower: [this.#lower()], upper: at("upper"), work: at("work") },
    };
  }

  #lower(): string {
    const lower = join(this.directory, "lower");
    if (existsSync(lower)) return lower;
    for (const name of ["bin", "proc", "dev", "sys", "tmp"]) mkdirSync(join(lower, name), { recursive: true });
    copyFileSync(busybox!, join(lower, "bin/busybox"));
    for (const name of commands) symlinkSync("busybox", join(lower, "bin", name));
    return lower;
  }
}
