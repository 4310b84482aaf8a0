/** The service behind GET /tsd/containers/{id}/why: a container's last end, from its record and from events. */
import type { ContainerStory, StoryMemory, StorySignal, StoryStep } from "../../api/schema/story.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { signalName } from "../../core/signals.ts";
import type { Container } from "../container/container.ts";
import type { ContainerEnd, EndVerb, OomRecord, SentSignal } from "../container/end.ts";
import { exitCodeOf, projectState, restartsIn } from "../container/state.ts";
import type { EngineContext } from "../context.ts";
import type { EngineEvent } from "../event/bus.ts";
import { initiatorView } from "../event/events.ts";
import { judge } from "./judge.ts";
import { lastLines } from "./last-lines.ts";
import { type LastRun, lastRunOf } from "./last-run.ts";

/** More than one run of a container has, unless its processes are counted one by one. */
const eventsMax = 500;
const nextActions = new Set(["start", "restart", "destroy"]);

export class StoryService {
  readonly #context: EngineContext;

  constructor(context: EngineContext) {
    this.#context = context;
  }

  async why(reference: string, options: { lines: number }): Promise<ContainerStory> {
    const container = this.#find(reference);
    const { eventHistory } = this.#context;
    const id = container?.id ?? eventHistory.findContainer(reference);
    if (id === undefined) throw this.#unknown(reference);
    const past = pastOf(eventHistory.ofContainer(id, eventsMax), container);
    if (container === undefined && past.destroyed === undefined) throw this.#unknown(reference);
    const run = withSent(past);
    const isUp = container?.isUp === true;
    const mode = container?.definition.hostConfig.PidMode ?? "";
    const { cause, summary } = judge(run, { hasOwnPids: mode === "", isUp });
    const { end, startedAt, finishedAt } = run;
    const failed = run.failure !== undefined;
    return {
      Id: id,
      ...namesOf(container, past.events),
      Status: container === undefined ? "removed" : projectState(container.state).Status,
      Cause: cause,
      Summary: summary,
      ...(startedAt !== undefined && !failed && { StartedAt: startedAt }),
      ...(past.start?.initiator && { StartedBy: initiatorView(past.start.initiator) }),
      ...(finishedAt !== undefined && !failed && { FinishedAt: finishedAt }),
      ...(failed && { ExitCode: run.failure!.exitCode, Error: run.failure!.message }),
      ...(end !== undefined && !failed && endView(end)),
      ...(!failed && probeOf(past.events, run)),
      Sent: failed ? [] : (end?.sent ?? []).map(signalView),
      ...(container !== undefined && { RestartCount: restartsIn(container.state)?.count ?? 0 }),
      ...(await this.#lines(container, { past, count: options.lines })),
      Next: past.next.map(stepView),
      ...(container?.state.status === "restarting" && { RestartAt: container.state.restartAt }),
    };
  }

  #find(reference: string): Container | undefined {
    try {
      return this.#context.containers.find(reference);
    } catch (error) {
      if (!isEngineError(error, "not_found")) throw error;
      return undefined;
    }
  }

  #unknown(reference: string): EngineError {
    return new EngineError("not_found", `No such container: ${reference}`, {
      hint: "of one that was removed, events are kept for a time only",
    });
  }

  async #lines(
    container: Container | undefined,
    { past, count }: { past: Past; count: number },
  ): Promise<Pick<ContainerStory, "LastLines" | "NoLines">> {
    const { run, destroyed } = past;
    if (container === undefined)
      return { LastLines: (destroyed?.details?.lastLines ?? []).slice(count > 0 ? -count : Number.POSITIVE_INFINITY) };
    if (run.end === undefined) return { LastLines: [] };
    // What it has written since belongs to another run. (The end's own time is too early: the last is read after it.)
    const until = container.state.status === "running" ? container.state.startedAt : undefined;
    const untilNano = until === undefined ? undefined : BigInt(Date.parse(until)) * 1_000_000n;
    const read = await lastLines(this.#context, container, { count, ...(untilNano !== undefined && { untilNano }) });
    return "lines" in read ? { LastLines: read.lines } : { LastLines: [], NoLines: read.reason };
  }
}

interface Past {
  events: EngineEvent[];
  /** The last that has ended. */
  run: LastRun;
  /** Of that run. */
  start: EngineEvent | undefined;
  kills: EngineEvent[];
  /** After its end. */
  next: EngineEvent[];
  destroyed: EngineEvent | undefined;
}

/** What the record says goes before what events say, which are not kept for ever. */
function pastOf(events: EngineEvent[], container: Container | undefined): Past {
  const destroyed = events.findLast(({ action }) => action === "destroy");
  const dieAt = events.findLastIndex(({ action }) => action === "die");
  const recorded = container === undefined ? (destroyed?.details ?? {}) : lastRunOf(container.state);
  const isRecorded = recorded.end !== undefined || recorded.failure !== undefined;
  const run: LastRun = isRecorded ? recorded : (events[dieAt]?.details ?? {});
  const startAt = events.findLastIndex(({ action }, index) => action === "start" && (dieAt < 0 || index < dieAt));
  // Of a container that runs and has not ended since it was made: that start.
  const start = events[startAt] ?? (dieAt < 0 ? events.findLast(({ action }) => action === "start") : undefined);
  const kills = events.slice(startAt + 1, dieAt < 0 ? undefined : dieAt + 1).filter(({ action }) => action === "kill");
  // A signal may be told of after the end that it led to; what comes after a failed start comes after it.
  const next = events.slice(dieAt + 1).filter(({ action }) => nextActions.has(action) && run.end !== undefined);
  const onlyRemoval = run.failure !== undefined ? events.filter(({ action }) => action === "destroy") : next;
  return { events, run, start: run.failure === undefined ? start : undefined, kills, next: onlyRemoval, destroyed };
}

/** A daemon that was killed after it had sent a signal has told of it, if only by the event. */
function withSent({ run, kills }: Past): LastRun {
  if (run.end === undefined || run.end.sent !== undefined || kills.length === 0) return run;
  const sent = kills.map(({ actor, details, timeMicros, initiator }): SentSignal => {
    const at = new Date(timeMicros / 1000).toISOString();
    const verb: EndVerb = details?.verb ?? "kill";
    return { signal: Number(actor.attributes.signal), verb, at, ...(initiator && { initiator }) };
  });
  return { ...run, end: { ...run.end, sent } };
}

/** Of a run that was ended for its health: the probe that came before the signal. */
function probeOf(events: readonly EngineEvent[], { end }: LastRun): Pick<ContainerStory, "Probe"> {
  const isForHealth = ({ initiator }: SentSignal) => initiator?.kind === "engine" && initiator.reason === "health";
  const signal = end?.sent?.find(isForHealth);
  if (signal === undefined) return {};
  // The signal's time has milliseconds.
  const untilMicros = (Date.parse(signal.at) + 1) * 1000;
  const event = events.findLast(({ details, timeMicros }) => details?.probe && timeMicros < untilMicros);
  if (event === undefined) return {};
  const { exitCode, output } = event.details!.probe!;
  return { Probe: { Time: timeOf(event), ExitCode: exitCode, Output: output } };
}

function namesOf(container: Container | undefined, events: EngineEvent[]): Pick<ContainerStory, "Name" | "Image"> {
  const { name = "", image = "" } = events.at(-1)?.actor.attributes ?? {};
  if (container === undefined) return { Name: name, Image: image };
  return { Name: container.name, Image: container.definition.config.Image ?? "" };
}

function endView(end: ContainerEnd): Pick<ContainerStory, "ExitCode" | "Signal" | "Memory"> {
  return {
    ExitCode: exitCodeOf(end),
    ...(end.kind === "signalled" && { Signal: signalName(end.signal) }),
    ...(end.kind !== "unknown" && end.oom && { Memory: memoryView(end.oom) }),
  };
}

function memoryView({ kills, limitBytes, peakBytes, victim }: OomRecord): StoryMemory {
  const { pid = 0, name = "", anonymousBytes } = victim ?? {};
  return {
    Kills: kills,
    ...(limitBytes !== undefined && { LimitBytes: limitBytes }),
    ...(peakBytes !== undefined && { PeakBytes: peakBytes }),
    ...(victim && {
      Process: { Pid: pid, Name: name, ...(anonymousBytes !== undefined && { AnonymousBytes: anonymousBytes }) },
    }),
  };
}

function signalView({ signal, verb, at, initiator }: SentSignal): StorySignal {
  const who = initiator && { Initiator: initiatorView(initiator) };
  return { Signal: signalName(signal), Verb: verb, Time: at, ...who };
}

function stepView({ action, timeMicros, initiator }: EngineEvent): StoryStep {
  const who = initiator && { Initiator: initiatorView(initiator) };
  return { Time: timeOf({ timeMicros }), Action: action, ...who };
}

function timeOf({ timeMicros }: Pick<EngineEvent, "timeMicros">): string {
  return new Date(timeMicros / 1000).toISOString();
}
