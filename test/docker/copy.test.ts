/**
 * `cp` has the same results with tsd's command line, with docker's client and tsd's daemon, and with docker's client and
 * dockerd: statuses, what is there afterwards on both sides, and what clients themselves say.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { TarReader } from "../../src/tar/tar-reader.ts";
import { startDocker } from "../bench/engines.ts";
import { type CommandResult, command, succeed } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { dockerClient } from "../harness/packages.ts";
import { tsd } from "../harness/workspace.ts";
import { cases, template } from "./copy-table.ts";

const container = "box";
const atOnce = 2;
/** The template's files have this time, in seconds since the epoch. */
const keptSeconds = 1_000_000_000;

/** A command line and a daemon. */
interface Contender {
  name: string;
  client: string;
  env: Record<string, string>;
  directory: string;
  /** In the container. */
  root: string;
}

interface Outcome {
  status: number;
  said: string;
  here: string;
  there: string;
}

let scene: DockerScene;
const contenders: Contender[] = [];
const outcomes = new Map<string, Map<string, Outcome>>();

beforeAll(async () => {
  scene = await DockerScene.open();
  const dockerd = await startDocker(scene.workspace);
  if (!dockerd) throw new Error("no dockerd: apt-get install docker.io");
  await startContainer(scene.daemon.env, scene.image);
  await startContainer(dockerd.env, dockerd.image);
  const add = (name: string, client: string, env: Record<string, string>) =>
    contenders.push({ name, client, env, directory: scene.workspace.path(name), root: `/w/${name}` });
  add("tsd", tsd, scene.daemon.env);
  add("client", dockerClient(), scene.daemon.env);
  add("dockerd", dockerClient(), dockerd.env);
  await Promise.all(contenders.map(runCases));
}, 120_000);

afterAll(() => scene?.close());

function startContainer(env: Record<string, string>, image: string): Promise<string> {
  const argv = [dockerClient(), "run", "-d", "--network", "none", "--name", container, image, "sleep", "1000"];
  return succeed(argv, { env });
}

async function runCases(contender: Contender): Promise<void> {
  const { name, env, directory, root } = contender;
  mkdirSync(directory);
  const make = `mkdir t; cd t; ${template}cd ..;
for n in $(seq 0 ${cases.length - 1}); do cp -a t $n; ln -s "$PWD/$n/dir" $n/absolute; done; rm -r t`;
  await succeed(["sh", "-c", `SIDE=here; ${make}`], { cwd: directory });
  await inside(env, "sh", "-c", `mkdir -p ${root}; cd ${root}; SIDE=there; ${make}`);
  const results: CommandResult[] = [];
  const waiting = [...cases.keys()];
  const work = async () => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      results[index] = await copy(contender, index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  const here = byCase(await succeed(["sh", "-c", "tar -c . | base64"], { cwd: directory }), directory);
  const there = byCase(await inside(env, "sh", "-c", `tar -c -C ${root} . | base64`), root);
  outcomes.set(
    name,
    new Map(
      cases.map((each, index) => {
        const { status, stderr } = results[index]!;
        const said = stderr.trimEnd().replaceAll(directory, "/ROOT").replaceAll(root, "/ROOT");
        return [each.name, { status, said, here: here.get(index) ?? "", there: there.get(index) ?? "" }];
      }),
    ),
  );
}

function copy({ client, env, directory, root }: Contender, index: number): Promise<CommandResult> {
  const { flags, source, target } = cases[index]!;
  const whole = (path: string) => path.replace(/^c:/, `${container}:${root}/${index}/`);
  return command([client, "cp", ...flags, whole(source), whole(target)], { env, cwd: `${directory}/${index}` });
}

function inside(env: Record<string, string>, ...argv: string[]): Promise<string> {
  return succeed([dockerClient(), "exec", container, ...argv], { env });
}

/** What a directory holds, by the case: a line for each file with owner, mode, content, and its time where it was kept. */
function byCase(archive: string, root: string): Map<number, string> {
  const lines: { path: string; text: string; content: string }[] = [];
  const reader = new TarReader({
    entry: ({ path, linkPath, type, mode, uid, gid, mtime }) => {
      const kept = type === "file" && mtime.seconds === keptSeconds ? "kept" : "";
      // Which of two names comes first is the directory's business.
      const name = type === "hardlink" ? [path, linkPath].sort().join(" ") : path;
      const target = type === "symlink" ? linkPath.replace(root, "/ROOT") : "";
      lines.push({ path: name, text: `${type} ${mode.toString(8)} ${uid}:${gid} ${target}${kept}`, content: "" });
    },
    data: (chunk) => {
      lines.at(-1)!.content += Buffer.from(chunk).toString();
    },
    entryEnd: () => undefined,
  });
  reader.write(Buffer.from(archive, "base64"));
  reader.end();
  const found = new Map<number, string[]>();
  for (const { path, text, content } of lines) {
    const [, index, rest] = /^\.\/(\d+)\/(.*)$/.exec(path) ?? [];
    if (index === undefined) continue;
    const texts = found.get(Number(index)) ?? [];
    texts.push(`${rest} ${text} [${content}]`);
    found.set(Number(index), texts);
  }
  return new Map([...found].map(([index, texts]) => [index, texts.sort().join("\n")]));
}

function outcome(contender: string, name: string): Outcome {
  return outcomes.get(contender)!.get(name)!;
}

describe("cp", () => {
  test("the table has sixty cases and more, and files are copied in most of them", () => {
    expect(cases.length).toBeGreaterThan(60);
    const done = cases.filter(({ name }) => outcome("dockerd", name).status === 0);
    expect(done.length).toBeGreaterThan(cases.length / 2);
  });

  test.each(cases.map(({ name }) => name))("%s", (name) => {
    const { said, ...dockerd } = outcome("dockerd", name);
    const { said: saidOfTsd, ...client } = outcome("client", name);
    const { said: ownWords, ...own } = outcome("tsd", name);
    expect(client).toEqual(dockerd);
    expect(own).toEqual(dockerd);
    // What dockerd 20.10 says of its own has paths of the host in it.
    if (!said.startsWith("Error response")) expect(lastLine(saidOfTsd)).toBe(lastLine(said));
    if (!betterWords.has(name)) expect(lastLine(ownWords)).toBe(lastLine(saidOfTsd));
  });
});

/** Docker's client names no path, or the link's target alone. */
const betterWords = new Set(["file/ c:new", "-L dangling c:new"]);

function lastLine(text: string): string {
  return text.split("\n").at(-1)!;
}
