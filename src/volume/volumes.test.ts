import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../core/database.ts";
import { VolumeStore, volumeSchema } from "./volumes.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-volumes-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function open() {
  const database = openDatabase(join(root, "metadata.db"), [volumeSchema]);
  return { database, volumes: new VolumeStore(root, database) };
}

describe("the volume store", () => {
  test("a named volume is made once, and found again by the next daemon", async () => {
    const { database, volumes } = open();
    const [first, second] = await Promise.all([volumes.ensure("data", { a: "1" }), volumes.ensure("data")]);
    expect([first.created, second.created]).toEqual([true, false]);
    expect(statSync(first.volume.path).isDirectory()).toBe(true);
    database.close();
    expect(open().volumes.get("data")).toEqual(first.volume);
  });

  test("a volume in use stays, one that is not goes with its content", async () => {
    const { volumes } = open();
    const { volume } = await volumes.ensure("data");
    writeFileSync(join(volume.path, "file"), "x");
    expect(await volumes.remove("data", () => true)).toBe(false);
    expect(existsSync(join(volume.path, "file"))).toBe(true);
    expect(await volumes.remove("data", () => false)).toBe(true);
    expect(existsSync(join(root, "volumes", "data"))).toBe(false);
    expect(volumes.remove("data", () => false)).rejects.toThrow("get data: no such volume");
  });

  test("an anonymous volume whose container was never stored is a leftover; a stored one is not", async () => {
    const { database, volumes } = open();
    const kept = await volumes.makeAnonymous();
    volumes.store([kept]);
    const lost = await volumes.makeAnonymous();
    mkdirSync(join(root, "volumes", "half-removed"));
    database.close();
    const reopened = open().volumes;
    expect((await reopened.removeLeftovers()).sort()).toEqual([lost.name, "half-removed"].sort());
    expect(existsSync(kept.path)).toBe(true);
    expect(existsSync(lost.path)).toBe(false);
  });

  test("a name that could leave the directory is refused", () => {
    const { volumes } = open();
    for (const name of ["../x", "a/b", ".hidden"]) {
      expect(() => volumes.ensure(name)).toThrow("includes invalid characters for a local volume name");
    }
    expect(volumes.list()).toEqual([]);
  });
});
