import { expect, test } from "bun:test";
import type { CommandDef } from "citty";
import type { Command } from "./command.ts";
import { documentedFlags } from "./docker-flags.ts";
import { leafOf, rootCommand } from "./tree.ts";

async function definitionOf(path: string): Promise<Command | undefined> {
  let node: CommandDef | undefined = rootCommand;
  for (const word of path.split(" ")) node = (node?.subCommands as Record<string, CommandDef> | undefined)?.[word];
  return node && leafOf(node)?.load();
}

/** What of docker's is not there, or takes no value where docker's does. */
async function lackingIn(path: string): Promise<string[]> {
  const definition = await definitionOf(path);
  if (definition === undefined) return [path];
  return documentedFlags.get(path)!.flatMap(({ name, short, takesValue }) => {
    const flag = Object.hasOwn(definition.flags, name) ? definition.flags[name]! : undefined;
    if (flag === undefined) return [`${path} --${name}`];
    if (short !== undefined && flag.short !== short) return [`${path} -${short}`];
    return flag.isBoolean === takesValue ? [`${path} --${name}: ${takesValue ? "takes" : "has no"} value`] : [];
  });
}

test("every flag that docker documents is known, by its letter too, and takes a value where docker's does", async () => {
  expect(documentedFlags.size).toBe(127);
  const lacking = await Promise.all([...documentedFlags.keys()].map(lackingIn));
  expect(lacking.flat()).toEqual([]);
});

test("the short forms of docker's commands are those of their nouns", async () => {
  const short =
    "attach commit cp create diff exec export history images import info inspect kill load logs pause port ps pull push rename restart rm rmi run save search start stats stop tag top unpause update version wait";
  for (const name of short.split(" ")) expect([name, await definitionOf(name)]).toEqual([name, expect.anything()]);
  for (const [noun, verb, name] of [
    ["container", "ls", "ps"],
    ["container", "list", "ps"],
    ["container", "remove", "rm"],
    ["image", "ls", "images"],
    ["image", "remove", "rmi"],
    ["container", "run", "run"],
    ["system", "info", "info"],
    ["system", "events", "events"],
  ]) {
    expect(await definitionOf(`${noun} ${verb}`)).toBe((await definitionOf(name!))!);
  }
});
