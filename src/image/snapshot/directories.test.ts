import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { projectOf, setProject } from "../../../ffi/quota.ts";
import { QuotaDisk } from "../../../test/harness/quota-disk.ts";
import type { DirectoryLimits } from "../../core/directory-limits.ts";
import { SnapshotDirectories } from "./directories.ts";

describe("limited writable layers", () => {
  let root: string;
  let told: string[];
  beforeEach(() => {
    root = mkdtempSync("/var/tmp/tsd-directories-");
    told = [];
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const limits = (limit: (path: string) => void = () => undefined): DirectoryLimits => ({
    whyNot: () => undefined,
    limit: (path, bytes) => {
      told.push(`limit ${path} ${bytes} ${readdirSync(path).length}`);
      limit(path);
    },
    isLimited: () => false,
    roomToMount: () => ({ [Symbol.dispose]: () => undefined }),
    release: (path) => told.push(`release ${path} ${existsSync(path)}`),
  });

  test("are limited as long as they are empty, and no more when their name is free", async () => {
    const directories = new SnapshotDirectories(root, limits());
    const name = directories.makeWritable(5);
    expect(readdirSync(join(root, name)).sort()).toEqual(["fs", "work"]);
    directories.discard(name);
    const path = join(root, name);
    expect(told).toEqual([`limit ${path} 5 0`, `release ${path} false`]);
    directories.makeWritable();
    expect(told).toHaveLength(2);
    await directories.settled();
  });

  test("that cannot be limited leave nothing", async () => {
    const fail = () => {
      throw new Error("no limits here");
    };
    const directories = new SnapshotDirectories(root, limits(fail));
    expect(() => directories.makeWritable(5)).toThrow("no limits here");
    expect(() => new SnapshotDirectories(root).makeWritable(5)).toThrow(`nothing limits ${root}`);
    await directories.settled();
    expect(readdirSync(root)).toEqual(["trash"]);
    expect(told[1]).toStartWith("release ");
  });
});

describe.skipIf(process.getuid?.() !== 0)("below a directory that somebody has made a project", () => {
  test("directories of other projects can be deleted", async () => {
    // XFS has projects on every kernel, though not every kernel limits them.
    using disk = new QuotaDisk("xfs", { options: "" });
    using top = open(disk.path, O_RDONLY | O_DIRECTORY);
    setProject(top, { id: 7, inherits: true });
    const project = (path: string) => {
      using directory = open(path, O_RDONLY | O_DIRECTORY);
      return projectOf(directory);
    };
    const directories = new SnapshotDirectories(join(disk.path, "snapshots"));
    const name = directories.makeWritable();
    const path = join(directories.root, name, "fs");
    expect(project(path)).toEqual({ id: 7, inherits: true });
    using own = open(join(path, ".."), O_RDONLY | O_DIRECTORY);
    setProject(own, { id: 8, inherits: true });
    expect(() => readdirSync(path)).not.toThrow();
    directories.discard(name);
    await directories.settled();
    expect(readdirSync(directories.root)).toEqual(["trash"]);
    expect(readdirSync(join(directories.root, "trash"))).toEqual([]);
  });
});
