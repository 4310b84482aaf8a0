import { prependEntry } from "../../build/entry.ts";
import { succeed, until } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";
import { type Measured, summarize, timed } from "./measure.ts";
import { makeBundle, runtimes, waitForNamespace } from "./runtimes.ts";

const verbs = ["create", "state", "start", "kill", "delete"] as const;
const emptyName = "an empty Bun program";

/**
 * Takes a container of every runtime through its life, once a round, each verb timed by itself; right before each verb
 * of tsd's, on a machine in the same mood, the start of a compiled Bun program that does nothing, which is the least
 * that the verb can take.
 */
export async function measureVerbs(workspace: Workspace, rounds: number): Promise<[verb: string, Measured[]][]> {
  const contenders = runtimes(workspace);
  await waitForNamespace();
  const empty = await emptyProgram(workspace);
  const samples = new Map<string, number[]>();
  const add = (key: string, ms: number) => samples.set(key, [...(samples.get(key) ?? []), ms]);
  const warmup = 2;
  for (let round = -warmup; round < rounds; round++) {
    if (round === 0) samples.clear();
    for (const { name, prefix } of contenders) {
      const id = `${workspace.name}-verbs-${name.replace(" ", "-")}`;
      const bundle =
        round === -warmup ? await makeBundle(workspace, id, ["/bin/sleep", "86400"]) : workspace.path(`bundle-${id}`);
      for (const verb of verbs) {
        const flags = { create: ["-b", bundle, id], kill: [id, "KILL"] }[verb as string] ?? [id];
        if (name.startsWith("tsd")) add(`${verb} ${emptyName}`, await timed({ name: emptyName, argv: [empty] }));
        add(`${verb} ${name}`, await timed({ name, argv: [...prefix, verb, ...flags] }));
        if (verb === "kill") await until(`${id} has stopped`, async () => (await status(prefix, id)) === "stopped");
      }
    }
  }
  return verbs.map((verb) => [
    verb,
    [
      ...contenders.map(({ name }) => summarize(name, samples.get(`${verb} ${name}`)!)),
      summarize(emptyName, samples.get(`${verb} ${emptyName}`)!),
    ],
  ]);
}

async function status(prefix: string[], id: string): Promise<string> {
  return JSON.parse(await succeed([...prefix, "state", id])).status;
}

async function emptyProgram(workspace: Workspace): Promise<string> {
  const source = workspace.path("empty.ts");
  await Bun.write(source, "");
  const outfile = workspace.path("empty");
  const result = await Bun.build({ entrypoints: [source], bytecode: true, compile: { outfile }, throw: false });
  if (!result.success) throw new AggregateError(result.logs, "the empty program");
  prependEntry(outfile);
  return outfile;
}
