/** A container's user namespace in the kernel: made when it starts, and from then on kept alive by its processes. */
import { writeFileSync } from "node:fs";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { createUserNamespace } from "../../../ffi/plan/namespaces.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import type { Sandbox } from "../../network/sandbox.ts";
import type { LinuxIdMapping } from "../../oci/runtime.ts";
import { namespaceOf } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import type { EngineContext } from "../context.ts";
import type { UserNamespace } from "./mapping.ts";
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
  return context.spareUsers.take(userNamespace) ?? makeUserNamespace(userNamespace);
}

/** @throws EngineError conflict when the host allows no more. */
export function makeUserNamespace({ uids, gids }: UserNamespace): Fd {
  try {
    return createUserNamespace((pid) => {
      writeFileSync(`/proc/${pid}/uid_map`, lines(uids));
      writeFileSync(`/proc/${pid}/gid_map`, lines(gids));
    });
  } catch (error) {
    if (isErrno(error, "ENOSPC", "EUSERS")) {
      const reason = "the host allows no more user namespaces (sysctl user.max_user_namespaces)";
      throw new EngineError("conflict", `make the user namespace: ${reason}`, { stage: "start", cause: error });
    }
    throw wrapError(error, "make the user namespace", { stage: "start" });
  }
}

/** After a container's start: the next of its kind need not wait for its user namespace. */
export function makeNextUserNamespace(context: EngineContext, { definition }: Container, sandbox: Sandbox): void {
  const { userNamespace: users, hostConfig } = definition;
  const modes = [hostConfig.NetworkMode, hostConfig.IpcMode, hostConfig.PidMode];
  if (users === undefined || modes.some((mode) => mode?.startsWith("container:"))) return;
  context.spareUsers.refill({ users, isConnected: sandbox.endpoints[0]?.networkName === "bridge" });
}

function lines(mappings: readonly LinuxIdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}
