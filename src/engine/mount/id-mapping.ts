/**
 * Mounts whose files have other owners in the container than on the disk: BindOptions.IDMapping of the API (moby
 * #53368), `idmap` of `-v`, and the volumes of containers with users of their own.
 */
import { statSync } from "node:fs";
import type { IdMapping } from "../../api/schema/container-config.ts";
import type { BundleMount, BundleUser } from "../../bundle/input.ts";
import { EngineError, wrapError } from "../../core/errors.ts";
import { builtinRuntime } from "../configuration.ts";
import { toHost, type UserNamespace } from "../userns/mapping.ts";

export type MountIdMapping =
  /** By the container's user namespace: owners on the disk are the container's. */
  | { kind: "container" }
  /** The owner of the source is the user: of the mount, else of the container. Everybody else's files are nobody's. */
  | { kind: "match-user"; user?: string }
  /** `-v …:idmap`: by the user namespace where the container has one, else as match-user. */
  | { kind: "either" };

/** @throws EngineError invalid_argument. */
export function idMapping(
  given: IdMapping | undefined,
  invalid: (reason: string) => EngineError,
): { idMapping?: MountIdMapping } {
  const { Source = "", User = "" } = given ?? {};
  if (Source === "" && User === "") return {};
  if (Source === "match-user") return { idMapping: { kind: "match-user", ...(User !== "" && { user: User }) } };
  if (Source !== "userns") throw invalid(`IDMapping: Source "${Source}" is unknown: it can be match-user or userns`);
  if (User !== "") throw invalid("IDMapping: User is for match-user only");
  return { idMapping: { kind: "container" } };
}

/**
 * Others are not asked whether they can: a runtime that cannot, as runc before 1.2, passes the mapping over in silence.
 * @param runtime "" is tsd's own. @throws EngineError unsupported naming the mount.
 */
export function checkRuntimeMaps(target: string, mapping: MountIdMapping | undefined, runtime: string): void {
  // That of a user namespace is refused with the namespace.
  if (mapping === undefined || mapping.kind === "container" || runtime === "" || runtime === builtinRuntime) return;
  throw new EngineError("unsupported", `mount ${target}: IDMapping with the runtime ${runtime} is not built`, {
    stage: "create",
    hint: `the runtime inside tsd has it: --runtime ${builtinRuntime}`,
  });
}

interface Context {
  userNamespace: UserNamespace | undefined;
  /** Owners are to be the numbers that the container sees, for somebody who works on its files without its namespace. */
  fromWithin?: boolean;
  /** Of the container's first process. */
  user: BundleUser;
  /** The number of another user by the container's own files. */
  lookupUser: (user: string) => BundleUser;
}

/** What the mount's entry in config.json says. @throws EngineError invalid_argument naming the mount. */
export function bundleIdMapping(
  mapping: MountIdMapping | undefined,
  mount: { source: string; destination: string },
  context: Context,
): Pick<BundleMount, "idMapping"> {
  if (mapping === undefined) return {};
  const { userNamespace, fromWithin = false } = context;
  if (mapping.kind !== "match-user" && userNamespace !== undefined) {
    // On the disk they are that already.
    return fromWithin ? {} : { idMapping: "container" };
  }
  if (mapping.kind === "container") {
    throw invalidAt(
      mount,
      'IDMapping "userns" needs a container in a user namespace: --userns auto, or --userns-remap',
    );
  }
  const other = mapping.kind === "match-user" ? mapping.user : undefined;
  const { uid, gid } = other === undefined ? context.user : context.lookupUser(other);
  const [hostUid, hostGid] =
    userNamespace === undefined || fromWithin
      ? [uid, gid]
      : [toHost(userNamespace.uids, uid), toHost(userNamespace.gids, gid)];
  if (hostUid === undefined || hostGid === undefined) {
    throw invalidAt(mount, `user ${uid}:${gid} is not in the container's user namespace`);
  }
  const owner = ownerOf(mount.source);
  return {
    idMapping: {
      uids: [{ containerID: owner.uid, hostID: hostUid, size: 1 }],
      gids: [{ containerID: owner.gid, hostID: hostGid, size: 1 }],
    },
  };
}

function ownerOf(source: string): { uid: number; gid: number } {
  try {
    return statSync(source);
  } catch (error) {
    throw wrapError(error, `bind source ${source}`, { stage: "mount" });
  }
}

function invalidAt({ destination }: { destination: string }, reason: string): EngineError {
  return new EngineError("invalid_argument", `mount ${destination}: ${reason}`, { stage: "mount" });
}
