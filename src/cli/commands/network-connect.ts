import { connectNetwork } from "../../client/networks.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { command } from "../command.ts";
import { checkedListFlag, intFlag, stringFlag, stringsFlag } from "../flags.ts";
import { driverOption, link } from "../network-checks.ts";

export const networkConnectCommand = command({
  usage: "[OPTIONS] NETWORK CONTAINER",
  summary: "Connect a container to a network",
  flags: {
    alias: stringsFlag("Add network-scoped alias for the container"),
    "driver-opt": stringsFlag("driver options for the network"),
    "gw-priority": intFlag("Highest gw-priority provides the default gateway. Accepts positive and negative values."),
    ip: stringFlag('IPv4 address (e.g., "172.30.100.104")'),
    ip6: stringFlag('IPv6 address (e.g., "2001:db8::33")'),
    link: checkedListFlag("Add link to another container", link),
    "link-local-ip": stringsFlag("Add a link-local address for the container"),
  },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const [network = "", container = ""] = positionals;
    const options = driverOptions(flags["driver-opt"]);
    await connectNetwork(await session.client(), network, {
      Container: container,
      EndpointConfig: {
        IPAMConfig: {
          ...(flags.ip && { IPv4Address: flags.ip }),
          ...(flags.ip6 && { IPv6Address: flags.ip6 }),
          ...(flags["link-local-ip"].length > 0 && { LinkLocalIPs: flags["link-local-ip"] }),
        },
        ...(flags.link.length > 0 && { Links: flags.link }),
        Aliases: flags.alias,
        DriverOpts: options,
        GwPriority: flags["gw-priority"],
      },
    });
    return 0;
  },
});

function driverOptions(list: readonly string[]): Record<string, string> {
  try {
    return Object.fromEntries(list.map(driverOption));
  } catch (error) {
    throw new EngineError("invalid_argument", errorMessage(error), { cause: error });
  }
}
