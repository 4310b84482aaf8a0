import type { CheckpointSummary } from "../../api/schema/checkpoint.ts";
import { listCheckpoints } from "../../client/checkpoints.ts";
import { command, oneArgument } from "../command.ts";
import { stringFlag } from "../flags.ts";
import { type Column, formatList } from "../format.ts";
import { compareNaturally } from "../natural-order.ts";
import { printLine } from "../output.ts";

const columns: Column<CheckpointSummary>[] = [{ name: "Name", header: "CHECKPOINT NAME", value: ({ Name }) => Name }];

export const checkpointLsCommand = command({
  usage: "[OPTIONS] CONTAINER",
  summary: "List checkpoints for a container",
  aliases: ["checkpoint ls", "checkpoint list"],
  flags: { "checkpoint-dir": stringFlag("Use a custom checkpoint storage directory") },
  arity: oneArgument,
  run: async ({ session, flags, positionals: [container = ""] }) => {
    const found = await listCheckpoints(await session.client(), container, flags["checkpoint-dir"]);
    found.sort((a, b) => compareNaturally(a.Name, b.Name));
    printLine(formatList(found, columns, ["Name"], ""));
    return 0;
  },
});
