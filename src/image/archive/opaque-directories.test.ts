/** The walk through a container's layer that the daemon itself makes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { mkdirat, open, openat } from "../../../ffi/files.ts";
import { setXattr } from "../../../ffi/stat.ts";
import { isRoot } from "../store-fixture.ts";
import { opaqueDirectories } from "./opaque-directories.ts";

let base: string;

beforeEach(() => {
  base = mkdtempSync("/dev/shm/tsd-opaque-");
});
afterEach(() => execFileSync("rm", ["-r", base]));

test.skipIf(!isRoot)("the directories of a layer that hide what is below are found", async () => {
  for (const name of ["plain", "plain/opaque", "opaque"]) mkdirSync(join(base, name));
  for (const name of ["plain/opaque", "opaque"]) {
    using directory = open(join(base, name), O_RDONLY | O_DIRECTORY);
    setXattr(directory, "trusted.overlay.opaque", Buffer.from("y"));
  }
  expect([...(await opaqueDirectories(base))].sort()).toEqual(["opaque", "plain/opaque"]);
});

test("a layer that is as deep as it likes uses up few of the daemon's descriptors, and is refused where no archive is as deep", async () => {
  let at: Fd = open(base, O_RDONLY | O_DIRECTORY);
  for (let depth = 0; depth < 4200; depth++) {
    using parent = at;
    mkdirat(parent, "d", 0o755);
    at = openat(parent, "d", O_RDONLY | O_DIRECTORY);
  }
  at.close();
  const before = descriptors();
  let most = 0;
  let isOver = false;
  const watch = () => {
    most = Math.max(most, descriptors());
    if (!isOver) setImmediate(watch);
  };
  watch();
  await expect(opaqueDirectories(base)).rejects.toThrow("more than 4096 directories deep");
  isOver = true;
  expect(most - before).toBeLessThan(100);
  expect(descriptors()).toBe(before);
});

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
