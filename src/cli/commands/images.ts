import type { ImageSummary } from "../../api/schema/image.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag, stringFlag, UsageError } from "../flags.ts";
import { type Column, formatLines } from "../format.ts";
import { formatHelp } from "../help.ts";
import { print, printError, terminalColumns } from "../output.ts";
import { ago, goTime } from "../time.ts";

/** One line: an image has as many as it has names. */
interface Row {
  image: ImageSummary;
  repository: string;
  tag: string;
  digest: string;
}

const none = "<none>";

const imagesFlags = {
  all: boolFlag("Show all images (default hides intermediate images)", { short: "a" }),
  digests: boolFlag("Show digests"),
  filter: listFlag("Filter output based on conditions provided", { short: "f", valueName: "filter" }),
  format: stringFlag(formatHelp),
  "no-trunc": boolFlag("Don't truncate output"),
  quiet: boolFlag("Only show image IDs", { short: "q" }),
  tree: boolFlag("List multi-platform images as a tree"),
};

export const imagesCommand = command({
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  summary: "List images",
  aliases: ["image ls", "image list", "images"],
  flags: imagesFlags,
  arity: { min: 0, max: 1 },
  run: async ({ session, flags, positionals }) => {
    const filters = parseFilters(flags.filter);
    const [name] = positionals;
    if (name !== undefined) filters.reference = [...(filters.reference ?? []), name];
    const unfit = (["quiet", "no-trunc", "digests", "format"] as const).find((flag) => flags[flag]);
    if (flags.tree && unfit) throw new UsageError(`--${unfit} cannot be used with --tree`, 1);
    const client = await session.client();
    const images = await client.listImages({ all: flags.all, filters, ...(flags.tree && { manifests: true }) });
    if (flags.tree) {
      const { imageTree, terminalStyle } = await import("../image-tree.ts");
      const hasName = ({ RepoTags, RepoDigests }: ImageSummary) => RepoTags.length + RepoDigests.length > 0;
      const wanted = flags.all || filters.dangling !== undefined ? images : images.filter(hasName);
      print(
        imageTree(
          wanted,
          terminalStyle(() => terminalColumns(1)),
        ),
      );
    } else {
      const configured = flags.format === "" && !flags.quiet ? configuredFormat(session, "imagesFormat") : "";
      print(formatImages(images, { ...flags, format: flags.format || configured }));
    }
    if (images.length === 0 && name !== undefined) await hintAtCommand(name, session.program);
    return 0;
  },
});

interface ImagesFormat {
  format: string;
  quiet: boolean;
  digests: boolean;
  "no-trunc": boolean;
}

export function formatImages(images: ImageSummary[], flags: ImagesFormat): string {
  const { digests } = flags;
  const isTable = flags.format === "" || flags.format.startsWith("table");
  const isPlain = flags.format === "" || flags.format === "table";
  const names = flags.format.includes("{{.Digest}}");
  if (flags.format === "raw") return formatRaw(images, flags);
  const rows = images.flatMap((image) => rowsOf(image, digests, digests || names));
  const shown = ["Repository", "Tag", ...(digests ? ["Digest"] : []), "ID", "CreatedSince", "Size"];
  const withDigest = isTable && !isPlain && digests && !names ? `${flags.format}\\t{{.Digest}}` : flags.format;
  const format = isPlain && flags.quiet ? "{{.ID}}" : withDigest;
  return formatLines(rows, columns(!flags["no-trunc"]), shown, format, contextName);
}

const contextName = "*formatter.imageContext";

/** A line a field, and an empty one behind each image. */
function formatRaw(images: ImageSummary[], { digests, quiet, ...flags }: ImagesFormat): string {
  const fields = [
    "repository: {{.Repository}}",
    "tag: {{.Tag}}",
    ...(digests ? ["digest: {{.Digest}}"] : []),
    "image_id: {{.ID}}",
    "created_at: {{.CreatedAt}}",
    "virtual_size: {{.Size}}",
  ];
  const format = quiet ? "image_id: {{.ID}}" : `${fields.join("\n")}\n`;
  const rows = images.flatMap((image) => rowsOf(image, digests, digests));
  return formatLines(rows, columns(!flags["no-trunc"]), [], format, contextName);
}

/**
 * A line a tag; names that have a digest alone get one of their own.
 * @param withDigests a tag's line says its digest, else none.
 */
function rowsOf(image: ImageSummary, digests: boolean, withDigests: boolean): Row[] {
  const digestOf = new Map(image.RepoDigests.map((name) => name.split("@", 2) as [string, string]));
  const rows: Row[] = image.RepoTags.map((name) => {
    const colon = name.lastIndexOf(":");
    const repository = name.slice(0, colon);
    const digest = withDigests ? (digestOf.get(repository) ?? none) : none;
    return { image, repository, tag: name.slice(colon + 1), digest };
  });
  for (const [repository, digest] of digestOf) {
    if (rows.some((row) => row.repository === repository)) continue;
    rows.push({ image, repository, tag: none, digest: digests ? digest : "" });
  }
  return rows.length > 0 ? rows : [{ image, repository: none, tag: none, digest: none }];
}

function columns(truncate: boolean): Column<Row>[] {
  const shared = ({ SharedSize }: ImageSummary) => SharedSize >= 0;
  return [
    { name: "Repository", header: "REPOSITORY", value: (row) => row.repository },
    { name: "Tag", header: "TAG", value: (row) => row.tag },
    { name: "Digest", header: "DIGEST", value: (row) => row.digest },
    { name: "ID", header: "IMAGE ID", value: ({ image }) => (truncate ? shortId(image.Id) : image.Id) },
    { name: "CreatedSince", header: "CREATED", value: ({ image }) => ago(image.Created) },
    { name: "CreatedAt", header: "CREATED AT", value: ({ image }) => goTime(image.Created) },
    { name: "Size", header: "SIZE", value: ({ image }) => formatBytesDecimal(image.Size) },
    { name: "VirtualSize", header: "SIZE", value: ({ image }) => formatBytesDecimal(image.Size, 4) },
    {
      name: "SharedSize",
      header: "SHARED SIZE",
      value: ({ image }) => (shared(image) ? formatBytesDecimal(image.SharedSize, 4) : "N/A"),
    },
    {
      name: "UniqueSize",
      header: "UNIQUE SIZE",
      value: ({ image }) => (shared(image) ? formatBytesDecimal(image.Size - image.SharedSize, 4) : "N/A"),
    },
    {
      name: "Containers",
      header: "CONTAINERS",
      value: ({ image }) => (image.Containers < 0 ? "N/A" : String(image.Containers)),
    },
  ];
}

/** `images ls` finds no image of that name, and was meant for `image ls`. */
async function hintAtCommand(name: string, program: string): Promise<void> {
  const { managementCommands } = await import("../tree.ts");
  if (!Object.hasOwn(managementCommands.image!.subCommands as object, name)) return;
  printError(`\nNo images found matching ${JSON.stringify(name)}: did you mean "${program} image ${name}"?`);
}
