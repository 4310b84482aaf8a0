/** A container's user namespace in the kernel: made when it starts, and from then on kept alive by its processes. */
import { writeFileSync } from "node:fs";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { createUserNamespace } from "../../../ffi/plan/namespaces.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import type { LinuxIdMapping } from "../../oci/runtime.ts";
import { namespaceOf } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import type { EngineContext } from "../context.ts";
import { sharedNamespaces } from "./settle.ts";

/**
 * The namespace, held by a descriptor, which the caller closes; undefined for a container in the host's.
 * @throws EngineError conflict when a container whose namespaces it shares does not run.
 */
export function openUserNamespace(context: EngineContext, container: Container): Fd | undefined {
  const { userNamespace, hostConfig } = container.definition;
  if (userNamespace === undefined) return undefined;
  const shared = sharedNamespaces(context, hostConfig);
  // What was asked for has to be there, and an error names that.
  for (const { kind, other } of shared) namespaceOf(context, other.id, kind);
  const [first] = shared;
  if (first !== undefined) return open(namespaceOf(context, first.other.id, "user"), O_RDONLY);
  try {
    return createUserNamespace((pid) => {
      writeFileSync(`/proc/${pid}/uid_map`, lines(userNamespace.uids));
      writeFileSync(`/proc/${pid}/gid_map`, lines(userNamespace.gids));
    });
  } catch (error) {
    if (isErrno(error, "ENOSPC", "EUSERS")) {
      const reason = "the host allows no more user namespaces (sysctl user.max_user_namespaces)";
      throw new EngineError("conflict", `make the user namespace: ${reason}`, { stage: "start", cause: error });
    }
    throw wrapError(error, "make the user namespace", { stage: "start" });
  }
}

function lines(mappings: readonly LinuxIdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}
