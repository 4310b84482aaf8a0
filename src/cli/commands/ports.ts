import type { PublishedPortEntry } from "../../api/schema/published-port.ts";
import { listPorts } from "../../client/ports.ts";
import { shortId } from "../../core/id.ts";
import { command, noArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { type Column, formatLines } from "../format.ts";
import { formatHelp } from "../help.ts";
import { joinHostPort } from "../host-port.ts";
import { print } from "../output.ts";

export const portsCommand = command({
  usage: "[OPTIONS]",
  summary: "List published ports, and from where they can be reached",
  flags: {
    format: stringFlag(formatHelp),
    "no-trunc": boolFlag("Do not truncate the output"),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const ports = await listPorts(await session.client());
    print(formatLines(ports, columns(!flags["no-trunc"]), shown, flags.format));
    return 0;
  },
});

const shown = ["Container", "Host", "ContainerPort", "Mode", "ReachableFrom"];

function columns(truncate: boolean): Column<PublishedPortEntry>[] {
  return [
    { name: "ID", header: "CONTAINER ID", value: ({ ContainerID: id }) => (truncate ? shortId(id) : id) },
    { name: "Container", header: "CONTAINER", value: ({ ContainerName }) => ContainerName },
    { name: "Host", header: "HOST", value: hostText },
    { name: "HostIP", header: "HOST IP", value: ({ HostIp }) => HostIp },
    { name: "HostPort", header: "HOST PORT", value: ({ HostPort }) => HostPort },
    { name: "ContainerPort", header: "CONTAINER PORT", value: ({ PrivatePort, Type }) => `${PrivatePort}/${Type}` },
    { name: "Mode", header: "MODE", value: ({ Mode }) => Mode },
    { name: "ReachableFrom", header: "REACHABLE FROM", value: reachText },
    { name: "InputRules", header: "INPUT RULES", value: ({ InputRules }) => String(InputRules) },
  ];
}

/** A routed port is none of the host's. */
function hostText({ HostIp, HostPort }: PublishedPortEntry): string {
  return HostPort === 0 ? "-" : joinHostPort(HostIp, HostPort);
}

function reachText({ ReachableFrom, InputRules }: PublishedPortEntry): string {
  return InputRules ? `${ReachableFrom}, with the host's input rules` : ReachableFrom;
}
