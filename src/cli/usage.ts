import type { CommandDef, CommandMeta } from "citty";
import type { Command } from "./command.ts";
import { boolFlag, type FlagSet } from "./flags.ts";
import { formatCommands, formatFlags } from "./help.ts";
import { terminalColumns } from "./output.ts";
import type { PluginDescription } from "./plugins/plugins.ts";
import { commonCommands, managementCommands, modes, otherCommands, swarmCommands } from "./tree.ts";

const columns = () => terminalColumns(1);

function rows(commands: Record<string, CommandDef>): { name: string; summary: string }[] {
  // A command that has several names in its group is listed under the first.
  const seen = new Set<CommandDef>();
  return Object.entries(commands).flatMap(([name, node]) => {
    if (seen.has(node)) return [];
    seen.add(node);
    const { description = "", hidden } = node.meta as CommandMeta;
    return hidden ? [] : [{ name, summary: description }];
  });
}

/**
 * `tsd --help`
 * @param plugins of the command line; a star marks them, as in docker's help.
 */
export function rootHelp(program: string, flags: FlagSet, plugins: readonly PluginDescription[]): string {
  const added = plugins.map(({ name, summary }) => ({ name: `${name}*`, summary }));
  const nouns = [...rows(managementCommands), ...added].sort((a, b) => (a.name < b.name ? -1 : 1));
  return `Usage:  ${program} [OPTIONS] COMMAND

A container engine in one file

Common Commands:
${formatCommands(rows(commonCommands))}

Management Commands:
${formatCommands(nouns)}

Swarm Commands:
${formatCommands(rows(swarmCommands))}

Commands:
${formatCommands(rows(otherCommands))}

Modes:
${formatCommands(Object.entries(modes).map(([name, summary]) => ({ name, summary })))}

Global Options:
${formatFlags(flags, columns())}

Run '${program} COMMAND --help' for more information on a command.`;
}

/** `tsd container --help` */
export function groupHelp(program: string, path: string, node: CommandDef): string {
  return `Usage:  ${program} ${path} COMMAND

${(node.meta as CommandMeta).description}

Commands:
${formatCommands(rows(node.subCommands as Record<string, CommandDef>))}

Run '${program} ${path} COMMAND --help' for more information on a command.`;
}

/** `tsd run --help` */
export function commandHelp(program: string, path: string, definition: Command): string {
  const { aliases: names = [] } = definition;
  // A command of one name alone needs no list of them.
  const aliases = names.length > 1 ? names.map((alias) => `${program} ${alias}`).join(", ") : "";
  const flags = { ...definition.flags, help: boolFlag("Print usage") };
  return [
    `Usage:  ${program} ${path} ${definition.usage}`,
    definition.summary,
    ...(aliases ? [`Aliases:\n  ${aliases}`] : []),
    ...(Object.values(definition.flags).length > 0 ? [`Options:\n${formatFlags(flags, columns())}`] : []),
  ].join("\n\n");
}
