/**
 * The image whose pull is measured: 10 gzipped layers, 30,000 files, 500 MB of them. Most files are copies of the
 * host's own /usr (programs, libraries, headers, documentation: what images are made of), the rest generated text.
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeImageLayout } from "../harness/fixtures.ts";

const cache = "/var/tmp/tsd-test-images";
const bytesTotal = 500_000_000;
const filesTotal = 30_000;
/** Parts of the whole, from the bottom up: a large base, a few large layers, and the small ones between. */
const layerWeights = [24, 1, 18, 3, 22, 0.5, 12, 8, 10, 1.5];
const copiedBytesMax = 0.85 * bytesTotal;
const copiedFilesMax = 0.8 * filesTotal;
const copiedFileBytesMax = 16 << 20;

interface PlannedFile {
  /** Below the image's root. */
  path: string;
  size: number;
  /** What it is a copy of; without it the file is generated. */
  source?: string;
}

/** @returns the directory of its OCI layout, with the tag `latest`, which any run may delete. */
export async function bigImageLayout(): Promise<string> {
  const target = join(cache, "big");
  if (existsSync(target)) return target;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "work-"));
  try {
    const roots: string[] = [];
    for (const [index, files] of intoLayers(planFiles()).entries()) {
      const root = join(work, `layer${index}`);
      await mkdir(root, { mode: 0o755 });
      for (const file of files) await make(root, file);
      roots.push(root);
    }
    const layout = join(work, "layout");
    await writeImageLayout(layout, roots, { cmd: ["true"], gzipLevel: 6 });
    await rename(layout, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

function planFiles(): PlannedFile[] {
  const files: PlannedFile[] = [];
  let bytes = 0;
  for (const { path, size } of hostFiles("/usr").toSorted(byHash)) {
    if (files.length >= copiedFilesMax) break;
    if (bytes + size > copiedBytesMax) continue;
    bytes += size;
    files.push({ path: path.slice(1), size, source: path });
  }
  const generated = filesTotal - files.length;
  for (let index = 0; index < generated; index++) {
    const size =
      Math.floor(((index + 1) * (bytesTotal - bytes)) / generated) -
      Math.floor((index * (bytesTotal - bytes)) / generated);
    files.push({ path: `srv/app/module${index % 97}/part${index}.txt`, size });
  }
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function hostFiles(directory: string): { path: string; size: number }[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return hostFiles(path);
    if (!entry.isFile()) return [];
    const { size } = lstatSync(path);
    return size <= copiedFileBytesMax ? [{ path, size }] : [];
  });
}

/** An order that is the same on every machine with the same files, and mixes all kinds of them. */
function byHash(a: { path: string }, b: { path: string }): number {
  return hash(a.path) < hash(b.path) ? -1 : 1;
}

function hash(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

/** Neighbours stay together, as a package's files do. */
function intoLayers(files: readonly PlannedFile[]): PlannedFile[][] {
  const weight = layerWeights.reduce((sum, one) => sum + one, 0);
  const layers: PlannedFile[][] = [];
  let at = 0;
  let bytes = 0;
  let wanted = 0;
  for (const [index, share] of layerWeights.entries()) {
    wanted += (share / weight) * bytesTotal;
    const begin = at;
    while (at < files.length && (bytes < wanted || index === layerWeights.length - 1)) bytes += files[at++]!.size;
    layers.push(files.slice(begin, at));
  }
  return layers;
}

async function make(root: string, { path, size, source }: PlannedFile): Promise<void> {
  const target = join(root, path);
  await mkdir(dirname(target), { recursive: true });
  if (source !== undefined) await copyFile(source, target);
  else await Bun.write(target, generatedText(path, size));
}

const words =
  "the layer of an image is read once and its files are written where the container will look for them".split(" ");

function generatedText(seed: string, size: number): string {
  let state = Number.parseInt(hash(seed).slice(0, 8), 16);
  let text = "";
  while (text.length < size) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    text += `${words[(state >>> 16) % words.length]} ${(state >>> 8) % 1000 === 0 ? "\n" : ""}`;
    if ((state & 7) === 0) text += state.toString(36);
  }
  return text.slice(0, size);
}
