import { disconnectNetwork } from "../../client/networks.ts";
import { command } from "../command.ts";
import { boolFlag } from "../flags.ts";

export const networkDisconnectCommand = command({
  usage: "[OPTIONS] NETWORK CONTAINER",
  summary: "Disconnect a container from a network",
  flags: { force: boolFlag("Force the container to disconnect from a network", { short: "f" }) },
  arity: { min: 2, max: 2 },
  run: async ({ session, flags, positionals }) => {
    const [network = "", container = ""] = positionals;
    await disconnectNetwork(await session.client(), network, { Container: container, Force: flags.force });
    return 0;
  },
});
