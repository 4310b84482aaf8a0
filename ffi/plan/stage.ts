/** Stage one: the clone, and the few records that a child runs in the memory that it still shares with its parent. */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "../constants/memory.ts";
import { CLONE_INTO_CGROUP, CLONE_PIDFD, CLONE_VFORK, CLONE_VM } from "../constants/namespace.ts";
import { AT_EMPTY_PATH, atFlags, F_SETFD, fcntlCommands } from "../constants/open.ts";
import { CLOSE_RANGE_CLOEXEC, closeRangeFlags, SIG_SETMASK, SIGCHLD } from "../constants/process.ts";
import { SYS } from "../constants/syscalls.ts";
import { Fd } from "../fd.ts";
import { cloneX64, embeddedCode } from "../machine-code.ts";
import { addressOf, call, check, linkCode, mapCode } from "../syscall.ts";
import { assemble, copyPlan } from "./assemble.ts";
import { PlanBuilder } from "./builder.ts";
import { openCapsule } from "./capsule.ts";
import { resultAt } from "./records.ts";
import { constant, flags, str, strings } from "./values.ts";

interface Stage {
  address: number;
  bytes: Uint8Array;
  clone: (...args: (number | bigint)[]) => number;
}
let prepared: Stage | undefined;

const stageSize = 65536;
const stageTextOffset = 49152;
const allSignals = new Uint8Array(8).fill(0xff);

function prepare(): Stage {
  const protection = PROT_READ | PROT_WRITE;
  const address = call("mmap", "stage one", 0, stageSize, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const code = embeddedCode("clone") ?? mapCode(Uint8Array.fromHex(cloneX64));
  const bytes = new Uint8Array(toArrayBuffer(address as Pointer, 0, stageSize));
  return { address, bytes, clone: linkCode(code, 7) };
}

/**
 * Starts the capsule in a new process and returns when it runs there, or throws when it does not.
 *
 * The calling thread stands still in between (CLONE_VFORK), so stage one holds nothing that can block. All signals
 * are blocked: a handler of this process must not run in the child while it shares its memory. The child keeps them
 * blocked until its plan says otherwise.
 *
 * @param planDescriptor the memfd of the plan, which the capsule maps.
 * @param kept numbers of the descriptors that stay open in the child, beside 0, 1 and 2.
 * @throws SyscallError for the clone, or for a call of stage one.
 */
export function startCapsule(
  planDescriptor: Fd,
  kept: readonly number[],
  cloneFlags: number,
  cgroup: Fd | undefined,
): { pid: number; pidfd: Fd } {
  prepared ??= prepare();
  const stage = prepared;
  const { records, assembled } = assembleStage(stage, planDescriptor.number, kept);
  copyPlan(assembled, stage.bytes);
  const former = new Uint8Array(8);
  call("rt_sigprocmask", undefined, SIG_SETMASK, allSignals, former, 8);
  let child: { pid: number; pidfd: Fd };
  try {
    child = clone(stage, cloneFlags, cgroup);
  } finally {
    call("rt_sigprocmask", undefined, SIG_SETMASK, former, null, 8);
  }
  const failed = records.find((_, index) => (resultAt(stage.bytes, index) ?? 0) < 0);
  if (failed === undefined) return child;
  const errno = -resultAt(stage.bytes, records.indexOf(failed))!;
  call("wait4", undefined, child.pid, null, 0, null);
  child.pidfd.close();
  check(failed.call, -errno, "of the capsule");
  throw new Error("unreachable");
}

function assembleStage(stage: Stage, plan: number, kept: readonly number[]) {
  const builder = new PlanBuilder();
  // CLOEXEC for all, and then not for those that the plan uses: nothing else of this process reaches the capsule.
  builder.call("close_range", [3, 0xffffffff, flags(CLOSE_RANGE_CLOEXEC, closeRangeFlags)]);
  for (const number of [plan, ...kept]) {
    if (number > 2) builder.call("fcntl", [number, constant(F_SETFD, fcntlCommands), 0]);
  }
  const argv = strings(["tsd-init", String(plan)]);
  const environment = strings([]);
  const path = [openCapsule().number, str("")];
  builder.call("execveat", [...path, argv, environment, flags(AT_EMPTY_PATH, atFlags)]);
  const { records } = builder.build();
  return { records, assembled: assemble({ records }, {}, stage.address, stageTextOffset) };
}

/** clone3(2); clone(2) where a seccomp filter or an old kernel answers ENOSYS. */
function clone(stage: Stage, cloneFlags: number, cgroup: Fd | undefined): { pid: number; pidfd: Fd } {
  const pidfd = new Int32Array(1);
  const pidfdAddress = addressOf(new Uint8Array(pidfd.buffer));
  const common = cloneFlags | CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
  const flagsWord = BigInt(common >>> 0) | (cgroup === undefined ? 0n : BigInt(CLONE_INTO_CGROUP));
  // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
  // set_tid_size, cgroup. No stack is given: neither stage one nor the interpreter uses one.
  const words = [flagsWord, pidfdAddress, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, cgroup?.number ?? 0].map(BigInt);
  const struct = new Uint8Array(new BigUint64Array(words).buffer);
  const ENOSYS = 38;
  let pid = stage.clone(SYS.clone3, addressOf(struct), struct.length, 0, 0, 0, stage.address);
  let name = "clone3";
  if (pid === -ENOSYS && cgroup === undefined) {
    name = "clone";
    pid = stage.clone(SYS.clone, (common >>> 0) + SIGCHLD, 0, pidfdAddress, 0, 0, stage.address);
  }
  check(name, pid, "of the first process");
  return { pid, pidfd: new Fd(pidfd[0]!) };
}
