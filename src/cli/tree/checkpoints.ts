/** `checkpoint …`. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

const checkpointCreate = leaf(
  "create",
  "Create a checkpoint from a running container",
  async () => (await import("../commands/checkpoint-create.ts")).checkpointCreateCommand,
);
const checkpointLs = leaf(
  "ls",
  "List checkpoints for a container",
  async () => (await import("../commands/checkpoint-ls.ts")).checkpointLsCommand,
);
const checkpointRm = leaf(
  "rm",
  "Remove a checkpoint",
  async () => (await import("../commands/checkpoint-rm.ts")).checkpointRmCommand,
);

export const checkpointGroup: CommandDef = group("checkpoint", "Manage checkpoints", {
  create: checkpointCreate,
  ls: checkpointLs,
  list: checkpointLs,
  rm: checkpointRm,
  remove: checkpointRm,
});
