import { type CommandDef, defineCommand } from "citty";
import type { Command } from "../command.ts";

/** How a leaf of the tree brings its command. */
export type Loader = () => Promise<Command>;

/** A node of the tree beside what citty keeps of it. */
export interface Leaf {
  load: Loader;
}

const leaves = new WeakMap<CommandDef, Leaf>();

export function leafOf(node: CommandDef): Leaf | undefined {
  return leaves.get(node);
}

/** @param load is called when the command runs or its help is asked for. @param hidden from the list of commands. */
export function leaf(name: string, description: string, load: () => Promise<unknown>, hidden = false): CommandDef {
  const node = defineCommand({ meta: { name, description, hidden } });
  leaves.set(node, { load: load as Loader });
  return node;
}

/** @param subCommands a function where they are many and seldom looked for: called when they are. */
export function group(
  name: string,
  description: string,
  subCommands: Record<string, CommandDef> | (() => Record<string, CommandDef>),
  hidden = false,
): CommandDef {
  const node = defineCommand({ meta: { name, description, hidden } });
  if (typeof subCommands !== "function") return Object.assign(node, { subCommands });
  return Object.defineProperty(node, "subCommands", { get: subCommands });
}
