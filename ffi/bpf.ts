/**
 * eBPF programs on cgroups: bpf(2), include/uapi/linux/bpf.h. What cgroup v2 has in place of the devices controller's
 * files.
 */
import { SYS } from "./constants/syscalls.ts";
import { errnoName, SyscallError } from "./errno.ts";
import { type Descriptor, descriptorNumber, Fd } from "./fd.ts";
import { addressOf, check, fromCString, syscall } from "./syscall.ts";

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_DETACH = 9;
const BPF_PROG_GET_FD_BY_ID = 13;
const BPF_PROG_QUERY = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;

/** Programs of parents and children all have to agree; without it a child's program would replace the parent's. */
const BPF_F_ALLOW_MULTI = 2;
const BPF_F_REPLACE = 4;

/** sizeof(union bpf_attr) as of Linux 5.10: the kernel wants the rest to be zero, and takes shorter ones. */
const attributeSize = 128;

/** Big enough for the verifier's reasons, which are asked for only after a refusal. */
const logSize = 16384;

function attributes(fill: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(attributeSize);
  fill(new DataView(bytes.buffer));
  return bytes;
}

/**
 * Loads a program that decides on the devices that a cgroup's processes may use.
 * @param instructions struct bpf_insn[].
 * @throws SyscallError; with the verifier's reason as its path where it gave one.
 */
export function loadDeviceProgram(instructions: Uint8Array): Fd {
  const license = Buffer.from("Apache-2.0\0");
  const load = (log?: Uint8Array): number =>
    syscall(
      SYS.bpf,
      BPF_PROG_LOAD,
      attributes((view) => {
        view.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
        view.setUint32(4, instructions.length / 8, true);
        view.setBigUint64(8, BigInt(addressOf(instructions)), true);
        view.setBigUint64(16, BigInt(addressOf(license)), true);
        if (log !== undefined) {
          view.setUint32(24, 1, true);
          view.setUint32(28, log.length, true);
          view.setBigUint64(32, BigInt(addressOf(log)), true);
        }
        Buffer.from("tsd_devices").copy(new Uint8Array(view.buffer), 48);
      }),
      attributeSize,
    );
  const result = load();
  if (result >= 0) return new Fd(result);
  const log = new Uint8Array(logSize);
  const again = load(log);
  if (again >= 0) return new Fd(again);
  const reason = fromCString(log).trim().split("\n").slice(-2).join(": ");
  throw new SyscallError("bpf", -again, reason === "" ? "BPF_PROG_LOAD" : `BPF_PROG_LOAD: ${reason}`);
}

/** The ids of the device programs on a cgroup itself, not on its parents. */
export function queryDevicePrograms(cgroup: Descriptor): number[] {
  for (let room = 16; ; room *= 4) {
    const ids = new Uint32Array(room);
    const bytes = new Uint8Array(ids.buffer);
    const query = attributes((view) => {
      view.setUint32(0, descriptorNumber(cgroup), true);
      view.setUint32(4, BPF_CGROUP_DEVICE, true);
      view.setBigUint64(16, BigInt(addressOf(bytes)), true);
      view.setUint32(24, room, true);
    });
    const result = syscall(SYS.bpf, BPF_PROG_QUERY, query, attributeSize);
    if (errnoName(-result) === "ENOSPC") continue;
    check("bpf", result, "BPF_PROG_QUERY");
    return [...ids.subarray(0, new DataView(query.buffer).getUint32(24, true))];
  }
}

/**
 * Makes `program` the one device program of a cgroup. Those that are there are replaced: with one of them in one step
 * where the kernel can (5.6), else the new one is added before the old ones go, so that no moment is without rules.
 */
export function replaceDevicePrograms(cgroup: Descriptor, program: Fd): void {
  const old = queryDevicePrograms(cgroup).map(programById);
  try {
    const [only] = old;
    if (only !== undefined && old.length === 1 && attach(cgroup, program, only) >= 0) return;
    check("bpf", attach(cgroup, program), "BPF_PROG_ATTACH");
    for (const previous of old) detach(cgroup, previous);
  } finally {
    for (const previous of old) previous.close();
  }
}

function attach(cgroup: Descriptor, program: Fd, replaced?: Fd): number {
  const attribute = attributes((view) => {
    view.setUint32(0, descriptorNumber(cgroup), true);
    view.setUint32(4, program.number, true);
    view.setUint32(8, BPF_CGROUP_DEVICE, true);
    view.setUint32(12, replaced === undefined ? BPF_F_ALLOW_MULTI : BPF_F_ALLOW_MULTI | BPF_F_REPLACE, true);
    if (replaced !== undefined) view.setUint32(16, replaced.number, true);
  });
  return syscall(SYS.bpf, BPF_PROG_ATTACH, attribute, attributeSize);
}

function detach(cgroup: Descriptor, program: Fd): void {
  const attribute = attributes((view) => {
    view.setUint32(0, descriptorNumber(cgroup), true);
    view.setUint32(4, program.number, true);
    view.setUint32(8, BPF_CGROUP_DEVICE, true);
  });
  check("bpf", syscall(SYS.bpf, BPF_PROG_DETACH, attribute, attributeSize), "BPF_PROG_DETACH");
}

function programById(id: number): Fd {
  const attribute = attributes((view) => view.setUint32(0, id, true));
  return new Fd(check("bpf", syscall(SYS.bpf, BPF_PROG_GET_FD_BY_ID, attribute, attributeSize), `program ${id}`));
}
