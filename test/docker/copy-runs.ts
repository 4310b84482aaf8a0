/** The table of copies, run with one command line and one daemon. */
import { mkdirSync } from "node:fs";
import { TarReader } from "../../src/tar/tar-reader.ts";
import { type CommandResult, command, succeed } from "../harness/command.ts";
import { dockerClient } from "../harness/packages.ts";
import { cases, template } from "./copy-table.ts";

export const container = "box";
const atOnce = 2;
/** The template's files have this time, in seconds since the epoch. */
const keptSeconds = 1_000_000_000;

export interface Contender {
  name: string;
  client: string;
  env: Record<string, string>;
  /** Here; it is made. */
  directory: string;
}

/** What became of one case. */
export interface Outcome {
  status: number;
  /** The last line. What a daemon says of its own is not told. */
  said: string;
  /** What there is afterwards and was not before (`+`), and the reverse (`-`), on both sides. */
  here: string[];
  there: string[];
}

export const daemonSaid = "Error response from daemon";

export function startContainer(env: Record<string, string>, image: string): Promise<string> {
  const argv = [dockerClient(), "run", "-d", "--network", "none", "--name", container, image, "sleep", "1000"];
  return succeed(argv, { env });
}

/** By the names of the cases; `words`: all that the client said. */
export async function runCases(contender: Contender): Promise<Map<string, Outcome & { words: string }>> {
  const { name, env, directory } = contender;
  const root = `/w/${name}`;
  mkdirSync(directory);
  // One more than there are: as it was before.
  const make = `mkdir t; cd t; ${template}cd ..;
for n in $(seq 0 ${cases.length}); do cp -a t $n; ln -s "$PWD/$n/dir" $n/absolute; done; rm -r t`;
  await succeed(["sh", "-c", `SIDE=here; ${make}`], { cwd: directory });
  await inside(env, "sh", "-c", `mkdir -p ${root}; cd ${root}; SIDE=there; ${make}`);
  const results: CommandResult[] = [];
  const waiting = [...cases.keys()];
  const work = async () => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
      results[index] = await copy(contender, root, index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  const here = byCase(await succeed(["sh", "-c", "tar -c . | base64"], { cwd: directory }), directory);
  const there = byCase(await inside(env, "sh", "-c", `tar -c -C ${root} . | base64`), root);
  return new Map(
    cases.map((each, index) => {
      const { status, stderr } = results[index]!;
      const words = stderr.trimEnd().replaceAll(directory, "/ROOT").replaceAll(root, "/ROOT");
      const said = words.startsWith(daemonSaid)
        ? daemonSaid
        : words.split("\n").at(-1)!.replaceAll(`/${index}/`, "/N/");
      return [each.name, { status, said, words, here: changed(here, index), there: changed(there, index) }];
    }),
  );
}

function changed(listings: ReadonlyMap<number, string[]>, index: number): string[] {
  const [before, after] = [listings.get(cases.length)!, listings.get(index) ?? []];
  const gone = before.filter((line) => !after.includes(line)).map((line) => `- ${line}`);
  return [...gone, ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`)];
}

function copy({ client, env, directory }: Contender, root: string, index: number): Promise<CommandResult> {
  const { flags, source, target } = cases[index]!;
  const whole = (path: string) => path.replace(/^c:/, `${container}:${root}/${index}/`);
  return command([client, "cp", ...flags, whole(source), whole(target)], { env, cwd: `${directory}/${index}` });
}

function inside(env: Record<string, string>, ...argv: string[]): Promise<string> {
  return succeed([dockerClient(), "exec", container, ...argv], { env });
}

/** What a directory holds, by the case: a line for each file with owner, mode, content, and its time where it was kept. */
function byCase(archive: string, root: string): Map<number, string[]> {
  const lines: { path: string; text: string; content: string }[] = [];
  const reader = new TarReader({
    entry: ({ path, linkPath, type, mode, uid, gid, mtime }) => {
      const kept = type === "file" && mtime.seconds === keptSeconds ? "kept" : "";
      // Which of two names comes first is the directory's business.
      const names = [path, linkPath].sort();
      const first = type === "hardlink" ? lines.find((line) => line.path === linkPath) : undefined;
      if (first) first.path = names[0]!;
      const name = type === "hardlink" ? names.join(" ").replace(/ \.\/\d+\//, " ") : path;
      const target = type === "symlink" ? linkPath.replace(root, "/ROOT").replace(/^\/ROOT\/\d+\//, "/ROOT/N/") : "";
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
  return new Map([...found].map(([index, texts]) => [index, texts.sort()]));
}
