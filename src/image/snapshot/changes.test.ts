/** What a layer changes of those below it. Whiteouts and opaque directories need root. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { S_IFCHR } from "../../../ffi/constants/stat.ts";
import { mkdirat, mknodat, open, openat, removeTree } from "../../../ffi/files.ts";
import { setXattr } from "../../../ffi/stat.ts";
import { isRoot } from "../store-fixture.ts";
import { changesOf } from "./changes.ts";
import { opaqueAttribute } from "./look.ts";

let base: string;
const letters = { modified: "C", added: "A", deleted: "D" };

beforeEach(() => {
  // In memory: many directories are made.
  base = mkdtempSync("/dev/shm/tsd-changes-");
  for (const layer of ["upper", "middle", "bottom"]) mkdirSync(join(base, layer));
});
afterEach(() => removeTree(AT_FDCWD, base));

/** Directories end in a slash; files hold their own name and are of the epoch. */
function make(layer: string, ...names: string[]): void {
  for (const name of names) {
    const path = join(base, layer, name);
    mkdirSync(name.endsWith("/") ? path : join(path, ".."), { recursive: true });
    if (name.endsWith("/")) continue;
    writeFileSync(path, name);
    utimesSync(path, 0, 0);
  }
}

const whiteOut = (layer: string, name: string) => mknodat(AT_FDCWD, join(base, layer, name), S_IFCHR, 0);
const hide = (layer: string, name: string) =>
  setXattr({ path: join(base, layer, name) }, opaqueAttribute, Buffer.from("y"));

async function changes(mountPoints: string[] = []): Promise<string[]> {
  const layers = [join(base, "middle"), join(base, "bottom")];
  const found = await changesOf(join(base, "upper"), layers, mountPoints);
  return found.map(({ path, kind }) => `${letters[kind]} ${path}`);
}

describe.if(isRoot)("changes", () => {
  test("what is new is added with all that is in it, and changes the directories that it is in", async () => {
    make("bottom", "etc/");
    make("upper", "etc/new/a", "etc/new/b/", "top");
    expect(await changes()).toEqual(["C /etc", "A /etc/new", "A /etc/new/a", "A /etc/new/b", "A /top"]);
  });

  test("a file is changed by its content, time, mode or kind, and not by lying in the layer", async () => {
    make("bottom", "same", "content", "time", "mode", "kind");
    make("upper", "same", "content", "time", "mode", "kind/");
    writeFileSync(join(base, "upper/content"), "more than before");
    utimesSync(join(base, "upper/time"), 1, 1);
    chmodSync(join(base, "upper/mode"), 0o700);
    expect(await changes()).toEqual(["C /content", "C /kind", "C /mode", "C /time"]);
  });

  test("a directory that was only copied up is no change, one with another mode is", async () => {
    make("bottom", "a/x", "b/x");
    make("upper", "a/", "b/");
    chmodSync(join(base, "upper/b"), 0o711);
    expect(await changes()).toEqual(["C /b"]);
  });

  test("what is whited out is deleted where there was something", async () => {
    make("bottom", "d/one", "d/two", "d/three");
    make("middle", "d/");
    whiteOut("middle", "d/two");
    make("upper", "d/");
    for (const name of ["d/one", "d/two", "d/never"]) whiteOut("upper", name);
    expect(await changes()).toEqual(["C /d", "D /d/one"]);
  });

  test("what an opaque directory hides is deleted, except what is there again", async () => {
    make("bottom", "d/one", "d/two", "d/sub/x");
    make("middle", "d/three");
    make("upper", "d/two", "d/new");
    hide("upper", "d");
    expect(await changes()).toEqual(["C /d", "A /d/new", "D /d/one", "D /d/sub", "D /d/three"]);
  });

  test("a layer between hides those below it", async () => {
    make("bottom", "d/old");
    make("middle", "d/");
    hide("middle", "d");
    make("upper", "d/old");
    expect(await changes()).toEqual(["C /d", "A /d/old"]);
  });

  test("links count as themselves, and lead nowhere", async () => {
    make("bottom", "etc/passwd");
    symlinkSync("/etc", join(base, "middle/link"));
    make("upper", "link/passwd");
    linkSync(join(base, "upper/link/passwd"), join(base, "upper/hard"));
    expect(await changes()).toEqual(["A /hard", "C /link", "A /link/passwd"]);
  });

  test("what runtimes put something on is no change while it is empty", async () => {
    make("bottom", "etc/");
    make("upper", "etc/hosts", "proc/", "sys/x");
    writeFileSync(join(base, "upper/etc/hosts"), "");
    expect(await changes(["/proc", "/sys", "/etc/hosts"])).toEqual(["A /sys", "A /sys/x"]);
  });

  test("a deep tree is walked with a few descriptors, and comes back to what is beside it", async () => {
    const depth = 480;
    /** Names of a path's length would not fit into one call. */
    const makeDeep = (layer: string, names: (level: number) => string[]) => {
      using bottom = [...Array(depth).keys()].reduce(
        (parent, level) => {
          using above = parent;
          for (const name of names(level)) mkdirat(above, name, 0o755);
          return openat(above, names(level)[0]!, O_RDONLY | O_DIRECTORY);
        },
        open(join(base, layer), O_RDONLY | O_DIRECTORY),
      );
      mkdirat(bottom, "end", 0o700);
    };
    const name = (level: number) => `level-${level}`;
    makeDeep("bottom", (level) => [name(level)]);
    makeDeep("upper", (level) => (level % 40 === 0 ? [name(level), "z"] : [name(level)]));
    const open0 = readdirSync("/proc/self/fd").length;
    let most = 0;
    const watching = setInterval(() => {
      most = Math.max(most, readdirSync("/proc/self/fd").length - open0);
    }, 0);
    const found = await changes();
    clearInterval(watching);
    expect(found.filter((line) => line.startsWith("A "))).toHaveLength(depth / 40);
    expect(found[1]).toBe("C /level-0/level-1");
    expect(found.at(-1)).toBe("A /z");
    expect(found.filter((line) => line.endsWith("/end"))).toEqual([]);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(80);
  });
});
