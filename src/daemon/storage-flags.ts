/** The daemon's `--storage-opt`, as far as dockerd's options of its storage driver mean something here. */
import { parseBytes } from "../core/size.ts";

export interface StorageOptions {
  /** What a container may write that does not say it itself; undefined: as much as there is. */
  containerBytes: number | undefined;
}

/** @param given `NAME=VALUE`, each. @throws Error with the reason for a wrong one. */
export function readStorageOptions(given: readonly string[]): StorageOptions {
  let containerBytes: number | undefined;
  for (const option of given) {
    const separator = option.indexOf("=");
    if (separator < 0) throw new Error(`--storage-opt ${option}: unable to parse key/value option: write NAME=VALUE`);
    const [name, value] = [option.slice(0, separator).trim().toLowerCase(), option.slice(separator + 1).trim()];
    switch (name) {
      case "overlay2.size":
        containerBytes = parseBytes(value);
        break;
      case "overlay2.override_kernel_check":
        // dockerd, too, has no such check any more.
        break;
      default:
        throw new Error(`--storage-opt ${option}: ${whyNot(name)}`);
    }
  }
  return { containerBytes: containerBytes || undefined };
}

function whyNot(name: string): string {
  if (/^(btrfs|dm|fuse-overlayfs|windowsfilter|zfs)\./.test(name))
    return "tsd has no storage drivers beside its own store";
  if (name === "overlay2.mountopt") return "tsd chooses the options of overlayfs itself";
  return `overlay2: unknown option ${name}`;
}
