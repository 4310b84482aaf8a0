/** Signals of this process: signal(7), sigaction(2), sigprocmask(2). */
import { O_NONBLOCK } from "./constants/open.ts";
import { SIG_SETMASK } from "./constants/process.ts";
import { SYS } from "./constants/syscalls.ts";
import type { Fd } from "./fd.ts";
import { pipe2 } from "./files.ts";
import { addressOf, call, check, mapCode, syscall } from "./syscall.ts";

const signalSetBytes = 8;
const EAGAIN = 11;
const SA_ONSTACK = 0x08000000n;
const SA_RESTART = 0x10000000n;
const SA_RESTORER = 0x04000000n;
const SIG_DFL = 0n;
const SIG_IGN = 1n;

/** Signals that Bun ignores. Ignoring survives execve(2): a plan sets them back to their default first. */
export const ignoredByBun: readonly number[] = [/* SIGPIPE */ 13, /* SIGXFSZ */ 25];

/**
 * Signals that cannot be caught here: KILL and STOP by nature, those of this process's own faults, which its crash
 * handler reports, and PWR, with which JavaScriptCore stops its threads.
 */
const uncatchable = new Set([4, 5, 6, 7, 8, 9, 11, 19, 30, 31]);

/** TSTP, TTIN and TTOU: with their default effect a shell can suspend this process, and continue it, like every program. */
export const jobControlSignals: readonly number[] = [20, 21, 22];

/** All signals that a program may be sent and this process may catch; 32 and 33 belong to libc's threads. */
export const catchableSignals: readonly number[] = range(1, 64).filter(
  (signal) => !uncatchable.has(signal) && signal !== 32 && signal !== 33,
);

function range(first: number, last: number): number[] {
  const numbers: number[] = [];
  for (let number = first; number <= last; number++) numbers.push(number);
  return numbers;
}

/**
 * Blocks every signal on the calling thread.
 * @returns what gives the thread its former mask back.
 */
export function blockSignals(): Disposable {
  const former = new Uint8Array(signalSetBytes);
  const all = new Uint8Array(signalSetBytes).fill(0xff);
  call("rt_sigprocmask", undefined, SIG_SETMASK, all, former, signalSetBytes);
  return {
    [Symbol.dispose]: () => {
      call("rt_sigprocmask", undefined, SIG_SETMASK, former, null, signalSetBytes);
    },
  };
}

/** The kernel's struct sigaction: handler, flags, restorer, mask. */
const actionWords = 4;
const actionBytes = actionWords * 8;

/** Gives a signal its default effect back. */
export function resetSignal(signal: number): void {
  const action = new Uint8Array(new BigUint64Array([SIG_DFL, 0n, 0n, 0n]).buffer);
  call("rt_sigaction", `signal ${signal}`, signal, action, null, signalSetBytes);
}

/**
 * A signal handler in machine code: it writes the signal's number, a byte, into a pipe. Like the interpreter of
 * plans it needs no JavaScript, so it may run on any thread at any moment.
 *
 *     57              push %rdi            the number, on the stack
 *     b8 01 00 00 00  mov  $1,%eax         write
 *     bf .. .. .. ..  mov  $pipe,%edi
 *     48 89 e6        mov  %rsp,%rsi
 *     ba 01 00 00 00  mov  $1,%edx
 *     0f 05           syscall
 *     5f              pop  %rdi
 *     c3              ret                  to:
 *     b8 0f 00 00 00  mov  $15,%eax        rt_sigreturn, the restorer of sigaction(2)
 *     0f 05           syscall
 */
function handlerCode(pipe: number): { code: Uint8Array; restorerAt: number } {
  const code = Uint8Array.fromHex("57b801000000bf000000004889e6ba010000000f055fc3b80f0000000f05");
  new DataView(code.buffer).setInt32(7, pipe, true);
  return { code, restorerAt: 23 };
}

/**
 * Collects signals in a pipe, where poll(2) finds them, in place of their effect. For programs that wait in poll and
 * not in an event loop. Real-time signals too, which `process.on` does not know.
 */
export class SignalPipe implements Disposable {
  /** Readable when a signal has come. */
  readonly reader: Fd;
  readonly #writer: Fd;
  readonly #signals: readonly number[];
  /** What the kernel gives back when an action is set: one after another, of the signals' former ones. */
  readonly #former: BigUint64Array<ArrayBuffer>;
  readonly #buffer = new Uint8Array(256);

  /** @param options.keepIgnored signals that are ignored now stay so: their starter wanted it (nohup). */
  constructor(signals: readonly number[], { keepIgnored = false }: { keepIgnored?: boolean } = {}) {
    const { reader, writer } = pipe2(O_NONBLOCK);
    this.reader = reader;
    this.#writer = writer;
    this.#signals = signals;
    this.#former = new BigUint64Array(signals.length * actionWords);
    const { code, restorerAt } = handlerCode(writer.number);
    const address = BigInt(mapCode(code));
    const restorer = address + BigInt(restorerAt);
    const action = new BigUint64Array([address, SA_RESTART | SA_ONSTACK | SA_RESTORER, restorer, 0n]);
    // There are sixty of them, and whoever waits for a container waits for this: no more than a call for each.
    const next = addressOf(new Uint8Array(action.buffer));
    const former = addressOf(new Uint8Array(this.#former.buffer));
    signals.forEach((signal, index) => {
      const result = syscall(SYS.rt_sigaction, signal, next, former + index * actionBytes, signalSetBytes);
      check("rt_sigaction", result, `signal ${signal}`);
      if (keepIgnored && this.#former[index * actionWords] === SIG_IGN) this.#restore(index);
    });
  }

  #restore(index: number): void {
    const former = this.#former.subarray(index * actionWords, (index + 1) * actionWords);
    const bytes = new Uint8Array(former.buffer, former.byteOffset, actionBytes);
    const signal = this.#signals[index]!;
    call("rt_sigaction", `signal ${signal}`, signal, bytes, null, signalSetBytes);
  }

  /** The signals that have come since the last call, oldest first. */
  read(): number[] {
    const result = syscall(SYS.read, this.reader.number, this.#buffer, this.#buffer.length);
    if (result === -EAGAIN) return [];
    return [...this.#buffer.subarray(0, check("read", result, "signal pipe"))];
  }

  /** Gives the signals their former effect back. */
  [Symbol.dispose](): void {
    for (let index = 0; index < this.#signals.length; index++) this.#restore(index);
    this.reader.close();
    // The writing end stays open: a handler that is just running on another thread must not write into whatever
    // file gets its number next.
    this.#writer.release();
  }
}
