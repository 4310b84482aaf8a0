import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { umount2 } from "./mount.ts";
import { mountOverlay, takesLayersOneByOne } from "./overlay.ts";

const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot).each([
  ["layer by layer", true],
  ["with all layers in the options of mount(2), as Linux before 6.8 needs it", false],
])("an overlay mounted %s", (_, oneByOne) => {
  let directory: string;
  const at = (...names: string[]) => join(directory, ...names);
  beforeAll(() => {
    directory = mkdtempSync("/var/tmp/tsd-overlay-");
    for (const name of ["root", "upper", "work"]) mkdirSync(at(name));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  /** Enough of them, with names of the kinds that need care, that their paths are longer than fsconfig(2) takes. */
  function layers(): string[] {
    return Array.from({ length: 12 }, (_, index) => {
      const layer = at(`layer ${index}, with:colon and \\ and ${"x".repeat(20)}`);
      mkdirSync(layer, { recursive: true });
      writeFileSync(join(layer, `only-${index}`), String(index));
      writeFileSync(join(layer, "top"), String(index));
      return layer;
    });
  }

  test.skipIf(oneByOne && !takesLayersOneByOne())("has the files of all layers, topmost first", () => {
    const before = process.cwd();
    const own = { upper: at("upper"), work: at("work") };
    mountOverlay(at("root"), { lower: layers(), ...own }, oneByOne);
    try {
      expect(readFileSync(at("root", "top"), "utf8")).toBe("0");
      expect(readFileSync(at("root", "only-11"), "utf8")).toBe("11");
      writeFileSync(at("root", "new"), "");
      expect(existsSync(at("upper", "new"))).toBe(true);
      expect(process.cwd()).toBe(before);
    } finally {
      umount2(at("root"), 0);
    }
    expect(existsSync(at("root", "top"))).toBe(false);
  });

  test.skipIf(oneByOne && !takesLayersOneByOne())("is read-only without an upper directory", () => {
    mountOverlay(at("root"), { lower: layers() }, oneByOne);
    try {
      expect(() => writeFileSync(at("root", "new"), "")).toThrow("EROFS");
    } finally {
      umount2(at("root"), 0);
    }
  });

  test("names the target when it cannot be mounted", () => {
    const lower = [at("missing"), at("upper")];
    expect(() => mountOverlay(at("root"), { lower }, oneByOne)).toThrow(
      oneByOne ? "fsconfig" : `on ${at("root")}: ENOENT`,
    );
  });
});

test("an overlay of more layers than one page of options holds is refused, not cut off", () => {
  const lower = Array.from({ length: 100 }, (_, index) => `/layers/${"x".repeat(50)}${index}`);
  expect(() => mountOverlay("/nowhere", { lower }, false)).toThrow("100 layers do not fit into one page of options");
});
