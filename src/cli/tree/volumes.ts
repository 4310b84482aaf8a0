/** `volume …`. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

const volumeCreate = leaf(
  "create",
  "Create a volume",
  async () => (await import("../commands/volume-create.ts")).volumeCreateCommand,
);
const volumeInspect = leaf(
  "inspect",
  "Display detailed information on one or more volumes",
  async () => (await import("../commands/inspect.ts")).inspectVolumeCommand,
);
const volumeLs = leaf("ls", "List volumes", async () => (await import("../commands/volume-ls.ts")).volumeLsCommand);
const volumePrune = leaf(
  "prune",
  "Remove unused local volumes",
  async () => (await import("../commands/volume-prune.ts")).volumePruneCommand,
);
const volumeRm = leaf(
  "rm",
  "Remove one or more volumes",
  async () => (await import("../commands/volume-rm.ts")).volumeRmCommand,
);
const volumeUpdate = leaf(
  "update",
  "Update a volume (cluster volumes only)",
  async () => (await import("../commands/volume-update.ts")).volumeUpdateCommand,
  true,
);

export const volumeGroup: CommandDef = group("volume", "Manage volumes", {
  create: volumeCreate,
  inspect: volumeInspect,
  ls: volumeLs,
  list: volumeLs,
  prune: volumePrune,
  rm: volumeRm,
  remove: volumeRm,
  update: volumeUpdate,
});
