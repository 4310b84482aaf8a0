import type { Command } from "./command.ts";
import { commandNames, commands, type VerbName } from "./commands.ts";
import type { Flag, FlagTable } from "./flags.ts";
import { globalFlags } from "./global-flags.ts";
import { versionText } from "./version-text.ts";

/** Every parser knows it; only the program's own list shows it, as in runc. */
const helpFlag: FlagTable = { help: { kind: "boolean", alias: "h", usage: "show help" } };

/** The help of the program itself. */
export function programHelp(program: string): string {
  const width = Math.max(...commandNames.map((name) => name.length));
  return [
    `NAME:\n   ${program} - Open Container Initiative runtime`,
    "It runs bundles: directories with a config.json and a root filesystem, as the OCI runtime\n" +
      "specification describes them. The first process of a container is started from a plan of system calls\n" +
      `that "${program} explain" prints.\n\n` +
      `To run a bundle in the current directory:\n\n    # ${program} run <container-id>`,
    `USAGE:\n   ${program} [global options] command [command options] [arguments...]`,
    `VERSION:\n${indent(versionText().replace(/^.* version /, ""))}`,
    `COMMANDS:\n${commandNames.map((name) => `   ${name.padEnd(width)}  ${commands[name].usage}`).join("\n")}\n` +
      `   ${"help, h".padEnd(width)}  shows this list, or the help of one command`,
    `GLOBAL OPTIONS:\n${flagLines(withHelp(globalFlags))}`,
  ].join("\n\n");
}

/** In runc's order: `--version` is last. */
function withHelp({ version, ...others }: typeof globalFlags): FlagTable {
  return { ...others, ...helpFlag, version };
}

/** The help of one verb. */
export function commandHelp(program: string, name: VerbName, verb: Command): string {
  const options = Object.keys(verb.flags).length > 0;
  const sections = [
    `NAME:\n   ${program} ${name} - ${commands[name].usage}`,
    `USAGE:\n   ${`${program} ${name} ${options ? "[command options] " : ""}${verb.argumentsUsage}`.trimEnd()}`,
    ...verb.help.map(({ heading, text }) => (heading === "" ? text : `${heading}:\n${indent(text)}`)),
  ];
  if (options) sections.push(`OPTIONS:\n${flagLines(verb.flags)}`);
  return sections.join("\n\n");
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, "   ");
}

function flagLines(table: FlagTable): string {
  const rows = Object.entries(table).map(([name, flag]) => [spelling(name, flag), flag.usage + defaultOf(flag)]);
  const width = Math.max(...rows.map((row) => row[0]!.length));
  return rows.map(([left, right]) => `   ${left!.padEnd(width)}  ${right}`).join("\n");
}

function spelling(name: string, flag: Flag): string {
  const value = flag.kind === "boolean" ? "" : " value";
  return flag.alias === undefined ? `--${name}${value}` : `--${name}${value}, -${flag.alias}${value}`;
}

function defaultOf(flag: Flag): string {
  if (flag.kind === "integer" && flag.default !== undefined) return ` (default: ${flag.default})`;
  return flag.kind === "text" && flag.default ? ` (default: ${JSON.stringify(flag.default)})` : "";
}
