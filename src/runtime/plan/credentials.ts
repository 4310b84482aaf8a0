/** Users, groups, capabilities, resource limits, seccomp: what a process may do, taken away in an order that works. */
import {
  _LINUX_CAPABILITY_VERSION_3,
  type CapabilityName,
  capabilityNames,
  capabilityNumbers,
} from "../../../ffi/constants/capability.ts";
import {
  ambientOperations,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_SET_DUMPABLE,
  PR_SET_KEEPCAPS,
  PR_SET_NO_NEW_PRIVS,
  prctlOptions,
  rlimitNumbers,
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_SET_MODE_FILTER,
  seccompFilterFlags,
  seccompOperations,
} from "../../../ffi/constants/process.ts";
import type { CallOptions, PlanBuilder } from "../../../ffi/plan/builder.ts";
import { bytes, constant, flags, type Ref, struct } from "../../../ffi/plan/values.ts";
import type { OciProcess, OciRlimit } from "../../oci/runtime.ts";
import type { SeccompFilter } from "./context.ts";
import { invalid } from "./emit.ts";

export function prctl(
  plan: PlanBuilder,
  option: number,
  args: Parameters<PlanBuilder["call"]>[1],
  options: CallOptions = {},
): void {
  const padded = [constant(option, prctlOptions), ...args, 0, 0, 0, 0].slice(0, 5);
  plan.call("prctl", padded, options);
}

/** Keeps others out of the process's memory and descriptors until its own program runs (CVE-2016-9962). */
export function hide(plan: PlanBuilder): void {
  prctl(plan, PR_SET_DUMPABLE, [0]);
}

/** Capability sets as masks; names that are not known are left out, as runc does. */
function capabilityMask(names: readonly string[] | undefined): bigint {
  let mask = 0n;
  for (const name of names ?? []) {
    if (Object.hasOwn(capabilityNumbers, name)) mask |= 1n << BigInt(capabilityNumbers[name as CapabilityName]);
  }
  return mask;
}

/** There are 64 bits; those without a capability answer EINVAL, and future ones must go too. */
const capabilityBits = 64;

/** Takes capabilities out of the bounding set: while CAP_SETPCAP is still there. */
export function dropBounding(plan: PlanBuilder, process: OciProcess): void {
  const kept = capabilityMask(process.capabilities?.bounding);
  plan.because("process.capabilities.bounding", () => {
    const dropped = plan.label("the kernel has no more capabilities");
    const known = Object.keys(capabilityNumbers).length;
    for (let number = 0; number < capabilityBits; number++) {
      if ((kept & (1n << BigInt(number))) !== 0n) continue;
      const name = constant(number, capabilityNames);
      // Beyond those that tsd knows the first that the kernel does not know ends the list.
      prctl(plan, PR_CAPBSET_DROP, [name], number < known ? { ignore: ["EINVAL"] } : { onError: dropped });
    }
    plan.place(dropped);
  });
}

/** (uid_t)-1: to setresuid(2) and setresgid(2) it says "leave it as it is", and the process would stay root. */
const unchangedId = 0xffffffff;

/** @throws EngineError invalid_argument for numbers that are no user's or group's. */
export function checkUser({ user = {} }: OciProcess): void {
  const ids: Record<string, number | undefined> = { uid: user.uid, gid: user.gid };
  for (const [index, gid] of (user.additionalGids ?? []).entries()) ids[`additionalGids[${index}]`] = gid;
  for (const [field, id] of Object.entries(ids)) {
    if (id === unchangedId) throw invalid(`process.user.${field}`, `${id} is the number of nobody at all`);
  }
}

/** Becomes the user; the permitted capabilities survive, to be cut down next. */
export function becomeUser(plan: PlanBuilder, process: OciProcess): void {
  const { uid = 0, gid = 0, additionalGids = [] } = process.user ?? {};
  plan.because("process.user", () => {
    prctl(plan, PR_SET_KEEPCAPS, [1]);
    const list = new Uint8Array(new Uint32Array(additionalGids).buffer);
    const groups = additionalGids.length === 0 ? null : bytes(list, additionalGids.join(", "));
    // A user namespace may forbid it: then there is nothing to give, and nothing was inherited either.
    const options = additionalGids.length === 0 ? { ignore: ["EPERM"] as const } : { what: "additional groups" };
    plan.call("setgroups", [additionalGids.length, groups], options);
    plan.call("setresgid", [gid, gid, gid], { what: `group ${gid}` });
    plan.call("setresuid", [uid, uid, uid], { what: `user ${uid}` });
    // A change of user may make a process dumpable again, proc_sys_fs(5), suid_dumpable.
    hide(plan);
  });
}

/** The effective, permitted, inheritable and ambient sets. */
export function setCapabilities(plan: PlanBuilder, process: OciProcess): void {
  const { effective, permitted, inheritable, ambient } = process.capabilities ?? {};
  plan.because("process.capabilities", () => {
    const sets = [effective, permitted, inheritable].map(capabilityMask);
    // capset(2): two times three 32-bit words, low halves first.
    const half = (shift: bigint) => sets.map((set) => Number((set >> shift) & 0xffff_ffffn));
    const words = [...half(0n), ...half(32n)];
    const header = new Uint8Array(new Uint32Array([_LINUX_CAPABILITY_VERSION_3, 0]).buffer);
    const shown = sets.map((set, index) => `${["effective", "permitted", "inheritable"][index]} 0x${set.toString(16)}`);
    const data = bytes(new Uint8Array(new Uint32Array(words).buffer), shown.join(", "));
    plan.call("capset", [bytes(header, "version 3"), data], { what: "capabilities" });
    prctl(plan, PR_SET_KEEPCAPS, [0]);
    prctl(plan, PR_CAP_AMBIENT, [constant(PR_CAP_AMBIENT_CLEAR_ALL, ambientOperations)]);
    const raised = capabilityMask(ambient);
    for (const [name, number] of Object.entries(capabilityNumbers)) {
      if ((raised & (1n << BigInt(number))) === 0n) continue;
      const args = [constant(PR_CAP_AMBIENT_RAISE, ambientOperations), constant(number, capabilityNames)];
      // One that is not both permitted and inheritable cannot be ambient; runc leaves it out and says so.
      prctl(plan, PR_CAP_AMBIENT, args, { what: name, ignore: ["EPERM"] });
    }
  });
}

export function setNoNewPrivileges(plan: PlanBuilder, process: OciProcess): void {
  if (!process.noNewPrivileges) return;
  plan.because("process.noNewPrivileges", () => prctl(plan, PR_SET_NO_NEW_PRIVS, [1]));
}

/** Loads the filter. @returns the listener, for a filter that notifies. */
export function loadSeccomp(plan: PlanBuilder, filter: SeccompFilter): Ref | undefined {
  const instructions = filter.program.length / 8;
  const program = struct({ len: instructions, filter: bytes(filter.program, `${instructions} instructions`) });
  const operation = constant(SECCOMP_SET_MODE_FILTER, seccompOperations);
  const args = [operation, flags(filter.flags, seccompFilterFlags), program];
  return plan.because("linux.seccomp", () => {
    const listener = (filter.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) !== 0;
    const result = plan.call("seccomp", args, { what: "seccomp filter", ...(listener && { name: "listener" }) });
    return listener ? result : undefined;
  });
}

/**
 * Limits that the set-up itself could run into, when they are low, and what is enough for it: it opens files, and an
 * exec forks.
 */
const lateLimits: Readonly<Record<string, bigint>> = { RLIMIT_NOFILE: 4096n, RLIMIT_NPROC: 1n << 20n };

function setLimit(plan: PlanBuilder, type: OciRlimit["type"], soft: bigint, hard: bigint, options: CallOptions): void {
  const limit = struct({ soft, hard });
  plan.call("prlimit64", [0, constant(rlimitNumbers[type], rlimitNumbers), limit, null], { what: type, ...options });
}

/**
 * Sets the limits while hard limits may still be raised, which takes CAP_SYS_RESOURCE in the host's user namespace;
 * those that could be in the way are only raised, and get their value by `lowerLimits`.
 */
export function raiseLimits(plan: PlanBuilder, process: OciProcess): void {
  (process.rlimits ?? []).forEach(({ type, soft, hard }, index) => {
    const enough = lateLimits[type];
    const why = `process.rlimits[${index}]`;
    if (enough === undefined) {
      setLimit(plan, type, BigInt(soft), BigInt(hard), { why });
      return;
    }
    const raised = BigInt(hard) > enough ? BigInt(hard) : enough;
    // Where it may not be raised, lowerLimits says so, unless it need not be.
    setLimit(plan, type, raised, raised, { why, ignore: ["EPERM"] });
  });
}

export function lowerLimits(plan: PlanBuilder, process: OciProcess): void {
  (process.rlimits ?? []).forEach(({ type, soft, hard }, index) => {
    const why = `process.rlimits[${index}]`;
    if (type in lateLimits) setLimit(plan, type, BigInt(soft), BigInt(hard), { why });
  });
}
