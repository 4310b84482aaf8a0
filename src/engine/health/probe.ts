/** One probe, of whatever kind, with a limit in time. */
import { errorMessage } from "../../core/errors.ts";
import { formatGoDuration } from "../../core/go-duration.ts";
import { LongTimer } from "../../core/long-timer.ts";
import { ProbeOutput } from "./output.ts";

export interface ProbeOutcome {
  /** 0: healthy. -1: it did not come to an answer. */
  exitCode: number;
  output: string;
  /** The time was over. */
  isLate?: boolean;
}

/** What begins a probe. It adds to the output what it hears, and gives up when the signal aborts. @returns its exit status. */
export type Probe = (output: ProbeOutput, signal: AbortSignal) => Promise<number>;

export interface RunningProbe {
  /** What is to be said of it: when it has ended, or its time is over. Never rejects. */
  outcome: Promise<ProbeOutcome>;
  /** Nothing of it is left: that may be later, for what it waits for in the kernel. Never rejects. */
  over: Promise<void>;
  stop(): void;
  /** It was stopped before its time: it says nothing. */
  readonly wasStopped: boolean;
}

export function startProbe(probe: Probe, timeoutMs: number): RunningProbe {
  const output = new ProbeOutput();
  const stopping = new AbortController();
  const late = Promise.withResolvers<ProbeOutcome>();
  const timer = new LongTimer(() => {
    const said = output.text;
    const timeout = formatGoDuration(BigInt(Math.round(timeoutMs * 1e6)));
    const text = `Health check exceeded timeout (${timeout})${said === "" ? "" : `: ${said}`}`;
    late.resolve({ exitCode: -1, output: text, isLate: true });
    stopping.abort();
  }, timeoutMs);
  const ended = probe(output, stopping.signal).then(
    (exitCode): ProbeOutcome => ({ exitCode, output: output.text }),
    (error: unknown): ProbeOutcome => ({ exitCode: -1, output: errorMessage(error) }),
  );
  const over = ended.then(() => timer.cancel());
  let wasStopped = false;
  return {
    outcome: Promise.race([ended, late.promise]),
    over,
    stop: () => {
      wasStopped = true;
      stopping.abort();
    },
    get wasStopped() {
      return wasStopped;
    },
  };
}
