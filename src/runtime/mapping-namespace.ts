import type { Fd } from "../../ffi/fd.ts";
import { createUserNamespace } from "../../ffi/plan/namespaces.ts";
import { wrapError } from "../core/errors.ts";
import type { LinuxIdMapping } from "../oci/runtime.ts";
import { writeUserMaps } from "./user-maps.ts";

/**
 * A user namespace with these mappings: mount_setattr(2) takes them for a mount, a container can join it.
 * @throws EngineError.
 */
export function makeMappingNamespace(uids: readonly LinuxIdMapping[], gids: readonly LinuxIdMapping[]): Fd {
  try {
    return createUserNamespace((pid) => writeUserMaps(pid, uids, gids));
  } catch (error) {
    throw wrapError(error, "make a user namespace");
  }
}
