/** linux.namespaces: which are new, which are joined, and in what order. */
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  cloneFlags,
} from "../../../ffi/constants/namespace.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { bytes, constant, flags, type Ref } from "../../../ffi/plan/values.ts";
import { encodeText } from "../../../ffi/text.ts";
import type { LinuxNamespaceType, OciLinux } from "../../oci/runtime.ts";
import { invalid } from "./emit.ts";
import { writeProc } from "./proc.ts";

const bits: Readonly<Record<LinuxNamespaceType, number>> = {
  mount: CLONE_NEWNS,
  pid: CLONE_NEWPID,
  network: CLONE_NEWNET,
  uts: CLONE_NEWUTS,
  ipc: CLONE_NEWIPC,
  user: CLONE_NEWUSER,
  cgroup: CLONE_NEWCGROUP,
  time: CLONE_NEWTIME,
};

export const namespaceTypes: readonly string[] = Object.keys(bits);

/**
 * The order of setns(2). The user namespace comes last: the others need not belong to it, and what the process may do
 * in its own is enough for all of them. The mount namespace changes what paths mean, so it comes after those whose
 * set-up reads files of the host.
 */
const joinOrder: readonly LinuxNamespaceType[] = ["cgroup", "ipc", "uts", "network", "time", "pid", "mount", "user"];

export interface Namespaces {
  /** Made for the container. */
  own: ReadonlySet<LinuxNamespaceType>;
  /** Joined by path. */
  joined: ReadonlySet<LinuxNamespaceType>;
}

export function readNamespaces(linux: OciLinux): Namespaces {
  const own = new Set<LinuxNamespaceType>();
  const joined = new Set<LinuxNamespaceType>();
  for (const { type, path } of linux.namespaces ?? []) (path ? joined : own).add(type);
  const maps = (linux.uidMappings?.length ?? 0) + (linux.gidMappings?.length ?? 0);
  if (own.has("user")) {
    if (!linux.uidMappings?.length) throw invalid("linux.uidMappings", "missing, and there is a new user namespace");
    if (!linux.gidMappings?.length) throw invalid("linux.gidMappings", "missing, and there is a new user namespace");
  } else if (maps > 0 && !joined.has("user")) {
    throw invalid("linux.uidMappings", "needs a user namespace");
  }
  if (linux.timeOffsets !== undefined && !own.has("time")) {
    throw invalid("linux.timeOffsets", "needs a new time namespace");
  }
  return { own, joined };
}

/** CLONE_NEW* of those of `types` that are in the set. */
export function namespaceBits(set: ReadonlySet<LinuxNamespaceType>, types: readonly LinuxNamespaceType[]): number {
  return types.reduce((sum, type) => (set.has(type) ? sum | bits[type] : sum), 0);
}

/**
 * Joins namespaces whose descriptors are given by the parent as `namespace.TYPE`. An unprivileged process may join none
 * but the user namespace that it owns, and there has what it needs for the others, which that one owns.
 */
export function joinNamespaces(
  plan: PlanBuilder,
  types: ReadonlySet<LinuxNamespaceType>,
  options: { why?: string; unprivileged?: boolean } = {},
): void {
  const { why, unprivileged = false } = options;
  const order = unprivileged ? new Set<LinuxNamespaceType>(["user", ...joinOrder]) : joinOrder;
  for (const type of order) {
    if (!types.has(type)) continue;
    const fd = plan.descriptor(`namespace.${type}`);
    plan.call("setns", [fd, constant(bits[type], cloneFlags)], {
      what: `the ${type} namespace`,
      why: why ?? "linux.namespaces",
    });
    plan.call("close", [fd], { why: why ?? "linux.namespaces" });
  }
}

/** unshare(2) of the types that are to be new. */
export function unshare(plan: PlanBuilder, namespaces: Namespaces, types: readonly LinuxNamespaceType[]): void {
  const wanted = types.filter((type) => namespaces.own.has(type));
  if (wanted.length === 0) return;
  plan.call("unshare", [flags(namespaceBits(namespaces.own, wanted), cloneFlags)], {
    why: "linux.namespaces",
    what: `${wanted.join(", ")} namespace${wanted.length > 1 ? "s" : ""}`,
  });
}

/** A new time namespace holds the children of this process; its offsets are set before the first one. */
export function unshareTime(plan: PlanBuilder, linux: OciLinux, proc: Ref): void {
  plan.call("unshare", [flags(CLONE_NEWTIME, cloneFlags)], { why: "linux.namespaces", what: "time namespace" });
  const lines = Object.entries(linux.timeOffsets ?? {}).flatMap(([clock, offset]) =>
    offset === undefined ? [] : [`${clock} ${(offset as { secs?: number }).secs ?? 0} ${nanoseconds(offset)}\n`],
  );
  if (lines.length === 0) return;
  plan.because("linux.timeOffsets", () => writeProc(plan, proc, "self/timens_offsets", lines.join("")));
}

function nanoseconds(offset: object): number {
  return (offset as { nanosecs?: number }).nanosecs ?? 0;
}

/** A new network namespace has nothing but a loopback interface, which is down: netdevice(7), SIOCSIFFLAGS. */
export function raiseLoopback(plan: PlanBuilder): void {
  const [AF_INET, SOCK_DGRAM, SOCK_CLOEXEC, SIOCSIFFLAGS] = [2, 2, 0o2000000, 0x8914];
  const IFF_UP_RUNNING = 0x41;
  const request = new Uint8Array(40);
  request.set(encodeText("lo"));
  request[16] = IFF_UP_RUNNING;
  const kind = flags(SOCK_DGRAM | SOCK_CLOEXEC, { SOCK_DGRAM, SOCK_CLOEXEC });
  plan.because("linux.namespaces", () => {
    const socket = plan.call("socket", [constant(AF_INET, { AF_INET }), kind, 0], { what: "loopback" });
    const requests = constant(SIOCSIFFLAGS, { SIOCSIFFLAGS });
    plan.call("ioctl", [socket, requests, bytes(request, "lo up")], { what: "loopback" });
    plan.close(socket);
  });
}
