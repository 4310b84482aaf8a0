/** Which user namespace a container gets: what is asked for, what the daemon was told, whose namespaces it shares. */
import type { HostConfig } from "../../api/schema/container-config.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { builtinRuntime } from "../configuration.ts";
import type { Container } from "../container/container.ts";
import type { EngineContext } from "../context.ts";
import { isSameMapping, rangesOf, type UserNamespace } from "./mapping.ts";
import { parseUserNamespaceMode, type UserNamespaceMode } from "./mode.ts";

type Wanted = Exclude<UserNamespaceMode, { kind: "default" }> | { kind: "remap"; namespace: UserNamespace };

/**
 * @throws EngineError invalid_argument, in docker's words where it has some, for what cannot be had in a user namespace;
 * unsupported for a kernel without mapped layers.
 */
export function checkUserNamespace(context: EngineContext, hostConfig: HostConfig): void {
  const mode = parseUserNamespaceMode(hostConfig.UsernsMode);
  const shared = sharedNamespace(context, hostConfig, mode);
  const isHost = shared === undefined ? wantedNamespace(context, mode).kind === "host" : shared.namespace === undefined;
  if (isHost) return;
  const { Privileged, NetworkMode, PidMode } = hostConfig;
  if (Privileged) {
    throw refuse(
      "privileged mode is incompatible with user namespaces.  " +
        "You must run the container in the host namespace when running privileged mode",
    );
  }
  if (NetworkMode === "host")
    throw refuse("cannot share the host's network namespace when user namespaces are enabled");
  if (PidMode === "host") throw refuse("cannot share the host PID namespace when user namespaces are enabled");
  if (hostConfig.IpcMode === "host") {
    throw refuse("cannot share the host's IPC namespace when user namespaces are enabled");
  }
  if (hostConfig.Runtime !== builtinRuntime) {
    throw new EngineError("unsupported", `user namespaces with the runtime ${hostConfig.Runtime} are not built`, {
      stage: "create",
      hint: "the runtime inside tsd has them: --runtime tsd",
    });
  }
  const [major, minor] = context.kernelVersion;
  if (major < 5 || (major === 5 && minor < 19)) {
    throw new EngineError(
      "unsupported",
      `user namespaces need Linux 5.19 or newer, for layers with mapped owners; this is ${major}.${minor}`,
      { stage: "create" },
    );
  }
}

/**
 * The container's namespace for its record; undefined for the host's. Numbers of its own are taken at once.
 * @throws EngineError conflict when there are none left.
 */
export function settleUserNamespace(
  context: EngineContext,
  id: string,
  hostConfig: HostConfig,
): UserNamespace | undefined {
  const mode = parseUserNamespaceMode(hostConfig.UsernsMode);
  const shared = sharedNamespace(context, hostConfig, mode);
  if (shared !== undefined) {
    const { namespace } = shared;
    // It may outlive the container whose users they were.
    if (namespace?.isOwn) for (const range of rangesOf(namespace)) context.userRanges.hold(id, range);
    return namespace;
  }
  const wanted = wantedNamespace(context, mode);
  if (wanted.kind === "host") return undefined;
  if (wanted.kind === "remap") return wanted.namespace;
  return context.spareUsers.give(id, wanted.size);
}

function wantedNamespace({ remap }: EngineContext, mode: UserNamespaceMode): Wanted {
  if (mode.kind !== "default") return mode;
  if (remap === undefined) return { kind: "host" };
  return remap === "auto" ? { kind: "auto", size: 65536 } : { kind: "remap", namespace: remap };
}

/**
 * Who shares another container's namespaces shares its user namespace, which they belong to, unless the host's is asked
 * for.
 * @returns undefined when it shares none, or does not want to.
 */
function sharedNamespace(
  context: EngineContext,
  hostConfig: HostConfig,
  mode: UserNamespaceMode,
): { namespace: UserNamespace | undefined } | undefined {
  if (mode.kind === "host") return undefined;
  const [first, ...rest] = sharedNamespaces(context, hostConfig).map(({ other }) => other);
  if (first === undefined) return undefined;
  const namespace = first.definition.userNamespace;
  if (mode.kind === "auto") {
    throw refuse(`cannot share namespaces of container ${first.name} in a user namespace of its own`);
  }
  for (const other of rest) {
    const its = other.definition.userNamespace;
    const isSame = namespace === undefined || its === undefined ? namespace === its : isSameMapping(namespace, its);
    if (!isSame) throw refuse(`containers ${first.name} and ${other.name} are in different user namespaces`);
  }
  return { namespace };
}

/**
 * The containers whose network, IPC or pid namespace it joins.
 * @throws EngineError invalid_argument: to one that says not_found docker's client would pull the image.
 */
export function sharedNamespaces(
  { containers }: Pick<EngineContext, "containers">,
  { NetworkMode, IpcMode, PidMode }: HostConfig,
): { kind: string; other: Container }[] {
  return Object.entries({ network: NetworkMode, ipc: IpcMode, pid: PidMode }).flatMap(([kind, mode]) => {
    if (!mode?.startsWith("container:")) return [];
    try {
      return [{ kind, other: containers.find(mode.slice("container:".length)) }];
    } catch (error) {
      if (!isEngineError(error, "not_found")) throw error;
      throw new EngineError("invalid_argument", error.message, { stage: "create", cause: error });
    }
  });
}

function refuse(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create" });
}
