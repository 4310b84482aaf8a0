import { afterAll, expect, test } from "bun:test";
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { watchDirectory } from "./directory-watch.ts";

const directory = mkdtempSync("/var/tmp/tsd-directory-watch-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 400 && !condition(); round++) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

function inotifyDescriptors(): number {
  return readdirSync("/proc/self/fd").filter((number) => {
    try {
      return readlinkSync(`/proc/self/fd/${number}`) === "anon_inode:inotify";
    } catch {
      return false;
    }
  }).length;
}

test("each listener hears of its directory's files, all by one descriptor, which goes with the last", async () => {
  const before = inotifyDescriptors();
  const heard: string[] = [];
  const places = ["a", "b"].map((name) => join(directory, name));
  for (const place of places) mkdirSync(place);
  const watches = [...places, places[1]!].map((place, index) =>
    watchDirectory(place, (name) => heard.push(`${index} ${name}`)),
  );
  const during = inotifyDescriptors();
  appendFileSync(join(places[0]!, "x"), "1");
  await until(() => heard.includes("0 x"));
  expect(heard.every((entry) => entry === "0 x")).toBe(true);
  appendFileSync(join(directory, "y"), "1");
  renameSync(join(directory, "y"), join(places[1]!, "z"));
  await until(() => heard.includes("1 z") && heard.includes("2 z"));
  expect(heard).not.toContain("0 y");
  watches[1]![Symbol.dispose]();
  heard.length = 0;
  appendFileSync(join(places[1]!, "z"), "1");
  await until(() => heard.includes("2 z"));
  expect(heard).not.toContain("1 z");
  // Its directory goes: whoever watches is told to look.
  rmSync(places[1]!, { recursive: true });
  await until(() => heard.includes("2 undefined"));
  for (const watch of watches) watch[Symbol.dispose]();
  await until(() => inotifyDescriptors() === before);
  expect(during).toBeGreaterThan(before);
  expect(() => watchDirectory(join(directory, "none"), () => undefined)).toThrow("ENOENT");
  await until(() => inotifyDescriptors() === before);
});
