import type { CollectedItem } from "../../api/schema/storage.ts";
import { collectGarbage } from "../../client/storage.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal, formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { type Column, formatList } from "../format.ts";
import { printError, printLine } from "../output.ts";

export const gcCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove what no image or container needs, and images when there is too little space",
  aliases: ["system gc", "gc"],
  flags: {
    "dry-run": boolFlag("Only say what would be removed"),
    format: stringFlag("Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'"),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const isDryRun = flags["dry-run"];
    const { Items, SpaceReclaimed } = await collectGarbage(await session.client(), { isDryRun });
    const isTable = flags.format === "" || flags.format.startsWith("table");
    const text =
      isTable && Items.length === 0 ? "" : formatList(Items, columns, ["Kind", "ID", "Size", "Reason"], flags.format);
    if (text !== "") printLine(text);
    if (isTable) {
      const what = isDryRun ? "Space that would be reclaimed" : "Total reclaimed space";
      printLine(`${text === "" ? "" : "\n"}${what}: ${formatHumanSize(SpaceReclaimed)}`);
    }
    const failed = Items.filter((item) => item.Error !== undefined);
    for (const item of failed) printError(`${item.Kind} ${item.ID} could not be removed: ${item.Error}`);
    return failed.length > 0 ? 1 : 0;
  },
});

const columns: Column<CollectedItem>[] = [
  { name: "Kind", header: "KIND", value: ({ Kind }) => Kind },
  { name: "ID", header: "ID", value: ({ ID }) => (ID.startsWith("sha256:") ? shortId(ID) : ID) },
  { name: "Names", header: "NAMES", value: ({ Names }) => Names.join(", ") },
  { name: "Size", header: "SIZE", value: ({ Size }) => formatBytesDecimal(Size) },
  { name: "Reason", header: "REASON", value: ({ Reason }) => Reason },
];
