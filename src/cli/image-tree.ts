/** `images --tree`: each image with its names, and below them the platforms that it has, as Docker 29 shows them. */
import { isTerminal } from "../../ffi/pty.ts";
import type { ImageManifestSummary, ImageSummary } from "../api/schema/image.ts";
import { shortId } from "../core/id.ts";
import { formatBytesDecimal } from "../core/size.ts";
import { formatPlatform } from "../oci/platform.ts";
import { callerVariable } from "./caller-variable.ts";
import { ellipsis } from "./table.ts";

export interface TreeStyle {
  /** Of the terminal; names are cut to fit. Undefined where the output is no terminal. */
  columns: number | undefined;
  hasColour: boolean;
}

/** How the output on standard output is to look: colours are for terminals, and for those who do not forbid them. */
export function terminalStyle(columns: () => number): TreeStyle {
  if (!isTerminal(1)) return { columns: undefined, hasColour: false };
  return { columns: columns(), hasColour: !callerVariable("NO_COLOR") };
}

interface Line {
  name: string;
  /** None for a further name of the image on the next line. */
  details?: { id: string; disk: string; content: string; isUsed: boolean };
  colour: Exclude<keyof typeof colours, "header">;
}

const colours = { header: "1", name: "1;34", platform: "", absent: "2", untagged: "2" } as const;
const gap = "   ";
const idWidth = 12;
const diskWidth = 10;
const contentWidth = 12;
const extraWidth = 5;
const fixedWidth = gap.length * 4 + idWidth + diskWidth + contentWidth + extraWidth;
const nameWidthMin = 12;

type ImageManifest = ImageManifestSummary & { ImageData: NonNullable<ImageManifestSummary["ImageData"]> };

/** @returns lines that each end with a newline. */
export function imageTree(images: readonly ImageSummary[], style: TreeStyle): string {
  const blocks = [...images].sort(byName).map(linesOf);
  const hasPlatforms = blocks.some((lines) => lines.length > 1 && lines.some(({ colour }) => isPlatform(colour)));
  const widest = Math.max("IMAGE".length, ...blocks.flat().map(nameWidth));
  const room = Math.max(nameWidthMin, (style.columns ?? Number.POSITIVE_INFINITY) - fixedWidth);
  const width = Math.min(widest, room);
  const header = [
    "IMAGE".padEnd(width),
    "ID".padEnd(idWidth),
    "DISK USAGE".padStart(diskWidth),
    "CONTENT SIZE".padStart(contentWidth),
    "EXTRA",
  ].join(gap);
  const text = blocks.map((lines) => lines.map((line) => `${shown(line, width, style)}\n`).join(""));
  // Where platforms are listed, an empty line keeps the images apart.
  return `${coloured(header, "header", style)}\n${text.map((block) => block + (hasPlatforms ? "\n" : "")).join("")}`;
}

function isPlatform(colour: Line["colour"]): boolean {
  return colour === "platform" || colour === "absent";
}

function byName(a: ImageSummary, b: ImageSummary): number {
  const [first, second] = [a.RepoTags[0], b.RepoTags[0]];
  if (first === undefined || second === undefined) return Number(first === undefined) - Number(second === undefined);
  return first < second ? -1 : Number(first > second);
}

function linesOf(image: ImageSummary): Line[] {
  const platforms = (image.Manifests ?? []).filter(
    (manifest): manifest is ImageManifest => manifest.Kind === "image" && manifest.ImageData !== undefined,
  );
  const isUsed = image.Containers > 0 || platforms.some(({ ImageData }) => ImageData.Containers.length > 0);
  const content = platforms.reduce((sum, { Size }) => sum + Size.Content, 0);
  const details = {
    id: shortId(image.Id),
    disk: formatBytesDecimal(image.Size),
    content: formatBytesDecimal(content),
    isUsed,
  };
  const names = image.RepoTags.length > 0 ? image.RepoTags : ["<untagged>"];
  const colour = image.RepoTags.length > 0 ? "name" : "untagged";
  return [
    ...names.map((name, index): Line => ({ name, colour, ...(index === names.length - 1 && { details }) })),
    ...platforms.map(
      ({ ID, ImageData, Size, Available }, index): Line => ({
        name: `${index === platforms.length - 1 ? "└─" : "├─"} ${formatPlatform(ImageData.Platform)}`,
        colour: Available ? "platform" : "absent",
        details: {
          id: shortId(ID),
          disk: formatBytesDecimal(Size.Total),
          content: formatBytesDecimal(Size.Content),
          isUsed: ImageData.Containers.length > 0,
        },
      }),
    ),
  ];
}

/** docker counts the bytes of a branch, not its columns; so do those who know its tables. */
function nameWidth({ name }: Line): number {
  return Buffer.byteLength(name);
}

function shown({ name, details, colour }: Line, width: number, style: TreeStyle): string {
  const cell = coloured(ellipsis(name, width).padEnd(width), colour, style);
  if (details === undefined) return cell;
  const { id, disk, content, isUsed } = details;
  const numbers = [id.padEnd(idWidth), disk.padStart(diskWidth), content.padStart(contentWidth)].join(gap);
  return [
    cell,
    coloured(numbers, colour === "absent" ? "absent" : "platform", style),
    (isUsed ? "U" : "").padEnd(extraWidth),
  ].join(gap);
}

function coloured(text: string, colour: Line["colour"] | "header", { hasColour }: TreeStyle): string {
  const code = colours[colour];
  return hasColour && code !== "" ? `\x1b[${code}m${text}\x1b[0m` : text;
}
