/** A file that a confined child may read, and cannot open anew for writing. */
import { MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE } from "../../../ffi/constants/mount.ts";
import { AT_EMPTY_PATH, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { mount_setattr, open_tree } from "../../../ffi/mount.ts";

/**
 * The same file through a mount that is read-only and attached nowhere. Through /proc/self/fd a descriptor can be
 * opened once more with other flags, by root whatever the first ones were: only its mount says no.
 */
export function readOnlyFile(file: Fd): Fd {
  using tree = open_tree(file, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  mount_setattr(tree, { set: MOUNT_ATTR_RDONLY });
  return open(`/proc/self/fd/${tree.number}`, O_RDONLY);
}
