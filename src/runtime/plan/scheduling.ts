/** Fields of `process` and `linux` that are a call or two each. */
import {
  IOPRIO_WHO_PROCESS,
  ioprioClasses,
  KEYCTL_JOIN_SESSION_KEYRING,
  KEYCTL_SETPERM,
  memoryPolicyFlags,
  memoryPolicyModes,
  personalityDomains,
  schedulerFlags,
  schedulerPolicies,
} from "../../../ffi/constants/process.ts";
import type { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { bytes, constant, flags, str } from "../../../ffi/plan/values.ts";
import type { OciLinux, OciProcess } from "../../oci/runtime.ts";
import { invalid, unsupported } from "./emit.ts";

/**
 * A session keyring of the container's own, which its users may search: without it the container would see the keys of
 * whoever started it, session-keyring(7).
 */
export function joinKeyring(plan: PlanBuilder, id: string): void {
  // keyctl_setperm(3).
  const [KEY_POS_ALL, KEY_USR_VIEW, KEY_USR_READ] = [0x3f000000, 0x010000, 0x020000];
  const [KEY_USR_SEARCH, KEY_USR_LINK] = [0x080000, 0x100000];
  const bits = { KEY_POS_ALL, KEY_USR_VIEW, KEY_USR_READ, KEY_USR_SEARCH, KEY_USR_LINK };
  const permissions = flags(KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_READ | KEY_USR_SEARCH | KEY_USR_LINK, bits);
  const keyctl = { KEYCTL_JOIN_SESSION_KEYRING, KEYCTL_SETPERM };
  plan.because("session keyring", () => {
    const [without, done] = [plan.label("no keyring"), plan.label("the keyring is joined")];
    const args = [constant(KEYCTL_JOIN_SESSION_KEYRING, keyctl), str(`_ses.${id}`)];
    const what = "session keyring";
    const keyring = plan.call("keyctl", args, { name: "keyring", what, onError: without });
    plan.call("keyctl", [constant(KEYCTL_SETPERM, keyctl), keyring, permissions], { what });
    plan.place(done);
    plan.defer(() => {
      // A kernel without keyrings has nothing to keep apart; any other error comes again and ends the plan.
      plan.place(without);
      plan.call("keyctl", args, { what, ignore: ["ENOSYS"], next: done });
    });
  });
}

/** Whatever needs privileges that the process loses with its capabilities. */
export function setScheduling(plan: PlanBuilder, process: OciProcess): void {
  setScheduler(plan, process);
  const { ioPriority } = process;
  if (ioPriority !== undefined) {
    const value = (ioprioClasses[ioPriority.class] << 13) | (ioPriority.priority ?? 0);
    plan.because("process.ioPriority", () => {
      plan.call("ioprio_set", [constant(IOPRIO_WHO_PROCESS, { IOPRIO_WHO_PROCESS }), 0, value], {
        what: `${ioPriority.class} ${ioPriority.priority ?? 0}`,
      });
    });
  }
}

function setScheduler(plan: PlanBuilder, { scheduler }: OciProcess): void {
  if (scheduler === undefined) return;
  // struct sched_attr: size u32, policy u32, flags u64, nice i32, priority u32, runtime, deadline, period u64.
  const attributes = new DataView(new ArrayBuffer(48));
  let bits = 0;
  for (const flag of scheduler.flags ?? []) bits |= schedulerFlags[flag];
  attributes.setUint32(0, 48, true);
  attributes.setUint32(4, schedulerPolicies[scheduler.policy], true);
  attributes.setBigUint64(8, BigInt(bits), true);
  attributes.setInt32(16, scheduler.nice ?? 0, true);
  attributes.setUint32(20, scheduler.priority ?? 0, true);
  const times = [scheduler.runtime, scheduler.deadline, scheduler.period];
  times.forEach((time, index) => {
    attributes.setBigUint64(24 + index * 8, BigInt(time ?? 0), true);
  });
  const data = bytes(new Uint8Array(attributes.buffer), scheduler.policy);
  plan.call("sched_setattr", [0, data, 0], { why: "process.scheduler", what: scheduler.policy });
}

/** personality(2), "flags": those that the specification lets a configuration name. */
const personalityFlags: Readonly<Record<string, number>> = {
  ADDR_NO_RANDOMIZE: 0x0040000,
  ADDR_COMPAT_LAYOUT: 0x0200000,
  MMAP_PAGE_ZERO: 0x0100000,
  READ_IMPLIES_EXEC: 0x0400000,
  SHORT_INODE: 0x1000000,
  STICKY_TIMEOUTS: 0x4000000,
  UNAME26: 0x0020000,
  WHOLE_SECONDS: 0x2000000,
  ADDR_LIMIT_32BIT: 0x0800000,
  ADDR_LIMIT_3GB: 0x8000000,
  FDPIC_FUNCPTRS: 0x0080000,
};

export function setPersonality(plan: PlanBuilder, linux: OciLinux): void {
  if (linux.personality === undefined) return;
  const { domain = "LINUX", flags: names = [] } = linux.personality;
  let value: number = personalityDomains[domain];
  names.forEach((name, index) => {
    const bit = personalityFlags[name];
    if (bit === undefined) throw invalid(`linux.personality.flags[${index}]`, `${name} is unknown`);
    value |= bit;
  });
  plan.call("personality", [value], { why: "linux.personality", what: domain });
}

export function setMemoryPolicy(plan: PlanBuilder, linux: OciLinux): void {
  const { memoryPolicy } = linux;
  if (memoryPolicy === undefined) return;
  let mode: number = memoryPolicyModes[memoryPolicy.mode];
  for (const flag of memoryPolicy.flags ?? []) mode |= memoryPolicyFlags[flag];
  const nodes = parseList(memoryPolicy.nodes ?? "", "linux.memoryPolicy.nodes");
  const mask = new Uint8Array(nodesMax / 8);
  for (const node of nodes) mask[node >> 3]! |= 1 << (node & 7);
  const names = { ...memoryPolicyModes, ...memoryPolicyFlags };
  const nodeMask = nodes.length === 0 ? null : bytes(mask, memoryPolicy.nodes!);
  // The kernel takes one bit less than it is told (set_mempolicy(2), BUGS).
  const bits = nodes.length === 0 ? 0 : nodesMax + 1;
  plan.call("set_mempolicy", [flags(mode, names), nodeMask, bits], {
    why: "linux.memoryPolicy",
    what: memoryPolicy.mode,
  });
}

const nodesMax = 1024;

/** `0-3,7` */
function parseList(text: string, field: string): number[] {
  const numbers: number[] = [];
  for (const part of text.split(",").filter((item) => item.trim() !== "")) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first > last || last >= nodesMax) throw invalid(field, `${part} is not a range of nodes`);
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}

/** Fields that change nothing silently: what is not built is refused. */
export function refuseUnbuilt(linux: OciLinux): void {
  if (linux.intelRdt !== undefined) throw unsupported("linux.intelRdt", "is not built");
  if (Object.keys(linux.netDevices ?? {}).length > 0) throw unsupported("linux.netDevices", "is not built");
}
