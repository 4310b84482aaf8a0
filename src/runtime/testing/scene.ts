/** What tests of the verbs look at and clean up: the state root, cgroups and processes of their containers. */
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { processStat } from "../../../ffi/process.ts";
import { isErrno } from "../../core/errors.ts";
import { TestBundles } from "./bundle.ts";
import { succeed } from "./runtime.ts";

/** Bundles, and the containers that a test makes of them. */
export class Scene {
  readonly bundles: TestBundles = new TestBundles();
  /** For `--root`. */
  readonly root: string = this.bundles.root;

  /** The containers and what else is in the state root. */
  stateRoot(): string[] {
    return existsSync(this.root) ? readdirSync(this.root).filter((name) => !name.startsWith(".")) : [];
  }

  /** The cgroup directories of the containers. */
  cgroups(): string[] {
    return globSync(`/sys/fs/cgroup/**/${this.bundles.cgroupPrefix}*`);
  }

  async stateOf(id: string): Promise<Record<string, unknown> & { pid: number; status: string }> {
    return JSON.parse(await succeed(this.root, "state", id));
  }

  async waitForStatus(id: string, status: string): Promise<void> {
    const deadline = performance.now() + 5000;
    for (;;) {
      const state = await this.stateOf(id);
      if (state.status === status) return;
      if (performance.now() > deadline) throw new Error(`${id} is ${state.status} and not ${status}`);
      await Bun.sleep(10);
    }
  }

  /** Deletes everything. @returns the cgroups that are left all the same. */
  async end(): Promise<string[]> {
    for (const id of this.stateRoot()) await succeed(this.root, "delete", "--force", id);
    const leftover = this.cgroups();
    this.bundles[Symbol.dispose]();
    return leftover;
  }
}

/** Living processes that have the bundle among their mounts. */
export function processesOf(bundle: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    const stat = processStat(Number(pid));
    return stat !== undefined && stat.state !== "Z" && readMountinfo(pid).includes(bundle);
  });
}

function readMountinfo(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  } catch (error) {
    // It has ended meanwhile.
    if (isErrno(error, "ENOENT", "ESRCH", "EINVAL")) return "";
    throw error;
  }
}
