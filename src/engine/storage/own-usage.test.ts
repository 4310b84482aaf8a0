import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MNT_DETACH, MS_BIND } from "../../../ffi/constants/mount.ts";
import { mount, umount2 } from "../../../ffi/mount.ts";
import { countBelow } from "../../core/disk-usage.ts";
import { ownUsage } from "./own-usage.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-usage-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a directory takes what is in it, below what is mounted there, and nothing of that", async () => {
  const [place, source] = [join(directory, "all/place"), join(directory, "source")];
  mkdirSync(place, { recursive: true });
  mkdirSync(source);
  writeFileSync(join(place, "hidden"), Buffer.alloc(5000, 1));
  writeFileSync(join(source, "big"), Buffer.alloc(100_000, 1));
  const before = await ownUsage(join(directory, "all"));
  expect(before).toEqual(await countBelow(join(directory, "all")));
  // Of the same file system, so that no device number tells.
  mount(source, place, "", MS_BIND);
  try {
    expect((await countBelow(join(directory, "all"))).bytes).toBeGreaterThan(100_000);
    expect(await ownUsage(join(directory, "all"))).toEqual(before);
    expect((await ownUsage(place)).bytes).toBe((await countBelow(source)).bytes);
  } finally {
    umount2(place, MNT_DETACH);
  }
});

test("one that is not there takes nothing", async () => {
  expect(await ownUsage(join(directory, "nowhere"))).toEqual({ bytes: 0, inodes: 0 });
});
