import type { NetworkSummary } from "../../api/schema/network.ts";
import { listNetworks } from "../../client/networks.ts";
import { shortId } from "../../core/id.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatLines, labelColumn, labelsText } from "../format.ts";
import { formatHelp } from "../help.ts";
import { compareNaturally } from "../natural-order.ts";
import { print } from "../output.ts";
import { goTimeOf } from "../time.ts";

export const networkLsCommand = command({
  usage: "[OPTIONS]",
  summary: "List networks",
  aliases: ["network ls", "network list"],
  flags: {
    filter: listFlag('Provide filter values (e.g. "driver=bridge")', { short: "f", valueName: "filter" }),
    format: stringFlag(formatHelp),
    "no-trunc": boolFlag("Do not truncate the output"),
    quiet: boolFlag("Only display network IDs", { short: "q" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const networks = await listNetworks(await session.client(), parseFilters(flags.filter));
    networks.sort((a, b) => compareNaturally(a.Name, b.Name));
    const configured = flags.format === "" && !flags.quiet ? configuredFormat(session, "networksFormat") : "";
    const format = listFormat(flags.format || configured, flags.quiet);
    print(
      formatLines(
        networks,
        columns(!flags["no-trunc"]),
        ["ID", "Name", "Driver", "Scope"],
        format,
        "*network.networkContext",
      ),
    );
    return 0;
  },
});

function listFormat(format: string, quiet: boolean): string {
  if (format === "raw") {
    return quiet
      ? "network_id: {{.ID}}"
      : "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n";
  }
  return quiet && (format === "" || format === "table") ? "{{.ID}}" : format;
}

function columns(truncate: boolean): Column<NetworkSummary>[] {
  return [
    { name: "ID", header: "NETWORK ID", value: ({ Id }) => (truncate ? shortId(Id) : Id) },
    { name: "Name", header: "NAME", value: ({ Name }) => Name },
    { name: "Driver", header: "DRIVER", value: ({ Driver }) => Driver },
    { name: "Scope", header: "SCOPE", value: ({ Scope }) => Scope },
    { name: "IPv4", header: "IPV4", value: ({ EnableIPv4 }) => String(EnableIPv4) },
    { name: "IPv6", header: "IPV6", value: ({ EnableIPv6 }) => String(EnableIPv6) },
    { name: "Internal", header: "INTERNAL", value: ({ Internal }) => String(Internal) },
    { name: "Labels", header: "LABELS", value: ({ Labels }) => labelsText(Labels ?? {}) },
    labelColumn(({ Labels }) => Labels ?? {}),
    { name: "CreatedAt", header: "CREATED AT", value: ({ Created }) => goTimeOf(Created) },
  ];
}
