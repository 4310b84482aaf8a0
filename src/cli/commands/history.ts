import type { ImageHistoryItem } from "../../api/schema/image.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command, oneArgument } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { type Column, formatLines } from "../format.ts";
import { formatHelp } from "../help.ts";
import { print } from "../output.ts";
import { platformFlag } from "../platform-flag.ts";
import { ellipsis } from "../table.ts";
import { ago, rfc3339 } from "../time.ts";

/** What is older than the year 2000 was made reproducibly, at no time that says something. */
const epochSeconds = 946_684_800;
const createdByWidth = 45;

export const historyCommand = command({
  usage: "[OPTIONS] IMAGE",
  summary: "Show the history of an image",
  aliases: ["image history", "history"],
  flags: {
    format: stringFlag(formatHelp),
    human: boolFlag("Print sizes and dates in human readable format", { short: "H", initial: true }),
    "no-trunc": boolFlag("Don't truncate output"),
    platform: stringFlag(
      'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    ),
    quiet: boolFlag("Only show image IDs", { short: "q" }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const platform = platformFlag(flags.platform);
    const history = await (await session.client()).imageHistory(positionals[0]!, { ...(platform && { platform }) });
    const { human } = flags;
    const shown = ["ID", human ? "CreatedSince" : "CreatedAt", "CreatedBy", "Size", "Comment"];
    const isPlain = flags.format === "" || flags.format === "table";
    const format = isPlain && flags.quiet ? "{{.ID}}" : flags.format;
    print(formatLines(history, columns(human, !flags["no-trunc"]), shown, format, "*image.historyContext"));
    return 0;
  },
});

function columns(human: boolean, truncate: boolean): Column<ImageHistoryItem>[] {
  const since = ({ Created }: ImageHistoryItem) => (Created <= epochSeconds ? "N/A" : ago(Created));
  return [
    { name: "ID", header: "IMAGE", value: ({ Id }) => (truncate ? shortId(Id) : Id) },
    { name: "CreatedSince", header: "CREATED", value: (item) => (human ? since(item) : rfc3339(item.Created)) },
    { name: "CreatedAt", header: "CREATED AT", value: ({ Created }) => rfc3339(Created) },
    {
      name: "CreatedBy",
      header: "CREATED BY",
      value: ({ CreatedBy }) => {
        const text = CreatedBy.replaceAll("\t", " ");
        return truncate ? ellipsis(text, createdByWidth) : text;
      },
    },
    { name: "Size", header: "SIZE", value: ({ Size }) => (human ? formatBytesDecimal(Size) : String(Size)) },
    { name: "Comment", header: "COMMENT", value: ({ Comment }) => Comment },
  ];
}
