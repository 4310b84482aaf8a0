/**
 * The unmodified docker client, with tsd and with Debian's dockerd (20.10): what it prints and its exit status for each
 * command line of the table. Every difference is in against-dockerd-differences.json, to the letter and with its class:
 * `version` (dockerd 29 does as tsd does) or `deliberate`. One that is not there fails, and one that has gone does, too.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { dockerClient } from "../harness/packages.ts";
import { startDockerd } from "../harness/peers.ts";
import { Workspace } from "../harness/workspace.ts";
import recorded from "./against-dockerd-differences.json" with { type: "json" };
import { table } from "./against-dockerd-table.ts";

interface Difference {
  command: string;
  class: "version" | "deliberate";
  why: string;
  /** Lines that are of one alone. */
  dockerd: string[];
  tsd: string[];
}

const image = "busybox:test";
const lines = table.split("\n").filter((line) => line !== "" && !line.startsWith("# "));
const differences = new Map((recorded as Difference[]).map((difference) => [difference.command, difference]));
const found = new Map<string, { dockerd: string[]; tsd: string[] }>();
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const [own, theirs] = await Promise.all([tsdContender(), dockerdContender()]);
  const said = await Promise.all([own, theirs].map(runTable));
  for (const [index, line] of lines.entries()) {
    const [tsd, dockerd] = said.map((each) => each[index]!) as [string[], string[]];
    if (Bun.deepEquals(tsd, dockerd)) continue;
    found.set(line, { dockerd: without(dockerd, tsd), tsd: without(tsd, dockerd) });
  }
}, 120_000);

afterAll(async () => {
  await Promise.all(closers.map((close) => close()));
}, 60_000);

describe("docker says the same of tsd and of dockerd, or what is on record, for", () => {
  test.each(lines.map((line) => ({ line })))("$line", ({ line }) => {
    const { dockerd, tsd } = differences.get(line) ?? { dockerd: undefined, tsd: undefined };
    expect(found.get(line)).toEqual(dockerd && tsd && { dockerd, tsd });
  });
});

test("every command line is in the table once, and every difference on record is of one of them", () => {
  expect(lines.filter((line, index) => lines.indexOf(line) !== index)).toEqual([]);
  expect([...differences.keys()].filter((line) => !lines.includes(line))).toEqual([]);
  expect(differences.size).toBe(recorded.length);
  const unclassed = recorded.filter(({ class: kind, why }) => !["version", "deliberate"].includes(kind) || why === "");
  expect(unclassed).toEqual([]);
});

interface Contender {
  env: Record<string, string>;
  /** What stands for DIR. */
  directory: string;
}

async function tsdContender(): Promise<Contender> {
  const scene = await DockerScene.open();
  closers.push(() => scene.close());
  await scene.ok("tag", scene.image, image);
  await scene.ok("rmi", scene.image);
  return contender(scene.workspace, scene.daemon.env);
}

async function dockerdContender(): Promise<Contender> {
  // In another network: both publish the same ports.
  const workspace = await Workspace.open();
  closers.push(() => workspace[Symbol.asyncDispose]());
  const dockerd = await startDockerd(workspace, "runc");
  return contender(workspace, { ...dockerd.env, DOCKER_CONFIG: workspace.path("docker-config") });
}

function contender(workspace: Workspace, env: Record<string, string>): Contender {
  const directory = workspace.path("dir");
  mkdirSync(directory);
  return { env, directory };
}

/** @returns what became of each command line. */
async function runTable(contender: Contender): Promise<string[][]> {
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

function without(lines: string[], others: string[]): string[] {
  const left = [...others];
  return lines.filter((line) => {
    const at = left.indexOf(line);
    if (at !== -1) left.splice(at, 1);
    return at === -1;
  });
}
