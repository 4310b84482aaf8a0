/** `network …`, and `ports`. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

const networkConnect = leaf(
  "connect",
  "Connect a container to a network",
  async () => (await import("../commands/network-connect.ts")).networkConnectCommand,
);
const networkCreate = leaf(
  "create",
  "Create a network",
  async () => (await import("../commands/network-create.ts")).networkCreateCommand,
);
const networkDisconnect = leaf(
  "disconnect",
  "Disconnect a container from a network",
  async () => (await import("../commands/network-disconnect.ts")).networkDisconnectCommand,
);
const networkInspect = leaf(
  "inspect",
  "Display detailed information on one or more networks",
  async () => (await import("../commands/inspect.ts")).inspectNetworkCommand,
);
const networkLs = leaf("ls", "List networks", async () => (await import("../commands/network-ls.ts")).networkLsCommand);
const networkPrune = leaf(
  "prune",
  "Remove all unused networks",
  async () => (await import("../commands/network-prune.ts")).networkPruneCommand,
);
const networkRm = leaf(
  "rm",
  "Remove one or more networks",
  async () => (await import("../commands/network-rm.ts")).networkRmCommand,
);
export const ports: CommandDef = leaf(
  "ports",
  "List published ports, and from where they can be reached",
  async () => (await import("../commands/ports.ts")).portsCommand,
);

export const networkGroup: CommandDef = group("network", "Manage networks", {
  connect: networkConnect,
  create: networkCreate,
  disconnect: networkDisconnect,
  inspect: networkInspect,
  ls: networkLs,
  list: networkLs,
  prune: networkPrune,
  rm: networkRm,
  remove: networkRm,
});
