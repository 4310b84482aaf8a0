/** What is to be said of an end: pure judgement over what is on record. */
import type { EndCause } from "../../api/schema/story.ts";
import type { EngineReason, Initiator } from "../../core/initiator.ts";
import { signalName, signalNumbers } from "../../core/signals.ts";
import { formatBytesBinary } from "../../core/size.ts";
import { type ContainerEnd, type EndVerb, lostEnds, type OomRecord, type SentSignal } from "../container/end.ts";
import type { LastRun } from "./last-run.ts";

export interface Verdict {
  cause: EndCause;
  summary: string;
}

/** @param run nothing of a container that has not ended. @param hasOwnPids it has a pid namespace of its own. */
export function judge(run: LastRun, { hasOwnPids, isUp }: { hasOwnPids: boolean; isUp: boolean }): Verdict {
  const { end, failure, finishedAt } = run;
  if (failure !== undefined) {
    const summary = `It was not started: ${failure.message}. Exit status ${failure.exitCode}${meaning(failure.exitCode)}.`;
    return { cause: "start-failed", summary };
  }
  if (end === undefined)
    return { cause: "none", summary: isUp ? "It runs, and has not ended." : "It was never started." };
  switch (end.kind) {
    case "exited":
      return judgeExit(end, finishedAt);
    case "signalled":
      return judgeSignal(end, finishedAt, hasOwnPids);
    case "unknown":
      return judgeLost(end);
  }
}

type Exited = Extract<ContainerEnd, { kind: "exited" }>;
type Signalled = Extract<ContainerEnd, { kind: "signalled" }>;

function judgeExit(end: Exited, finishedAt: string | undefined): Verdict {
  const { exitCode, oom, sent = [] } = end;
  const status = `exit status ${exitCode}${meaning(exitCode)}`;
  const memory = oom === undefined ? "" : ` ${memorySentence(oom)}`;
  const last = sent.at(-1);
  if (last !== undefined && isLikely(last, finishedAt)) {
    const summary = `It ended with ${status}, ${after(last, finishedAt)} ${asked(last)} had sent it ${signalName(last.signal)}.`;
    return { cause: "asked", summary: summary + memory };
  }
  // A shell says so of a child that the kernel has ended.
  if (oom !== undefined && exitCode === 128 + signalNumbers.KILL!) {
    return { cause: "memory", summary: `${memorySentence(oom)} Then it ended with ${status}.` };
  }
  return { cause: "itself", summary: `It ended by itself with ${status}.${memory}` };
}

function judgeSignal(end: Signalled, finishedAt: string | undefined, hasOwnPids: boolean): Verdict {
  const { signal, oom, sent = [] } = end;
  const name = signalName(signal);
  const sender = sent.findLast((each) => each.signal === signal);
  const isPatient = sender?.verb === "stop" || sender?.verb === "restart";
  const memory = oom === undefined ? "" : ` ${memorySentence(oom)}`;
  if (sender !== undefined) {
    const first = isPatient ? sent.find(({ verb }) => verb === sender.verb) : undefined;
    const was = `It was ended by ${name}, which ${asked(sender)} had sent it`;
    if (first === undefined || first === sender || first.signal === signal) {
      return { cause: "asked", summary: `${was}.${memory}` };
    }
    const late = `${secondsBetween(first.at, sender.at)} after ${signalName(first.signal)}, which had not ended it`;
    return { cause: "asked", summary: `${was} ${late}.${memory}` };
  }
  if (oom !== undefined && signal === signalNumbers.KILL) {
    return { cause: "memory", summary: `The kernel ended it by ${name} for want of memory. ${memorySentence(oom)}` };
  }
  const others = sent.length === 0 ? "" : ` ${sentBefore(sent, finishedAt)}`;
  const fault = faults[signal];
  if (fault !== undefined) return { cause: "crash", summary: `It crashed by ${name}: ${fault}.${others}${memory}` };
  const who = hasOwnPids ? "a process of the host, or the kernel" : "another process, or the kernel";
  const summary = `It was ended by ${name}, which tsd did not send: ${who} did.${others}${memory}`;
  return { cause: "outside", summary };
}

function judgeLost({ reason, sent = [] }: Extract<ContainerEnd, { kind: "unknown" }>): Verdict {
  const others = sent.length === 0 ? "" : ` ${sentBefore(sent)}`;
  if (reason === lostEnds.host) {
    return { cause: "host-restarted", summary: "How it ended is not known: the host was restarted while it ran." };
  }
  const text = "the process that looked after it, its shim, was killed; what was left of it was ended then";
  return { cause: "shim-killed", summary: `How it ended is not known: ${text}.${others}` };
}

/** Faults of the program's own: signal(7). */
const faults: Partial<Record<number, string>> = {
  [signalNumbers.SEGV!]: "an access to memory that is not its own",
  [signalNumbers.BUS!]: "an access to memory that is not there",
  [signalNumbers.ILL!]: "an instruction that the processor does not know",
  [signalNumbers.FPE!]: "an arithmetic error, as a division by zero",
  [signalNumbers.ABRT!]: "it gave up by itself (abort)",
  [signalNumbers.TRAP!]: "a trap of a debugger, or of its own",
  [signalNumbers.SYS!]: "a system call that is not allowed to it (seccomp)",
  [signalNumbers.XCPU!]: "its limit of processor time",
  [signalNumbers.XFSZ!]: "its limit of a file's size",
};

const harmless = new Set(
  ["CHLD", "CONT", "URG", "WINCH", "STOP", "TSTP", "TTIN", "TTOU"].map((name) => signalNumbers[name]!),
);

/** Who is told to end takes no longer, or somebody else's patience is over. */
const heedMs = 10_000;

/** Whether an exit is the signal's doing: `kill` sends all kinds, the other verbs what is to end the container. */
function isLikely({ signal, verb, at }: SentSignal, finishedAt: string | undefined): boolean {
  if (verb !== "kill") return true;
  return !harmless.has(signal) && Date.parse(finishedAt ?? at) - Date.parse(at) <= heedMs;
}

function meaning(exitCode: number): string {
  switch (exitCode) {
    case 0:
      return ", which is success";
    case 126:
      return ", as of a command that cannot be executed";
    case 127:
      return ", as of a command that is not there";
    default:
      if (exitCode > 128 && exitCode <= 128 + 64)
        return `, as of a process that ${signalName(exitCode - 128)} has ended`;
      return "";
  }
}

function memorySentence({ kills, limitBytes, peakBytes, victim }: OomRecord): string {
  const figures = [
    limitBytes === undefined ? "no limit of its own" : `limit ${formatBytesBinary(limitBytes)}`,
    ...(peakBytes === undefined ? [] : [`at most ${formatBytesBinary(peakBytes)} in use`]),
  ].join(", ");
  const has = victim?.anonymousBytes === undefined ? "" : `, which had ${formatBytesBinary(victim.anonymousBytes)}`;
  const last = victim === undefined ? "" : `, the last ${victim.name} (pid ${victim.pid})${has}`;
  return `The kernel ended ${kills} of its processes for want of memory (${figures})${last}.`;
}

const verbs: Record<EndVerb, string> = {
  stop: "stop",
  kill: "kill",
  restart: "restart",
  remove: "rm",
  checkpoint: "checkpoint",
};

function asked({ verb, initiator }: SentSignal): string {
  const who = initiator === undefined ? "" : ` of ${initiatorText(initiator)}`;
  return `\`${verbs[verb]}\`${who}`;
}

const reasons: Record<EngineReason, string> = {
  policy: "its restart policy",
  health: "its health check",
  boot: "the daemon when it was started",
  "auto-remove": "its --rm",
  gc: "garbage collection",
};

/** `docker (pid 7, uid 1000)`, `its restart policy` */
export function initiatorText(initiator: Initiator): string {
  if (initiator.kind === "engine") return reasons[initiator.reason];
  const { command, pid, uid } = initiator;
  return `${command === "" ? "a client" : command} (pid ${pid}, uid ${uid})`;
}

function after({ at }: SentSignal, finishedAt: string | undefined): string {
  return finishedAt === undefined ? "after" : `${secondsBetween(at, finishedAt)} after`;
}

function sentBefore(sent: readonly SentSignal[], finishedAt?: string): string {
  const last = sent.at(-1)!;
  const when = finishedAt === undefined ? "before" : `${secondsBetween(last.at, finishedAt)} before`;
  return `${asked(last)} had sent it ${signalName(last.signal)} ${when}.`;
}

function secondsBetween(from: string, to: string): string {
  return `${(Math.max(0, Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)} s`;
}
