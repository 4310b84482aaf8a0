import { resolve } from "node:path";
import type { FsckFinding, FsckMessage, FsckSummary } from "../../api/schema/storage.ts";
import { jsonLines } from "../../client/json-lines.ts";
import { fsck } from "../../client/storage.ts";
import { EngineError, type ErrorCode } from "../../core/errors.ts";
import { scrubbedEnvironment, selfCommand } from "../../core/self.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";

export const fsckCommand = command({
  usage: "[OPTIONS]",
  summary: "Find damage of what is stored, and repair it",
  aliases: ["system fsck", "fsck"],
  flags: {
    format: stringFlag("Format output: 'json' prints one object with all findings and the summary"),
    repair: boolFlag("Put right what can be put right"),
    root: stringFlag("Check this root of a daemon that does not run, in place of the daemon's"),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const { repair, format } = flags;
    if (format !== "" && format !== "json") {
      throw new EngineError("invalid_argument", `invalid format ${JSON.stringify(format)}: 'json' or nothing`);
    }
    const messages = flags.root === "" ? fsck(await session.client(), { repair }) : fsckRoot(flags.root, repair);
    const findings: FsckFinding[] = [];
    let summary: FsckSummary | undefined;
    for await (const message of messages) {
      if (message.Error) throw errorOf(message.Error);
      summary ??= message.Summary;
      if (!message.Finding) continue;
      findings.push(message.Finding);
      if (format === "") printLine(findingText(message.Finding));
    }
    if (!summary) throw new EngineError("unavailable", "the check ended before it was done");
    const isClean = findings.every(({ Severity, Repaired }) => Severity !== "damage" || Repaired !== undefined);
    if (format === "json") printLine(JSON.stringify({ Clean: isClean, Findings: findings, Summary: summary }));
    else printLine(summaryText(summary, findings));
    return isClean ? 0 : 1;
  },
});

/** The check of a root that no daemon has: a process of its own, because the command line knows nothing of engines. */
async function* fsckRoot(root: string, repair: boolean): AsyncGenerator<FsckMessage> {
  const child = Bun.spawn(selfCommand("fsck-root", resolve(root), ...(repair ? ["repair"] : [])), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    env: scrubbedEnvironment(),
  });
  try {
    yield* jsonLines<FsckMessage>(child.stdout);
  } finally {
    child.kill();
    await child.exited;
  }
}

function errorOf({ Code, Message, Hint }: NonNullable<FsckMessage["Error"]>): EngineError {
  return new EngineError(Code as ErrorCode, Message, Hint === undefined ? {} : { hint: Hint });
}

function findingText({ Kind, Severity, Object: object, Message, Repaired, Failed }: FsckFinding): string {
  const outcome =
    Repaired !== undefined ? `\n  repaired: ${Repaired}` : Failed !== undefined ? `\n  not repaired: ${Failed}` : "";
  return `${Severity}: ${Kind}: ${object}: ${Message}${outcome}`;
}

function summaryText(summary: FsckSummary, findings: readonly FsckFinding[]): string {
  const { Blobs, BlobBytes, Layers, Images, Damage, Leftovers, Repaired } = summary;
  const checked = `${Blobs} blobs (${formatBytesDecimal(BlobBytes)}), ${Layers} layers, ${Images} images checked`;
  if (Damage + Leftovers === 0) return `${checked}: clean`;
  const found = [...(Damage > 0 ? [`${Damage} damaged`] : []), ...(Leftovers > 0 ? [`${Leftovers} left over`] : [])];
  const canRepair = Repaired === 0 && findings.every(({ Failed }) => Failed === undefined);
  return `${checked}: ${found.join(", ")}, ${Repaired} repaired${canRepair ? "; --repair puts right what can be" : ""}`;
}
