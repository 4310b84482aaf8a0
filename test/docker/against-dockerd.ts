/** The command lines of the table as the unmodified docker client runs them, with tsd or with dockerd. */
import { mkdirSync } from "node:fs";
import { type CommandResult, command } from "../harness/command.ts";
import { dockerClient } from "../harness/packages.ts";
import type { Workspace } from "../harness/workspace.ts";
import { table } from "./against-dockerd-table.ts";

export const image = "busybox:test";
export const lines = table.split("\n").filter((line) => line !== "" && !line.startsWith("# "));

export interface Contender {
  env: Record<string, string>;
  /** What stands for DIR. */
  directory: string;
}

export function contender(workspace: Workspace, env: Record<string, string>): Contender {
  const directory = workspace.path("dir");
  mkdirSync(directory);
  return { env, directory };
}

/** @returns what became of each command line. */
export async function runTable(contender: Contender): Promise<string[][]> {
  const said: string[][] = [];
  for (const line of lines) said.push(comparable(line, contender, await runLine(line, contender)));
  return said;
}

function runLine(line: string, { env, directory }: Contender): Promise<CommandResult> {
  if (line.startsWith("$ ")) return command(["sh", "-c", line.slice(2)], { cwd: directory, env });
  const [words, stdin] = line.split(" << ") as [string, string | undefined];
  const argv = [...words.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!);
  const args = argv.map((word) => word.replace("IMAGE", image).replace("DIR", directory));
  return command([dockerClient(), ...args], { env, ...(stdin !== undefined && { stdin: `${stdin}\n` }) });
}

/** Lines without what is each daemon's own: ids, times, addresses, directories, and the columns that fit them. */
function comparable(line: string, { directory }: Contender, result: CommandResult): string[] {
  const lines = (name: string, text: string) => {
    const ended = text === "" || text.endsWith("\n") ? text : `${text}<no newline>\n`;
    return ended
      .split("\n")
      .slice(0, -1)
      .map((each) => `${name}: ${plain(each, directory)}`);
  };
  const whole = [`status ${result.status}`, ...lines("out", result.stdout), ...lines("err", result.stderr)];
  if (/^(top|stats) /.test(line)) return whole.map((each) => each.replace(/(?<![\w<])\d[\d.:]*/g, "<n>"));
  // dockerd has them in the order of the directory on the disk.
  return /^(container )?diff /.test(line) ? whole.sort() : whole;
}

function plain(text: string, directory: string): string {
  return text
    .replaceAll(directory, "DIR")
    .replaceAll(/\btsd-test-[0-9a-f]{8}\b/g, "<workspace>")
    .replace(/\b[0-9a-f]{64}\b/g, "<id>")
    .replace(/\b[0-9a-f]{12}\b/g, "<short id>")
    .replace(/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC)?/g, "<time>")
    .replace(/\b(Less than a second|About an? \w+|\d+ seconds?|\d+ minutes?)\b/g, "<while>")
    .replace(/\b\d+(\.\d+)?(B|kB|MB)\b/g, "<size>")
    .replace(/to \d+\.00, as there are only \d+ CPUs/, "to <n>.00, as there are only <n> CPUs")
    .replace(/"Pid":\d+/g, '"Pid":<pid>')
    .replace(/\bfd[0-9a-f]{2}(:[0-9a-f]*){3,}/g, "<address>")
    .replace(/\b172\.\d+\.\d+\.\d+\b/g, "<address>")
    .replace(/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "<mac>")
    .replace(/ {2,}/g, "  ");
}
