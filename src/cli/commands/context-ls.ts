import { errorMessage, isEngineError } from "../../core/errors.ts";
import { command, noArguments } from "../command.ts";
import { currentContext, defaultEndpoint, hostVariable, type Surroundings } from "../context/current.ts";
import { defaultDescription } from "../context/endpoint.ts";
import { ContextStore, defaultContext, dockerEndpoint } from "../context/store.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { type Column, formatLines } from "../format.ts";
import { formatHelp } from "../help.ts";
import { compareNaturally } from "../natural-order.ts";
import { print, printError, printLine } from "../output.ts";
import { ellipsis } from "../table.ts";

interface Row {
  name: string;
  description: string;
  host: string;
  error: string;
  isCurrent: boolean;
}

export const contextLsCommand = command({
  usage: "[OPTIONS]",
  summary: "List contexts",
  aliases: ["context ls", "context list"],
  flags: {
    format: stringFlag(formatHelp),
    quiet: boolFlag("Only show context names", { short: "q" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const rows = rowsOf(session);
    if (flags.quiet) {
      for (const { name } of rows) printLine(name);
      return 0;
    }
    const format = flags.format === "" || flags.format === "table" ? plainTable : flags.format;
    print(formatLines(rows, columns, [], format, "*formatter.clientContextContext"));
    const variable = hostVariable(session.environment);
    if (variable !== undefined && session.flags.context === "" && session.flags.hosts.length === 0) {
      printError(
        `Warning: ${variable} environment variable overrides the active context. To use a context, either set the global --context flag, or unset ${variable} environment variable.`,
      );
    }
    return 0;
  },
});

/** @throws EngineError where a context is damaged. */
function rowsOf(surroundings: Surroundings): Row[] {
  const current = currentContext(surroundings);
  const rows = new ContextStore(surroundings.configDirectory).list().map(({ Name, Metadata, Endpoints }) => ({
    name: Name,
    description: Metadata.Description ?? "",
    host: Endpoints[dockerEndpoint]?.Host ?? "",
    error: "",
    isCurrent: Name === current,
  }));
  rows.push(defaultRow(surroundings, current));
  if (!rows.some(({ isCurrent }) => isCurrent)) {
    rows.push({ name: current, description: "", host: "", error: absence(surroundings, current), isCurrent: true });
  }
  return rows.sort((a, b) => compareNaturally(a.name, b.name));
}

function defaultRow(surroundings: Surroundings, current: string): Row {
  const row = { name: defaultContext, description: defaultDescription, isCurrent: current === defaultContext };
  try {
    return { ...row, host: defaultEndpoint(surroundings).host, error: "" };
  } catch (error) {
    if (!isEngineError(error)) throw error;
    return { ...row, host: "", error: error.message };
  }
}

function absence(surroundings: Surroundings, name: string): string {
  try {
    new ContextStore(surroundings.configDirectory).meta(name);
  } catch (error) {
    return errorMessage(error);
  }
  return "";
}

/** What docker shows of a reason. */
const errorWidth = 45;

const plainTable = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";

const columns: Column<Row>[] = [
  { name: "Name", header: "NAME", value: ({ name }) => name },
  // A table's header has no star.
  { name: "Current", value: ({ isCurrent }) => isCurrent },
  { name: "Description", header: "DESCRIPTION", value: ({ description }) => description },
  { name: "DockerEndpoint", header: "DOCKER ENDPOINT", value: ({ host }) => host },
  { name: "Error", header: "ERROR", value: ({ error }) => ellipsis(error, errorWidth) },
];
