import type { ImageSummary } from "../../api/schema/image.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command } from "../command.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatList } from "../format.ts";
import { printLine } from "../output.ts";
import { ago, goTime } from "../time.ts";

/** One line: an image has as many as it has names. */
interface Row {
  image: ImageSummary;
  repository: string;
  tag: string;
  digest: string;
}

const none = "<none>";

export const imagesCommand = command({
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  summary: "List images",
  aliases: ["image ls", "image list", "images"],
  flags: {
    all: boolFlag("Show all images (default hides intermediate images)", { short: "a" }),
    digests: boolFlag("Show digests"),
    filter: listFlag("Filter output based on conditions provided", { short: "f", valueName: "filter" }),
    format: stringFlag("Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'"),
    "no-trunc": boolFlag("Don't truncate output"),
    quiet: boolFlag("Only show image IDs", { short: "q" }),
  },
  arity: { min: 0, max: 1 },
  run: async ({ session, flags, positionals }) => {
    const filters = parseFilters(flags.filter);
    if (positionals[0] !== undefined) filters.reference = [...(filters.reference ?? []), positionals[0]];
    const client = await session.client();
    const images = await client.listImages({ all: flags.all, filters });
    images.sort((a, b) => b.Created - a.Created);
    const truncate = !flags["no-trunc"];
    if (flags.quiet && flags.format === "") {
      for (const id of new Set(images.map((image) => image.Id))) printLine(truncate ? shortId(id) : id);
      return 0;
    }
    const shown = ["Repository", "Tag", ...(flags.digests ? ["Digest"] : []), "ID", "CreatedSince", "Size"];
    const text = formatList(images.flatMap(rowsOf), columns(truncate), shown, flags.format);
    if (text !== "") printLine(text);
    return 0;
  },
});

function rowsOf(image: ImageSummary): Row[] {
  const digests = new Map(image.RepoDigests.map((name) => name.split("@", 2) as [string, string]));
  const rows = image.RepoTags.map((name) => {
    const colon = name.lastIndexOf(":");
    const repository = name.slice(0, colon);
    return { image, repository, tag: name.slice(colon + 1), digest: digests.get(repository) ?? none };
  });
  if (rows.length > 0) return rows;
  const [repository, digest] = [...digests][0] ?? [none, none];
  return [{ image, repository, tag: none, digest }];
}

function columns(truncate: boolean): Column<Row>[] {
  return [
    { name: "Repository", header: "REPOSITORY", value: (row) => row.repository },
    { name: "Tag", header: "TAG", value: (row) => row.tag },
    { name: "Digest", header: "DIGEST", value: (row) => row.digest },
    { name: "ID", header: "IMAGE ID", value: ({ image }) => (truncate ? shortId(image.Id) : image.Id) },
    { name: "CreatedSince", header: "CREATED", value: ({ image }) => (image.Created > 0 ? ago(image.Created) : "N/A") },
    { name: "CreatedAt", header: "CREATED AT", value: ({ image }) => goTime(image.Created) },
    { name: "Size", header: "SIZE", value: ({ image }) => formatBytesDecimal(image.Size) },
    {
      name: "Containers",
      header: "CONTAINERS",
      value: ({ image }) => (image.Containers < 0 ? "N/A" : image.Containers),
    },
  ];
}
