import type { PluginSummary } from "../../api/schema/plugin.ts";
import { request } from "../../client/http.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatLines } from "../format.ts";
import { formatHelp } from "../help.ts";
import { print } from "../output.ts";
import { ellipsis } from "../table.ts";

export const pluginLsCommand = command({
  usage: "[OPTIONS]",
  summary: "List plugins",
  aliases: ["plugin ls", "plugin list"],
  flags: {
    filter: listFlag('Provide filter values (e.g. "enabled=true")', { short: "f", valueName: "filter" }),
    format: stringFlag(formatHelp),
    "no-trunc": boolFlag("Don't truncate output"),
    quiet: boolFlag("Only display plugin IDs", { short: "q" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const query = { filters: JSON.stringify(parseFilters(flags.filter)) };
    const { address } = await session.client();
    const plugins = await (await request(address, "GET", "/plugins", { query })).json<PluginSummary[]>();
    const configured = flags.format === "" && !flags.quiet ? configuredFormat(session, "pluginsFormat") : "";
    const format = flags.format || configured;
    const shown = ["ID", "Name", "Description", "Enabled"];
    const asked = listFormat(format, flags.quiet);
    print(formatLines(plugins, columns(!flags["no-trunc"]), shown, asked, "*plugin.pluginContext"));
    return 0;
  },
});

function listFormat(format: string, quiet: boolean): string {
  if (format === "raw") {
    const rest = "\nname: {{.Name}}\ndescription: {{.Description}}\nenabled: {{.Enabled}}\n";
    return `plugin_id: {{.ID}}${quiet ? "" : rest}`;
  }
  return quiet && (format === "" || format === "table") ? "{{.ID}}" : format;
}

function columns(truncates: boolean): Column<PluginSummary>[] {
  const described = ({ Config }: PluginSummary) => Config.Description.replace(/[\r\n]/g, " ");
  return [
    { name: "ID", header: "ID", value: ({ Id }) => (truncates ? Id.slice(0, 12) : Id) },
    { name: "Name", header: "NAME", value: ({ Name }) => Name },
    {
      name: "Description",
      header: "DESCRIPTION",
      value: (plugin) => (truncates ? ellipsis(described(plugin), 45) : described(plugin)),
    },
    { name: "Enabled", header: "ENABLED", value: ({ Enabled }) => Enabled },
    { name: "PluginReference", header: "PLUGIN REFERENCE", value: ({ PluginReference }) => PluginReference ?? "" },
  ];
}
