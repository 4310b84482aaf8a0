/** File systems on loop devices, with project quotas where the kernel has them. */
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type DiskKind = "ext4" | "xfs";
export const diskKinds: readonly DiskKind[] = ["ext4", "xfs"];

const kinds = {
  ext4: { make: ["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"], option: "prjquota" },
  xfs: { make: ["mkfs.xfs", "-q"], option: "pquota" },
} as const;
/** The least that mkfs.xfs makes. */
const diskBytes = 300 * 2 ** 20;

/** Mounted until it is disposed of. */
export class QuotaDisk implements Disposable {
  readonly path: string;
  readonly #directory: string;
  readonly #image: string;
  readonly #kind: DiskKind;

  /**
   * @param options of the mount; the default is the one that turns project quotas on.
   * @param directory where it is mounted; its default is one of its own.
   * @throws Error with what mount(8) says where this kernel cannot.
   */
  constructor(kind: DiskKind, { options, directory }: { options?: string; directory?: string } = {}) {
    this.#kind = kind;
    this.#directory = mkdtempSync("/var/tmp/tsd-disk-");
    this.#image = join(this.#directory, "image");
    this.path = directory ?? join(this.#directory, "disk");
    mkdirSync(this.path, { recursive: true });
    writeFileSync(this.#image, "");
    truncateSync(this.#image, diskBytes);
    try {
      run(...kinds[kind].make, this.#image);
      this.mount(options);
    } catch (error) {
      rmSync(this.#directory, { recursive: true });
      throw error;
    }
  }

  mount(options: string = kinds[this.#kind].option): void {
    run("mount", "-o", options === "" ? "loop" : `loop,${options}`, this.#image, this.path);
  }

  unmount(): void {
    run("umount", this.path);
  }

  [Symbol.dispose](): void {
    this.unmount();
    rmSync(this.#directory, { recursive: true });
  }
}

/** Whether this kernel, with the programs of this machine, limits projects on file systems of the kind. */
export function hasQuotaDisks(kind: DiskKind): boolean {
  if (process.getuid?.() !== 0 || Bun.which(kinds[kind].make[0]) === null) return false;
  try {
    new QuotaDisk(kind)[Symbol.dispose]();
    return true;
  } catch {
    return false; // the tests are skipped, and say so
  }
}

function run(...argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv, { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr.toString()}`);
}
