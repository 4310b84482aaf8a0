/** Running a plan in a new process. */
import { P_PIDFD, WEXITED, WNOHANG, WNOWAIT } from "../constants/process.ts";
import { SYS } from "../constants/syscalls.ts";
import { type Descriptor, descriptorNumber, Fd } from "../fd.ts";
import { ftruncate, read, write } from "../files.ts";
import { dataMemfd, SharedMapping } from "../memory.ts";
import { POLLIN, waitReady } from "../poll.ts";
import { call, syscall } from "../syscall.ts";
import { type AssembledPlan, assemble, copyPlan } from "./assemble.ts";
import { describeFailure, type PlanFailure } from "./failure.ts";
import { handOverCheckpoint, type Plan, resultAt } from "./records.ts";
import { startCapsule } from "./stage.ts";
import type { Memory, Ref } from "./values.ts";

export interface SpawnOptions {
  /**
   * The descriptors that the plan names, except its own `plan` and `sync`; and others that its process inherits. They
   * stay the caller's.
   */
  descriptors?: Readonly<Record<string, Descriptor>>;
  /** A cgroup v2 directory that the process is born in (CLONE_INTO_CGROUP). */
  cgroup?: Fd;
  /** The plan's first checkpoint, if it comes before a hand-over: what is done then with the process, by its pid. */
  first?: { checkpoint: string; answer: (pid: number) => void };
  /** How long the plan may take to its next checkpoint, or to its end. Without it there is no limit. */
  timeoutMs?: number;
}

/** A plan stands still: whoever shares its pid namespace with the process may have stopped it. */
export class PlanTimeout extends Error {
  override readonly name = "PlanTimeout";
}

/**
 * Starts a plan: `plan.cloneFlags` apply to its process, everything else is in its records. Returns as soon as the
 * process exists, after a hand-over the second one.
 * @throws SyscallError when no process could be made. What happens later is told by `next` and `failure`.
 */
export function spawnPlan(plan: Plan, options: SpawnOptions = {}): PlanProcess {
  const { ours, theirs } = socketPair();
  using child = theirs;
  using memory = dataMemfd("tsd-plan");
  let mapping: SharedMapping | undefined;
  let process: PlanProcess | undefined;
  try {
    const numbers: Record<string, number> = { sync: child.number, plan: memory.number };
    for (const [name, fd] of Object.entries(options.descriptors ?? {})) numbers[name] = descriptorNumber(fd);
    const assembled = assemble(plan, numbers);
    ftruncate(memory, assembled.size);
    mapping = new SharedMapping(memory, assembled.size);
    copyPlan(assembled, mapping.bytes);
    const { plan: _mapped, ...others } = numbers;
    const kept = [...new Set(Object.values(others))];
    const first = startCapsule(memory, kept, plan.cloneFlags, options.cgroup);
    child.close();
    process = new PlanProcess(plan, assembled, mapping, ours, first, options.timeoutMs);
    if (options.first !== undefined) process.answerFirst(options.first);
    process.awaitHandOver();
    return process;
  } catch (error) {
    if (process === undefined) {
      mapping?.[Symbol.dispose]();
      ours.close();
    } else {
      process.kill();
      process[Symbol.dispose]();
    }
    throw error;
  }
}

/** Does with a plan what `spawnPlan` and `failure` do with it in JavaScript, and throws it away: the next is quicker. */
export function rehearsePlan(plan: Plan): void {
  const numbers: Record<string, number> = { sync: 3, plan: 4 };
  plan.descriptors.forEach((name, index) => {
    numbers[name] = 5 + index;
  });
  const { words } = assemble(plan, numbers);
  describeFailure(
    plan,
    (index) => resultAt(words, index),
    ({ size }) => new Uint8Array(size),
  );
}

function socketPair(): { ours: Fd; theirs: Fd } {
  const AF_UNIX = 1;
  const SOCK_SEQPACKET_CLOEXEC = 5 | 0o2000000;
  const pair = new Int32Array(2);
  call("socketpair", undefined, AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, new Uint8Array(pair.buffer));
  return { ours: new Fd(pair[0]!), theirs: new Fd(pair[1]!) };
}

/** How a process ended: its exit status, or the signal that killed it. */
export type Ending = { status: number } | { signal: number };

/**
 * A process that runs a plan. Disposing of it unmaps the plan and closes `pidfd` and the socket between the two; the
 * process itself goes on, except that it fails at its next checkpoint.
 */
export class PlanProcess implements Disposable {
  readonly #plan: Plan;
  readonly #assembled: AssembledPlan;
  readonly #mapping: SharedMapping;
  readonly #sync: Fd;
  /** Checkpoints that came before their turn. */
  readonly #early: string[] = [];
  readonly #announced = new Set<string>();
  readonly #timeoutMs: number | undefined;
  #pid: number;
  #pidfd: Fd;

  constructor(
    plan: Plan,
    assembled: AssembledPlan,
    mapping: SharedMapping,
    sync: Fd,
    first: { pid: number; pidfd: Fd },
    timeoutMs: number | undefined,
  ) {
    this.#plan = plan;
    this.#assembled = assembled;
    this.#mapping = mapping;
    this.#sync = sync;
    this.#timeoutMs = timeoutMs;
    this.#pid = first.pid;
    this.#pidfd = first.pidfd;
  }

  get pid(): number {
    return this.#pid;
  }

  /** The caller may take it with `move()`. */
  get pidfd(): Fd {
    return this.#pidfd;
  }

  /**
   * Waits, with the thread, for the next checkpoint.
   * @returns its name; undefined when the plan has ended, which is by execve unless `failure` says otherwise.
   * @throws PlanTimeout.
   */
  next(): string | undefined {
    return this.#early.shift() ?? this.#receive();
  }

  /** Lets a plan that waits at a checkpoint go on. */
  proceed(): void {
    write(this.#sync, Uint8Array.of(1));
  }

  /** Why the plan ended before its execve succeeded. Call it when `next` has returned undefined. */
  failure(): PlanFailure | undefined {
    return describeFailure(
      this.#plan,
      (index) => resultAt(this.#mapping.bytes, index),
      (memory) => this.memory(memory),
    );
  }

  /** What a record answered; undefined when it did not run. Where a foreign process could have been at the plan, it may be a lie. */
  result(ref: Ref): number | undefined {
    return resultAt(this.#mapping.bytes, ref.record);
  }

  /** What all records have answered so far, as `result` does. */
  results(): (number | undefined)[] {
    return this.#plan.records.map((_, index) => resultAt(this.#mapping.bytes, index));
  }

  /** A copy of memory that the plan's calls wrote. */
  memory(memory: Memory): Uint8Array {
    const offset = this.#assembled.memories.get(memory);
    if (offset === undefined) throw new Error(`no record uses the memory ${memory.name}`);
    return this.#mapping.bytes.slice(offset, offset + memory.size);
  }

  /** Waits for the end of the process and reaps it. */
  reap(): Ending {
    return waitFor(this.#pidfd);
  }

  /**
   * As `reap`, and others have their turn meanwhile. A process that was killed ends only when the kernel has done with its
   * last call, which may take as long as a server of NFS or FUSE likes.
   */
  async reaped(): Promise<Ending> {
    for (let delayMs = 1; !waitReady(this.#pidfd, POLLIN, 0); delayMs = Math.min(2 * delayMs, reapPollMsMax)) {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
    return this.reap();
  }

  /** Ends what there is of it: also the second process of a hand-over that came to no end. It may have ended. */
  kill(): void {
    const { handOver } = this.#plan;
    const [second = 0] = handOver === undefined ? [] : new Int32Array(this.memory(handOver).buffer);
    killChild(this.#pid);
    // From memory that others may have written to: what is no child of this process is not touched.
    if (second > 0 && second !== this.#pid) killChild(second);
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    this.#sync.close();
    this.#pidfd.close();
  }

  /** Answers a checkpoint that the plan waits at before it hands over. Called by spawnPlan. */
  answerFirst({ checkpoint, answer }: NonNullable<SpawnOptions["first"]>): void {
    const name = this.#receive();
    // It has failed before; `failure` knows why.
    if (name === undefined) return;
    if (name !== checkpoint) throw new Error(`the plan's first checkpoint is ${name} and not ${checkpoint}`);
    answer(this.#pid);
    this.proceed();
  }

  /** Where the plan hands over to a second process: waits for it, and reaps the first. Called by spawnPlan. */
  awaitHandOver(): void {
    const { handOver } = this.#plan;
    if (handOver === undefined) return;
    for (let name = this.#receive(); name !== undefined && name !== handOverCheckpoint; name = this.#receive()) {
      this.#early.push(name);
    }
    const [pid = 0] = new Int32Array(this.memory(handOver).buffer);
    // The first process has failed before it.
    if (pid === 0) return;
    waitFor(this.#pidfd);
    using pidfd = new Fd(call("pidfd_open", `process ${pid}`, pid, 0));
    requireChild(pidfd, pid);
    this.#pidfd.close();
    this.#pid = pid;
    this.#pidfd = pidfd.move();
  }

  #receive(): string | undefined {
    if (this.#timeoutMs !== undefined && !waitReady(this.#sync, POLLIN, this.#timeoutMs)) {
      throw new PlanTimeout(`process ${this.#pid} did not go on with its plan for ${this.#timeoutMs / 1000} s`);
    }
    const byte = new Uint8Array(1);
    if (read(this.#sync, byte) === 0) return undefined;
    const name = this.#plan.checkpoints[byte[0]!];
    if (name === undefined) throw new Error(`the plan sent an unknown checkpoint ${byte[0]}`);
    // A process that can be written to from the container can say anything; what is answered is answered once.
    if (this.#announced.has(name)) throw new Error(`the plan sent the checkpoint ${name} twice`);
    this.#announced.add(name);
    return name;
  }
}

/**
 * The pid was read from memory that somebody in the container may have written to meanwhile: another process's pid would
 * have that one killed, or its descriptors taken. Only children can be waited for.
 */
function requireChild(pidfd: Fd, pid: number): void {
  call("waitid", `process ${pid}, which the plan handed over to`, P_PIDFD, pidfd.number, null, asks, null);
}

/** A tracer keeps the end of a process from its parent for as long as it likes. */
const endTimeoutMs = 5_000;
/** How often it is looked whether a process has ended that takes its time. */
const reapPollMsMax = 100;

/** Kills and reaps a child of this process. Anything else is left alone. */
function killChild(pid: number): void {
  const P_PID = 1;
  if (syscall(SYS.waitid, P_PID, pid, null, asks, null) < 0) return;
  using pidfd = new Fd(call("pidfd_open", `process ${pid}`, pid, 0));
  const SIGKILL = 9;
  call("pidfd_send_signal", `process ${pid}`, pidfd.number, SIGKILL, null, 0);
  waitReady(pidfd, POLLIN, endTimeoutMs);
  call("waitid", `process ${pid}`, P_PID, pid, null, WEXITED | WNOHANG, null);
}

const asks = WEXITED | WNOHANG | WNOWAIT;

function waitFor(pidfd: Fd): Ending {
  const info = new Uint8Array(128);
  call("waitid", undefined, P_PIDFD, pidfd.number, info, WEXITED, null);
  // siginfo_t: si_code at 8, si_status at 24.
  const view = new DataView(info.buffer);
  const CLD_EXITED = 1;
  const status = view.getInt32(24, true);
  return view.getInt32(8, true) === CLD_EXITED ? { status } : { signal: status };
}
