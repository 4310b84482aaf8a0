/**
 * How much is asked of a registry at once. What has been asked for and is not written yet is lost when the daemon is
 * killed, so it shall be little: socket buffers alone hold megabytes. But every request waits for its answer, so it
 * shall be worth the wait. Which of the two counts depends on how far away the registry is, and that is measured.
 */
import { Slots } from "../shared-work.ts";

/** Connections beside the one that each download has: of a host, and of all. */
const extraPerHostMax = 4;
const extraMax = 8;

const rangeBytesMin = 2 ** 20;
const rangeBytesMax = 32 * 2 ** 20;
/** A range shall take so many times as long as the wait for it. */
const worthWaits = 4;
/**
 * From a registry that answers within this time, in ms, one connection brings data faster than they can be unpacked:
 * what it is asked for is little and comes one by one. The shortest of the last waits counts, for a busy machine makes
 * others long.
 */
const nearMs = 8;
/** On this machine itself it is not the network that makes one wait; unless a tunnel leads elsewhere. */
const nearOnLoopbackMs = 50;
const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/;
const waitsKept = 16;
/** Nobody waits longer than this, in ms, for somebody else's request. */
const turnMs = 1000;

export class Connections {
  readonly #hosts = new Map<string, HostConnections>();
  readonly #extra = { count: 0 };

  /** To a registry; what is known of it is kept for as long as the daemon runs. */
  host(name: string): HostConnections {
    const host = this.#hosts.get(name) ?? new HostConnections(name, this.#extra);
    this.#hosts.set(name, host);
    return host;
  }
}

export class HostConnections {
  readonly #isLoopback: boolean;
  readonly #all: { count: number };
  #extra = 0;
  #waits: number[] = [];
  readonly #turns = new Slots(1);
  /** Of the next request. */
  rangeBytes: number = rangeBytesMin;

  /** @param name with its port. @param all extra connections to all hosts. */
  constructor(name: string, all: { count: number }) {
    this.#isLoopback = loopback.test(name);
    this.#all = all;
  }

  get isNear(): boolean {
    if (this.#waits.length === 0) return this.#isLoopback;
    return Math.min(...this.#waits) < (this.#isLoopback ? nearOnLoopbackMs : nearMs);
  }

  /** One connection more, until it is disposed of; undefined when there are as many as may be, or it would be of no use. */
  extra(): Disposable | undefined {
    if (this.isNear || this.#extra >= extraPerHostMax || this.#all.count >= extraMax) return undefined;
    this.#extra++;
    this.#all.count++;
    return {
      [Symbol.dispose]: () => {
        this.#extra--;
        this.#all.count--;
      },
    };
  }

  /** Waits for the turn to ask for a range. @throws EngineError cancelled. */
  async turn(signal: AbortSignal): Promise<Disposable> {
    if (!this.isNear) return { [Symbol.dispose]: () => undefined };
    const slot = await this.#turns.take({ signal });
    let isGiven = false;
    const give = () => {
      if (!isGiven) slot[Symbol.dispose]();
      isGiven = true;
    };
    const timer = setTimeout(give, turnMs);
    return {
      [Symbol.dispose]: () => {
        clearTimeout(timer);
        give();
      },
    };
  }

  /**
   * What was seen of a range that came.
   * @param waitedMs from the request to the answer's headers. @param tookMs from there to its end.
   */
  note(waitedMs: number, tookMs: number, bytes: number): void {
    this.#waits = [...this.#waits, waitedMs].slice(-waitsKept);
    if (this.isNear) this.rangeBytes = rangeBytesMin;
    if (this.isNear || bytes < rangeBytesMin) return;
    const wanted = (bytes / Math.max(tookMs, 0.1)) * waitedMs * worthWaits;
    // At most doubled: one measurement may be off.
    this.rangeBytes = Math.max(rangeBytesMin, Math.min(rangeBytesMax, wanted, 2 * this.rangeBytes));
  }
}
