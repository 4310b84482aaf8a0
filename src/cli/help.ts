import type { FlagSet } from "./flags.ts";

/** Help pages in the layout of docker's, wrapped for the terminal. */

/** The "Options:" block: short, long, value word, and the help text wrapped beside them. */
export function formatFlags(flags: FlagSet, columns: number): string {
  const shown = Object.entries(flags).filter(([, flag]) => !flag.hidden);
  const rows = shown.map(([name, flag]) => ({
    left: `${flag.short ? `  -${flag.short}, ` : "      "}--${name}${flag.valueName ? ` ${flag.valueName}` : ""}`,
    text: flag.help + (flag.shownDefault === undefined ? "" : ` (default ${flag.shownDefault})`),
  }));
  rows.sort((a, b) => compareNames(a.left, b.left));
  const indent = Math.max(0, ...rows.map((row) => row.left.length)) + 3;
  return rows.map((row) => row.left.padEnd(indent) + wrap(row.text, indent, columns)).join("\n");
}

function compareNames(a: string, b: string): number {
  const nameA = a.slice(a.indexOf("--"));
  const nameB = b.slice(b.indexOf("--"));
  return nameA < nameB ? -1 : nameA > nameB ? 1 : 0;
}

/** Two columns of names and summaries, for lists of commands. */
export function formatCommands(commands: { name: string; summary: string }[]): string {
  const width = Math.max(0, ...commands.map((command) => command.name.length)) + 2;
  return commands.map((command) => `  ${command.name.padEnd(width)}${command.summary}`).join("\n");
}

function wrap(text: string, indent: number, columns: number): string {
  const width = Math.max(24, columns - indent);
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else {
        line = line === "" ? word : `${line} ${word}`;
      }
    }
    lines.push(line);
  }
  return lines.join(`\n${" ".repeat(indent)}`);
}

const templateHelp = `'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates`;

/** What `--format` of a list takes. */
export const formatHelp = `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
${templateHelp}`;

/** What `--format` of `inspect` takes. */
export const objectFormatHelp = `Format output using a custom template:
'json':             Print in JSON format
${templateHelp}`;
