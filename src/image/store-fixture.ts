/** A store on the disk and a registry of the test's own. Unpacking needs root. */

import type { Database } from "bun:sqlite";
import { afterEach, beforeEach } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openDatabase } from "../core/database.ts";
import { isEngineError } from "../core/errors.ts";
import { tsdCommand } from "../core/testing/tsd.ts";
import type { FixtureEntry } from "../tar/tar-fixture.ts";
import type { ImageUser } from "./image.ts";
import { ImageStore, type ImageStoreOptions } from "./images.ts";
import { TestRegistry } from "./registry/hostile-registry.ts";
import { imageSchema } from "./schema.ts";
import { unpackProgram as unpackProgramOf } from "./unpack/unpacker.ts";

export const isRoot = process.getuid?.() === 0;
export const unpackProgram = unpackProgramOf([...tsdCommand, "unpack"]);

export const base: FixtureEntry[] = [
  { name: "etc/", mode: 0o755 },
  { name: "etc/passwd", data: "root:x:0:0::/root:/bin/sh\n" },
  { name: "tmp/", mode: 0o1777, uid: 5 },
  { name: "old/" },
  { name: "old/file" },
];
export const top: FixtureEntry[] = [
  { name: "tmp/x", data: "x" },
  { name: "etc/.wh.passwd" },
  { name: ".wh.old" },
  { name: "old/" },
];

/** What a test works with; made anew for each by `useStore`. */
export interface StoreFixture {
  root: string;
  registry: TestRegistry;
  database: Database;
  store: ImageStore;
  users: ImageUser[];
  /** Closes the store and opens it again, as a new daemon does. */
  reopen(options?: Partial<ImageStoreOptions>): ImageStore;
  /** `127.0.0.1:1234/some/image:tag`. */
  name(tag?: string): string;
  snapshotNames(): string[];
  blobs(): string[];
}

export function useStore(): StoreFixture {
  const fixture = { users: [] as ImageUser[] } as StoreFixture;
  const open = (options: Partial<ImageStoreOptions> = {}) => {
    const { root } = fixture;
    fixture.database = openDatabase(join(root, "metadata.db"), [imageSchema]);
    const registry = { stallTimeoutMs: 500, retryDelayMs: 1 };
    const usersOf = () => fixture.users;
    fixture.store = new ImageStore({ root, database: fixture.database, unpackProgram, usersOf, registry, ...options });
    return fixture.store;
  };
  fixture.reopen = (options) => {
    fixture.database.close();
    return open(options);
  };
  fixture.name = (tag = "tag") => `${fixture.registry.host}/some/image:${tag}`;
  fixture.snapshotNames = () => readdirSync(join(fixture.root, "snapshots")).filter((entry) => entry !== "trash");
  fixture.blobs = () => readdirSync(join(fixture.root, "content/blobs/sha256")).sort();
  beforeEach(async () => {
    fixture.root = mkdtempSync("/var/tmp/tsd-images-");
    fixture.registry = new TestRegistry();
    fixture.users = [];
    await open().start();
  });
  afterEach(async () => {
    await fixture.registry.stop();
    await fixture.store.settled();
    fixture.database.close();
    rmSync(fixture.root, { recursive: true, force: true });
  });
  return fixture;
}

/** The EngineError that it fails with. */
export async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    if (isEngineError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it did not fail");
}
