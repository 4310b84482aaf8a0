/**
 * The two forms of a layer say the same: what overlayfs shows of random layers side by side is what they leave when
 * they are applied to one directory. Needs root, to mount.
 */
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { archive, type FixtureEntry } from "../../tar/tar-fixture.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { settleLayer } from "../snapshot/settle.ts";
import { isRoot } from "../store-fixture.ts";
import { type ApplyReport, LayerApplier, type WhiteoutForm } from "./applier.ts";

const rounds = 20;
const seed = Number(process.env.TSD_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** A generator of numbers below n: the same seed, the same numbers. */
function numbers(start: number): (n: number) => number {
  let state = start;
  return (n) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * n);
  };
}

/** Names are few, so that layers meet. A layer does not contradict itself: what it means then is nobody's business. */
function randomLayer(random: (n: number) => number): FixtureEntry[] {
  const path = () => Array.from({ length: 1 + random(3) }, () => "abc"[random(3)]!).join("/");
  const layer: { entry: FixtureEntry; subject: string; isDirectory: boolean }[] = [];
  for (let index = 1 + random(7); index > 0; index--) {
    const subject = path();
    const slash = subject.lastIndexOf("/") + 1;
    const kind = random(10);
    const isDirectory = kind < 3 || kind === 9;
    const clashes = layer.some(
      (other) =>
        other.subject === subject ||
        (subject.startsWith(`${other.subject}/`) && !other.isDirectory) ||
        (other.subject.startsWith(`${subject}/`) && !isDirectory),
    );
    if (clashes) continue;
    layer.push({ entry: randomEntry(random, kind, subject, slash), subject, isDirectory });
  }
  // Opaque markers come first and from the top down, as everybody writes them.
  const rank = ({ name }: FixtureEntry) => (name.endsWith("opq") ? name.split("/").length : 9);
  return layer.map(({ entry }) => entry).sort((a, b) => rank(a) - rank(b));
}

function randomEntry(random: (n: number) => number, kind: number, subject: string, slash: number): FixtureEntry {
  if (kind < 3) return { name: `${subject}/`, mode: 0o700 + random(0o77), uid: random(5) };
  if (kind < 6) return { name: subject, data: `content ${random(100)}`, mode: 0o600 + random(0o77) };
  if (kind < 7) return { name: subject, type: "6" };
  if (kind < 9) return { name: `${subject.slice(0, slash)}.wh.${subject.slice(slash)}` };
  return { name: `${subject}/.wh..wh..opq` };
}

function apply(entries: FixtureEntry[], root: string, form: WhiteoutForm): ApplyReport {
  using directory = open(root, O_RDONLY | O_DIRECTORY);
  using applier = new LayerApplier(directory, form, { bytesMax: 1e6, entriesMax: 100 });
  const reader = new TarReader(applier);
  reader.write(archive(entries));
  reader.end();
  return applier.finish();
}

/** Names, types, modes, owners and contents of everything below. */
function listing(cwd: string): string {
  const script = "find . -mindepth 1 -printf '%p %y %m %U\\n' | sort; find . -type f -exec sha256sum {} + | sort -k2";
  return Bun.spawnSync(["sh", "-c", script], { cwd }).stdout.toString();
}

async function compare(base: string, layers: FixtureEntry[][]): Promise<{ overlay: string; plain: string }> {
  const directory = (name: string) => {
    const path = join(base, name);
    mkdirSync(path);
    return path;
  };
  const plain = directory("plain");
  const lower: string[] = [];
  for (const [index, entries] of layers.entries()) {
    const files = directory(`layer${index}`);
    await settleLayer(files, lower, apply(entries, files, "overlay"));
    apply(entries, plain, "remove");
    lower.unshift(files);
  }
  const merged = directory("merged");
  const options = `lowerdir=${lower.join(":")},upperdir=${directory("upper")},workdir=${directory("work")}`;
  expect(Bun.spawnSync(["mount", "-t", "overlay", "none", "-o", options, merged]).exitCode).toBe(0);
  try {
    return { overlay: listing(merged), plain: listing(plain) };
  } finally {
    Bun.spawnSync(["umount", merged]);
  }
}

describe.skipIf(!isRoot)("both forms of a layer", () => {
  test(`show the same files for ${rounds} random images`, async () => {
    const random = numbers(seed);
    for (let round = 0; round < rounds; round++) {
      const base = mkdtempSync("/var/tmp/tsd-forms-");
      const layers = [randomLayer(random), randomLayer(random), randomLayer(random)];
      try {
        const { overlay, plain } = await compare(base, layers);
        expect(overlay, `TSD_SEED=${seed}: ${JSON.stringify(layers)}`).toBe(plain);
      } finally {
        rmSync(base, { recursive: true });
      }
    }
  }, 60_000);
});
