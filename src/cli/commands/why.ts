import type { EventInitiator } from "../../api/schema/event.ts";
import type { ContainerStory } from "../../api/schema/story.ts";
import { whyOf } from "../../client/story.ts";
import { humanDuration } from "../../core/human-duration.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesBinary } from "../../core/size.ts";
import { command, oneArgument } from "../command.ts";
import { intFlag, stringFlag, UsageError } from "../flags.ts";
import { print } from "../output.ts";

export const whyCommand = command({
  usage: "[OPTIONS] CONTAINER",
  summary: "Tell why a container ended: what ended it, its last lines, and what happened next",
  flags: {
    format: stringFlag("'json' for all that is known, else a text to be read"),
    lines: intFlag("Number of the last lines of its log", { short: "n", initial: 10 }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    if (flags.format !== "" && flags.format !== "json") {
      throw new UsageError(`invalid argument "${flags.format}" for "--format" flag: it is json, or not given`, 125);
    }
    const story = await whyOf(await session.client(), positionals[0]!, flags.lines);
    print(flags.format === "json" ? `${JSON.stringify(story)}\n` : storyText(story, Date.now()));
    return 0;
  },
});

export function storyText(story: ContainerStory, nowMs: number): string {
  const { Id, Name, Image, Status, Summary, LastLines, NoLines, Next, RestartAt } = story;
  const steps = Next.map(({ Time, Action, Initiator }) => `  ${Time}  ${Action}${by(Initiator)}`);
  if (RestartAt !== undefined) steps.push(`  ${RestartAt}  its restart policy starts it`);
  const lines = NoLines === undefined ? LastLines.map((line) => `  ${shown(line)}`) : [`  none: ${NoLines}`];
  return [
    `${Name} (${shortId(Id)}, ${Image}): ${Status}`,
    Summary,
    "",
    ...facts(story, nowMs),
    ...(lines.length > 0 ? ["", "Last lines:", ...lines] : []),
    ...(steps.length > 0 ? ["", "What happened next:", ...steps] : []),
    "",
  ].join("\n");
}

function facts(story: ContainerStory, nowMs: number): string[] {
  const { StartedAt, StartedBy, FinishedAt, ExitCode, Signal, Sent, Memory, Probe, Error: error, RestartCount } = story;
  const signal = Signal === undefined ? "" : ` (${Signal})`;
  const ended =
    FinishedAt && `${FinishedAt}, ${humanDuration(nowMs - Date.parse(FinishedAt)).toLowerCase()} ago${ran(story)}`;
  const rows: [string, string | undefined | false][] = [
    ["Started", StartedAt && `${StartedAt}${by(StartedBy)}`],
    ["Ended", ended],
    ["Exit status", ExitCode !== undefined && `${ExitCode}${signal}`],
    ["Error", error],
    ...Sent.map(({ Signal: sent, Verb, Time, Initiator }): [string, string] => [
      "Signal",
      `${Time}  ${sent}, ${Verb}${by(Initiator)}`,
    ]),
    ["Health", Probe && probeText(Probe)],
    ["Memory", Memory && memoryText(Memory)],
    ["Restarts", RestartCount ? String(RestartCount) : undefined],
  ];
  return rows.flatMap(([name, value]) => (value ? [`  ${`${name}:`.padEnd(13)}${value}`] : []));
}

function ran({ StartedAt, FinishedAt }: ContainerStory): string {
  if (StartedAt === undefined || FinishedAt === undefined) return "";
  return `, after ${((Date.parse(FinishedAt) - Date.parse(StartedAt)) / 1000).toFixed(1)} s`;
}

function memoryText({ Kills, LimitBytes, PeakBytes, Process }: NonNullable<ContainerStory["Memory"]>): string {
  const process = Process && `last ${shown(Process.Name)} (pid ${Process.Pid})`;
  return [
    LimitBytes === undefined ? "no limit of its own" : `limit ${formatBytesBinary(LimitBytes)}`,
    PeakBytes !== undefined && `at most ${formatBytesBinary(PeakBytes)} in use`,
    `${Kills} ended by the kernel`,
    process,
  ]
    .filter(Boolean)
    .join(", ");
}

/** What it said in one line, however many it had. */
function probeText({ Time, ExitCode, Output }: NonNullable<ContainerStory["Probe"]>): string {
  const said = shown(Output.trim().replaceAll(/\s*\n\s*/g, " | "));
  return `${Time}  ${ExitCode < 0 ? "no answer" : `exit status ${ExitCode}`}${said && `: ${said}`}`;
}

function by(initiator: EventInitiator | undefined): string {
  if (initiator === undefined) return "";
  if (initiator.Kind === "engine") return ` by ${initiator.Reason}`;
  const { Command, Pid, Uid } = initiator;
  return ` by ${shown(Command) || "a client"} (pid ${Pid}, uid ${Uid})`;
}

/** What a container has written, or a process is called, is not to move the cursor of who reads of its end. */
function shown(text: string): string {
  return text.replace(/(?!\t)\p{Cc}/gu, "\u00b7");
}
