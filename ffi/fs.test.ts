import { afterAll, beforeAll, expect, test } from "bun:test";
import * as node from "node:fs";
import { mkdtempSync, rmSync as removeAll, statSync, symlinkSync } from "node:fs";
import * as own from "./fs.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/tsd-fs-");
});
afterAll(() => removeAll(directory, { recursive: true, force: true }));

/** What either makes of the same calls: an answer, or the error's code. */
function both(run: (fs: typeof own, base: string) => unknown): { own: unknown; node: unknown } {
  const outcome = (fs: typeof own, name: string) => {
    const base = `${directory}/${name}`;
    node.mkdirSync(base);
    try {
      return run(fs, base);
    } catch (error) {
      return (error as { code?: string }).code;
    } finally {
      removeAll(base, { recursive: true });
    }
  };
  return { own: outcome(own, "own"), node: outcome(node as unknown as typeof own, "node") };
}

const scenes: Record<string, (fs: typeof own, base: string) => unknown> = {
  "a text is written, appended to and read": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "über\n", { mode: 0o640 });
    fs.appendFileSync(`${base}/a`, "more");
    return [fs.readFileSync(`${base}/a`, "utf8"), statSync(`${base}/a`).mode & 0o777];
  },
  "a long text is read whole": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "0123456789".repeat(30_000));
    return fs.readFileSync(`${base}/a`, "utf8").length;
  },
  "a shorter text replaces a longer one": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "longer");
    fs.writeFileSync(`${base}/a`, "");
    return fs.readFileSync(`${base}/a`, "utf8");
  },
  "bytes that are no text are read": (fs, base) => {
    fs.writeFileSync(`${base}/a`, Uint8Array.of(0xff, 0, 0xef, 0xbb, 0xbf));
    return [[...fs.readFileSync(`${base}/a`)], fs.readFileSync(`${base}/a`, "utf8")];
  },
  "a file that is there is not made anew": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "1", { flag: "wx" });
    fs.writeFileSync(`${base}/a`, "2", { flag: "wx" });
  },
  "a file that is missing is not read": (fs, base) => fs.readFileSync(`${base}/a`, "utf8"),
  "a directory is no file": (fs, base) => fs.readFileSync(base, "utf8"),
  "a directory is made with its parents, again and again": (fs, base) => {
    fs.mkdirSync(`${base}/a/b/c`, { recursive: true, mode: 0o700 });
    fs.mkdirSync(`${base}/a/b/c`, { recursive: true, mode: 0o700 });
    return statSync(`${base}/a/b`).mode & 0o777;
  },
  "a directory is not made where a file is": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "");
    fs.mkdirSync(`${base}/a`, { recursive: true });
  },
  "a directory is not made twice": (fs, base) => fs.mkdirSync(base),
  "a directory is not made below one that is missing": (fs, base) => fs.mkdirSync(`${base}/a/b`),
  "what is there exists": (fs, base) => [fs.existsSync(base), fs.existsSync(`${base}/a`), fs.existsSync("")],
  "a file is renamed over another": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "a");
    fs.writeFileSync(`${base}/b`, "b");
    fs.renameSync(`${base}/a`, `${base}/b`);
    return [fs.readdirSync(base), fs.readFileSync(`${base}/b`, "utf8")];
  },
  "files are removed": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "a");
    fs.rmSync(`${base}/a`);
    fs.rmSync(`${base}/a`, { force: true });
    fs.rmSync(`${base}/none/a`, { force: true, recursive: true });
    return fs.readdirSync(base);
  },
  "a file that is missing is not removed": (fs, base) => fs.rmSync(`${base}/a`),
  "a tree is removed, and nothing that its links lead to": (fs, base) => {
    fs.mkdirSync(`${base}/kept`);
    fs.mkdirSync(`${base}/a/b`, { recursive: true });
    symlinkSync("../kept", `${base}/a/link`);
    fs.rmSync(`${base}/a`, { recursive: true });
    return fs.readdirSync(base);
  },
  "an empty directory is removed, and a full one is not": (fs, base) => {
    fs.mkdirSync(`${base}/a/b`, { recursive: true });
    fs.rmdirSync(`${base}/a/b`);
    fs.writeFileSync(`${base}/a/file`, "");
    fs.rmdirSync(`${base}/a`);
  },
  "links are read and resolved": (fs, base) => {
    fs.mkdirSync(`${base}/a`);
    symlinkSync("a", `${base}/link`);
    const real = fs.realpathSync(`${base}/link/../link`);
    return [fs.readlinkSync(`${base}/link`), real.slice(base.length)];
  },
  "modes are changed": (fs, base) => {
    fs.writeFileSync(`${base}/a`, "");
    fs.chmodSync(`${base}/a`, 0o622);
    return statSync(`${base}/a`).mode & 0o777;
  },
  "directories are told from files": (fs, base) => {
    fs.mkdirSync(`${base}/a`);
    fs.writeFileSync(`${base}/b`, "");
    const entries = fs.readdirSync(base, { withFileTypes: true });
    return entries.map((entry) => [entry.name, entry.isDirectory()]).sort();
  },
};

for (const [name, scene] of Object.entries(scenes)) {
  test(`${name}, as with node:fs`, () => {
    const outcome = both(scene);
    expect(outcome.own).toEqual(outcome.node);
  });
}

test("a file that may be missing is read without an exception", () => {
  own.writeFileSync(`${directory}/there`, "text");
  expect([own.readTextIfThere(`${directory}/there`), own.readTextIfThere(`${directory}/none`)]).toEqual([
    "text",
    undefined,
  ]);
  expect(() => own.readTextIfThere(directory)).toThrow("EISDIR");
});

test("a directory is seen through a link, and a file is none", () => {
  symlinkSync(".", `${directory}/link`);
  own.writeFileSync(`${directory}/file`, "");
  const paths = [directory, `${directory}/link`, `${directory}/file`, `${directory}/none`];
  expect(paths.map(own.isDirectoryAt)).toEqual([true, true, false, false]);
});
