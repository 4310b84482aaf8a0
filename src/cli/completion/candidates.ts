/**
 * What may come next on a command line that is being typed. Shells ask for it through `__complete`, in the protocol of
 * docker's own scripts (spf13/cobra): a candidate a line with its description behind a tab, at the end `:DIRECTIVE`.
 */
import type { CommandDef, CommandMeta } from "citty";
import type { Client } from "../../client/client.ts";
import { isEngineError } from "../../core/errors.ts";
import type { Command } from "../command.ts";
import type { FlagSet } from "../flags.ts";
import { globalFlags } from "../global-flags.ts";
import type { Session } from "../session.ts";
import { leafOf, rootCommand } from "../tree.ts";

export interface Completion {
  candidates: { text: string; description?: string }[];
  /** Where there is nothing better, names of files are. */
  allowsFiles: boolean;
}

const nothing: Completion = { candidates: [], allowsFiles: false };
const files: Completion = { candidates: [], allowsFiles: true };

/**
 * @param words behind the program's name; the last one is being typed, and may be empty.
 * @param ask whom for names of objects.
 */
export async function complete(words: readonly string[], ask: Ask): Promise<Completion> {
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const globals = afterFlags(globalFlags(), before);
  if (globals.wantsValue !== undefined) return globals.wantsValue === "context" ? ask.contexts() : files;
  const { node, path, rest } = walk(globals.positionals);
  const load = leafOf(node)?.load;
  if (load === undefined) {
    if (rest.length > 0) return nothing;
    if (!typed.startsWith("-")) return starting(typed, commandsOf(node));
    return path === "" ? starting(typed, flagsOf(globalFlags())) : nothing;
  }
  const definition = await load();
  const { wantsValue, positionals } = afterFlags(definition.flags, rest, definition.interspersed ?? true);
  if (wantsValue !== undefined) return starting(typed, await valuesOf(wantsValue, ask));
  const endsFlags = rest.includes("--") || (definition.interspersed === false && positionals.length > 0);
  if (typed.startsWith("-") && !endsFlags) return starting(typed, flagsOf(definition.flags));
  return starting(typed, await objectsFor(path, definition, positionals, ask));
}

/** Names of what there is. Whoever cannot answer has none. */
export interface Ask {
  containers(state: "all" | "running" | "stopped" | "paused"): Promise<Completion>;
  images(): Promise<Completion>;
  networks(): Promise<Completion>;
  volumes(): Promise<Completion>;
  contexts(): Promise<Completion>;
}

/** Looks for a command as far as words name one. */
function walk(words: string[]): { node: CommandDef; path: string; rest: string[] } {
  let node = rootCommand;
  let depth = 0;
  for (; depth < words.length; depth++) {
    const children = (node.subCommands ?? {}) as Record<string, CommandDef>;
    if (!Object.hasOwn(children, words[depth]!)) break;
    node = children[words[depth]!]!;
  }
  return { node, path: words.slice(0, depth).join(" "), rest: words.slice(depth) };
}

/** What flags leave of words. @returns wantsValue: the flag whose value comes next. */
function afterFlags(flags: FlagSet, words: readonly string[], interspersed = false) {
  const positionals: string[] = [];
  let wantsValue: string | undefined;
  for (const [index, word] of words.entries()) {
    if (wantsValue !== undefined) wantsValue = undefined;
    else if (word === "--") return { positionals: [...positionals, ...words.slice(index + 1)] };
    else if (!word.startsWith("-") || word === "-") {
      positionals.push(word);
      if (!interspersed) return { positionals: [...positionals, ...words.slice(index + 1)] };
    } else if (!word.includes("=")) wantsValue = flagWithoutValue(flags, word);
  }
  return { positionals, wantsValue };
}

function flagWithoutValue(flags: FlagSet, word: string): string | undefined {
  const isLong = word.startsWith("--");
  const letter = word.at(-1);
  const [name, flag] =
    Object.entries(flags).find(([key, { short }]) => (isLong ? `--${key}` === word : short === letter)) ?? [];
  return flag === undefined || flag.isBoolean ? undefined : name;
}

function commandsOf(node: CommandDef): Completion {
  const seen = new Set<CommandDef>();
  const candidates = Object.entries((node.subCommands ?? {}) as Record<string, CommandDef>).flatMap(([text, child]) => {
    const { description = "", hidden } = child.meta as CommandMeta;
    if (hidden || seen.has(child)) return [];
    seen.add(child);
    return [{ text, description }];
  });
  return { candidates: candidates.sort((a, b) => (a.text < b.text ? -1 : 1)), allowsFiles: false };
}

function flagsOf(flags: FlagSet): Completion {
  const shown = Object.entries(flags).filter(([, { hidden }]) => !hidden);
  const candidates = shown.map(([name, { help }]) => ({ text: `--${name}`, description: help.split("\n", 1)[0]! }));
  return { candidates: candidates.sort((a, b) => (a.text < b.text ? -1 : 1)), allowsFiles: false };
}

async function valuesOf(flag: string, ask: Ask): Promise<Completion> {
  switch (flag) {
    case "network":
      return ask.networks();
    case "volumes-from":
    case "link":
      return ask.containers("all");
    case "restart":
      return list("always", "no", "on-failure", "unless-stopped");
    case "pull":
      return list("always", "missing", "never");
    case "type":
      return list("container", "context", "image", "network", "volume");
    default:
      return files;
  }
}

function list(...words: string[]): Completion {
  return { candidates: words.map((text) => ({ text })), allowsFiles: false };
}

const containersIn: Record<string, "all" | "running" | "stopped" | "paused"> = Object.fromEntries(
  (
    [
      ["all", "commit diff export inspect logs port rename rm update wait why restart"],
      ["running", "attach exec kill pause stats stop top"],
      ["stopped", "start"],
      ["paused", "unpause"],
    ] as const
  ).flatMap(([state, names]) => names.split(" ").map((name) => [name, state] as const)),
);

const imageVerbs = new Set(["run", "create", "rmi", "push", "tag", "save", "history", "image inspect", "image rm"]);

/** Objects that a command takes at this place. */
async function objectsFor(path: string, definition: Command, given: string[], ask: Ask): Promise<Completion> {
  if (given.length >= definition.arity.max) return nothing;
  const words = path.split(" ");
  const [noun, verb = ""] = words;
  const last = words.at(-1)!;
  const isFirst = given.length === 0;
  if (noun === "network" && ["connect", "disconnect"].includes(verb))
    return isFirst ? ask.networks() : ask.containers("all");
  if (noun === "network" && ["inspect", "rm"].includes(verb)) return ask.networks();
  if (noun === "volume" && ["inspect", "rm", "update"].includes(verb)) return ask.volumes();
  if (noun === "context" && ["export", "inspect", "rm", "update", "use"].includes(verb)) return ask.contexts();
  if (imageVerbs.has(path) || (noun === "image" && imageVerbs.has(last))) {
    return isFirst || ["rmi", "rm", "save", "inspect", "history"].includes(last) ? ask.images() : files;
  }
  const state = containersIn[last];
  if (state !== undefined && (words.length === 1 || noun === "container")) {
    const takesOne = definition.arity.max === 1 || ["exec", "rename", "top", "commit", "port"].includes(last);
    if (isFirst || !takesOne) return ask.containers(state);
    return definition.arity.max === Number.POSITIVE_INFINITY ? files : nothing;
  }
  return files;
}

function starting(typed: string, { candidates, allowsFiles }: Completion): Completion {
  return { candidates: candidates.filter(({ text }) => text.startsWith(typed)), allowsFiles };
}

/** @param session whose daemon is asked; one that does not answer keeps nobody from typing. */
export function askDaemon(session: Session): Ask {
  const names = async (find: (client: Client) => Promise<string[]>): Promise<Completion> => {
    try {
      return list(...(await find(await session.client())).sort());
    } catch (error) {
      if (isEngineError(error)) return nothing;
      throw error;
    }
  };
  const filtersOf = { all: {}, running: { status: ["running"] }, paused: { status: ["paused"] } };
  return {
    containers: (state) =>
      names(async (client) => {
        const filters = state === "stopped" ? { status: ["created", "exited"] } : filtersOf[state];
        const found = await client.listContainers({ all: true, size: false, filters });
        return found.flatMap(({ Names }) => Names.slice(0, 1).map((name) => name.replace(/^\//, "")));
      }),
    images: () =>
      names(async (client) => {
        const found = await client.listImages({ all: false, filters: {} });
        return found.flatMap(({ RepoTags }) => (RepoTags ?? []).filter((tag) => tag !== "<none>:<none>"));
      }),
    networks: () =>
      names(async (client) => {
        const { listNetworks } = await import("../../client/networks.ts");
        return (await listNetworks(client, {})).map(({ Name }) => Name);
      }),
    volumes: () =>
      names(async (client) => {
        const { listVolumes } = await import("../../client/volumes.ts");
        return ((await listVolumes(client, {})).Volumes ?? []).map(({ Name }) => Name);
      }),
    contexts: async () => {
      const { ContextStore, defaultContext } = await import("../context/store.ts");
      const stored = new ContextStore(session.configDirectory).list().map(({ Name }) => Name);
      return list(...[defaultContext, ...stored].sort());
    },
  };
}
