import { CLONE_PARENT, CLONE_PARENT_SETTID, cloneFlags } from "../constants/namespace.ts";
import type { SyscallName } from "../constants/syscalls.ts";
import type { ErrnoName } from "../errno.ts";
import { handOverCheckpoint, type Label, type operation, type Plan, type PlanRecord, planBase } from "./records.ts";
import {
  type Answer,
  type Argument,
  bytes,
  type Constant,
  type DescriptorPath,
  flags,
  type InheritedDescriptor,
  type Memory,
  type MemoryAt,
  memory,
  type Ref,
  type Words,
} from "./values.ts";

export interface CallOptions {
  /** Errnos that count as success. At most four. */
  ignore?: readonly ErrnoName[];
  /** Makes the call again, at most that often, while it fails with one of these (at most two) errnos. */
  retry?: { errnos: readonly ErrnoName[]; times: number };
  /** Where to go on success instead of the next record. */
  next?: Label;
  onZero?: Label;
  /** Where to go on failure instead of ending the plan. */
  onError?: Label;
  /** The field of config.json because of which the call is made. */
  why?: string;
  /** The object of the call for error messages. */
  what?: string;
  /** What the result is called in explanations. */
  name?: string;
  /** A clone without CLONE_VM: the child goes on at `onZero` and leaves the result alone. */
  fork?: boolean;
  /** Of a fork: the parent ends. */
  handOver?: boolean;
  /** An earlier record, which was skipped or has failed: this one's result goes where that one's would have gone. */
  into?: Ref;
}

/** 64 bits in memory; a result is the address that they are at. */
export type Word = Memory | MemoryAt | Words | Answer | Ref;

/** The object of the call in which a plan waits at a checkpoint. */
export function waitsFor(checkpoint: string): string {
  return `the parent's answer to ${checkpoint}`;
}

const allBits = 0xffff_ffff_ffff_ffffn;

/**
 * Writes a plan record by record.
 *
 *     const plan = new PlanBuilder();
 *     const root = plan.call("openat", [AT_FDCWD, str("/"), flags(O_PATH, openFlags)], { name: "root", why: "root.path" });
 *     plan.call("fchdir", [root]);
 */
export class PlanBuilder {
  readonly #records: PlanRecord[] = [];
  readonly #checkpoints: string[] = [];
  readonly #descriptors = new Set<string>();
  readonly #deferred: (() => void)[] = [];
  readonly #end: Label;
  /** Where failures go that their record does not handle. */
  #failure: Label;
  #why: string | undefined;
  #handOver: Memory | undefined;
  #finish = -1;

  constructor() {
    this.#end = this.label("end", true);
    this.#failure = this.#end;
  }

  /** Adds a system call; its result may be an argument of later calls. A failure that nothing handles ends the plan. */
  call(name: SyscallName, args: readonly Argument[], options: CallOptions = {}): Ref {
    return this.#add(name, args, options);
  }

  /** Adds `(word & mask) === expected ? equal : different`, where `word` is the 64 bits at a place in memory. */
  select(
    word: Word,
    choice: { mask?: bigint; expected: bigint | Constant | Ref; equal: number; different: number },
    options: CallOptions = {},
  ): Ref {
    const mask = choice.mask ?? allBits;
    return this.#add("select", [word, mask, choice.expected, choice.equal, choice.different], options);
  }

  /** Adds the reading of a word of memory, so that `(word & mask) + plus` can be an argument. */
  load(word: Word, masked: { mask?: bigint; plus?: number } = {}, options: CallOptions = {}): Ref {
    const { mask = allBits, plus } = masked;
    return this.#add("load", [word, mask, ...(plus === undefined ? [] : [plus])], options);
  }

  /** A descriptor of the parent, which it gives by this name when it spawns the plan. */
  descriptor(name: string): InheritedDescriptor {
    this.#descriptors.add(name);
    return { kind: "descriptor", name };
  }

  /** A path that ends in the number of such a descriptor: `self/fd/7` below a procfs. */
  descriptorPath(prefix: string, name: string): DescriptorPath {
    this.#descriptors.add(name);
    return { kind: "descriptorPath", prefix, name };
  }

  /** Closes a descriptor that the plan has opened. */
  close(fd: Ref): void {
    this.call("close", [fd]);
  }

  /** Adds a failure that no call reports by itself. */
  fail(errno: number, options: CallOptions = {}): void {
    this.#add("select", [planBase, 0, 0, -errno, -errno], options);
  }

  jump(target: Label): void {
    this.#add("select", [planBase, 0, 0, 0, 0], { onZero: target });
  }

  /** A label to jump to, placed later or at once by `place`; `fatal` where it leads to the end of a failed plan. */
  label(name: string, fatal = false): Label {
    return { name, fatal, position: -1, log: undefined };
  }

  /** Where a failure goes that a file system context (fsopen) can explain: its message is kept, and the plan ends. */
  explained(context: Ref, name: string): Label {
    const log = memory(256, "message");
    const label: Label = { name, fatal: true, position: -1, log };
    this.defer(() => {
      this.place(label);
      // The kernel writes no NUL; one byte less keeps that of the cleared memory.
      this.call("read", [context, log, log.size - 1], { next: this.#end, onError: this.#end });
    });
    return label;
  }

  /** Puts the label before the next record. */
  place(label: Label): void {
    if (label.position !== -1) throw new Error(`label ${label.name} is placed twice`);
    label.position = this.#records.length;
  }

  /** The index of the next record. */
  get position(): number {
    return this.#records.length;
  }

  /** Sends the failures of the records that `add` adds, where they handle none themselves, to a fatal label. */
  failingTo<T>(label: Label, add: () => T): T {
    const outer = this.#failure;
    this.#failure = label;
    try {
      return add();
    } finally {
      this.#failure = outer;
    }
  }

  /** Records that stand after the last execve, where only jumps arrive. */
  defer(add: () => void): void {
    const why = this.#why;
    this.#deferred.push(() => this.because(why, add));
  }

  /** Gives the calls that `add` adds their reason. */
  because<T>(why: string | undefined, add: () => T): T {
    const outer = this.#why;
    this.#why = why;
    try {
      return add();
    } finally {
      this.#why = outer;
    }
  }

  /**
   * Tells the parent that the plan has come this far, and ends the plan when the parent is gone. With `wait` the plan
   * goes on only after the parent has answered.
   */
  checkpoint(name: string, wait = false): void {
    if (this.#checkpoints.includes(name)) throw new Error(`checkpoint ${name} is there twice`);
    const byte = bytes(Uint8Array.of(this.#checkpoints.length), name);
    this.#checkpoints.push(name);
    this.call("write", [this.descriptor("sync"), byte, 1], { what: `checkpoint ${name}` });
    if (!wait) return;
    // 0 bytes: the parent has closed its end without an answer.
    const refused = this.label(`${name} refused`, true);
    const answer = bytes(new Uint8Array(8), "answer");
    const options = { what: waitsFor(name), onZero: refused };
    this.call("read", [this.descriptor("sync"), answer, 1], options);
    this.defer(() => {
      this.place(refused);
      const EPIPE = 32;
      this.fail(EPIPE, { what: `checkpoint ${name} was not answered` });
    });
  }

  /**
   * Forks: the records that follow are the child's, which becomes the process that the plan makes; its parent, this
   * process, ends. The child is a child of tsd (CLONE_PARENT). `flags` are further CLONE_NEW*.
   */
  handOver(cloneFlagBits: number, options: Pick<CallOptions, "why" | "what"> = {}): void {
    const child = this.label("second process");
    const SIGCHLD = 17;
    const bits = flags(cloneFlagBits | CLONE_PARENT | CLONE_PARENT_SETTID, { ...cloneFlags, SIGCHLD });
    const pid = memory(8, "pid");
    this.#handOver = pid;
    this.call("clone", [bits, 0, pid, 0, 0], { ...options, fork: true, handOver: true, onZero: child });
    this.place(child);
    this.because(options.why, () => this.checkpoint(handOverCheckpoint));
  }

  /** The next record starts the final execve. */
  finish(): void {
    this.#finish = this.#records.length;
  }

  /** Ends the plan with its deferred records and the exit that failures jump to. */
  build(cloneFlagBits = 0): Plan {
    for (let add = this.#deferred.shift(); add !== undefined; add = this.#deferred.shift()) add();
    this.place(this.#end);
    const statusOfFailure = 255;
    this.#add("exit_group", [statusOfFailure], { why: "a call failed" });
    const records = this.#records;
    for (const { next, onZero, onError } of records) {
      if (next !== undefined) requirePlaced(next);
      if (onZero !== undefined) requirePlaced(onZero);
      requirePlaced(onError);
    }
    return {
      records,
      cloneFlags: cloneFlagBits,
      checkpoints: this.#checkpoints,
      descriptors: [...this.#descriptors].filter((name) => name !== "plan" && name !== "sync"),
      handOver: this.#handOver,
      finish: this.#finish === -1 ? records.length - 1 : this.#finish,
    };
  }

  #add(call: SyscallName | keyof typeof operation, args: readonly Argument[], options: CallOptions): Ref {
    const { ignore = [], retry, name } = options;
    if (args.length > 6) throw new RangeError(`${call} has ${args.length} arguments`);
    if (ignore.length > 4) throw new RangeError(`${call} ignores ${ignore.length} errnos`);
    if (retry !== undefined && retry.errnos.length > 2) throw new RangeError(`${call} retries too many errnos`);
    const record = this.#records.length;
    this.#records.push({
      call,
      args,
      name,
      why: options.why ?? this.#why,
      what: options.what,
      ignore,
      retry,
      next: options.next,
      onZero: options.onZero,
      onError: options.onError ?? this.#failure,
      fork: options.fork ?? false,
      handOver: options.handOver ?? false,
      into: options.into,
    });
    return { kind: "result", record, name };
  }
}

function requirePlaced({ position, name }: Label): void {
  if (position === -1) throw new Error(`label ${name} is jumped to and never placed`);
}
