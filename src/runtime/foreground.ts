/** A process whose standard streams and signals are the runtime's own: `run` and `exec` without --detach. */
import { F_SETFL, O_NONBLOCK, O_RDWR } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fcntl } from "../../ffi/files.ts";
import { POLLIN, PollSet } from "../../ffi/poll.ts";
import { type ChildExit, exitStatus, pidfd_send_signal, reapChild, waitForChild } from "../../ffi/process.ts";
import { isTerminal, makeRaw, openSlave, setWindowSize, windowSize } from "../../ffi/pty.ts";
import { catchableSignals, jobControlSignals, SignalPipe } from "../../ffi/signal.ts";
import type { ContainerStdio, StartedProcess } from "./options.ts";
import { TerminalRelay } from "./relay.ts";

const SIGCHLD = 17;
const SIGURG = 23;
const SIGWINCH = 28;

const signalSlot = 0;
const processSlot = 1;
const visitorSlot = 2;
const relaySlot = 3;

/** Something else that is served while the process runs. */
export interface Visitor {
  descriptor: Fd;
  onReadable(): void;
}

interface ForegroundOptions {
  /** The process gets a pseudo-terminal, behind the terminal that the runtime has. */
  terminal: boolean;
  /** Orphans of the container come to this process, which then reaps them. */
  subreaper: boolean;
}

/**
 * Catches signals from the moment it is made, before the process is started, so that none is lost; forwards them once
 * `wait` is told of the process. It waits in poll(2), on this thread: nothing else has to run meanwhile.
 */
export class Foreground implements Disposable {
  readonly #options: ForegroundOptions;
  readonly #signals: SignalPipe;
  #master: Fd | undefined;

  constructor(options: ForegroundOptions) {
    this.#options = options;
    const caught = catchableSignals.filter((signal) => !jobControlSignals.includes(signal));
    this.#signals = new SignalPipe(caught, { keepIgnored: true });
  }

  /** What the process is started with. */
  get stdio(): ContainerStdio {
    if (!this.#options.terminal) return { stdin: 0, stdout: 1, stderr: 2 };
    return { onConsole: (master) => this.#takeTerminal(master) };
  }

  #takeTerminal(master: Fd): void {
    this.#master = master;
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    this.#resize();
  }

  /**
   * Serves the process until it ends, and reaps it.
   * @param visitor is served meanwhile.
   * @returns its status as a shell has it: the code, or 128 and the signal.
   */
  wait(process: StartedProcess, visitor?: Visitor): number {
    if (this.#master === undefined) return this.#serve(process, undefined, visitor);
    using _raw = isTerminal(0) ? makeRaw(0) : undefined;
    // Kept open here, so that the terminal does not hang up while the process happens to have it closed.
    using slave = openSlave(this.#master);
    const relay = new TerminalRelay(this.#master, relaySlot);
    const status = this.#serve(process, relay, visitor);
    slave.close();
    relay.drain();
    return status;
  }

  #serve(process: StartedProcess, relay: TerminalRelay | undefined, visitor: Visitor | undefined): number {
    const set = new PollSet(relaySlot + TerminalRelay.slots);
    set.set(signalSlot, this.#signals.reader, POLLIN);
    set.set(processSlot, process.pidfd, POLLIN);
    if (visitor !== undefined) set.set(visitorSlot, visitor.descriptor, POLLIN);
    for (;;) {
      relay?.prepare(set);
      set.wait(-1);
      // Before the end, which may be found at the same time.
      if (set.ready(visitorSlot)) visitor?.onReadable();
      const exit = set.ready(signalSlot) ? this.#handleSignals(process) : undefined;
      if (exit !== undefined) return exitStatus(exit);
      relay?.transfer(set);
      if (set.ready(processSlot)) return this.#reap(process);
    }
  }

  #handleSignals(process: StartedProcess): ChildExit | undefined {
    let exit: ChildExit | undefined;
    for (const signal of this.#signals.read()) {
      if (signal === SIGCHLD) exit ??= this.#reapOrphans(process.pid);
      else if (signal === SIGWINCH && this.#master !== undefined) this.#resize();
      // No program sends it for a purpose; language runtimes send it to themselves.
      else if (signal !== SIGURG) pidfd_send_signal(process.pidfd, signal);
    }
    return exit;
  }

  /** Signals coalesce: everything that has ended is reaped. @returns the process' own end, when it was among them. */
  #reapOrphans(pid: number): ChildExit | undefined {
    if (!this.#options.subreaper) return undefined;
    let found: ChildExit | undefined;
    for (let exit = reapChild(-1); exit !== undefined; exit = reapChild(-1)) if (exit.pid === pid) found = exit;
    return found;
  }

  #reap({ pid }: StartedProcess): number {
    const exit = waitForChild(pid);
    if (exit === undefined) throw new Error(`process ${pid} was reaped by somebody else: its exit status is lost`);
    return exitStatus(exit);
  }

  #resize(): void {
    const terminal = [0, 1, 2].find(isTerminal);
    if (terminal !== undefined && this.#master !== undefined) setWindowSize(this.#master, windowSize(terminal));
  }

  [Symbol.dispose](): void {
    this.#master?.close();
    this.#signals[Symbol.dispose]();
  }
}
