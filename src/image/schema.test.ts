/** A database of the first released version is upgraded with everything that is in it. */
import { describe, expect, test } from "bun:test";
import { openDatabase } from "../core/database.ts";
import { addImage } from "./image-fixture.ts";
import { imageSchema } from "./schema.ts";
import { base, isRoot, top, useStore } from "./store-fixture.ts";

const fixture = useStore();
const tables = [
  "layer_snapshots",
  "container_snapshots",
  "images",
  "image_platforms",
  "image_names",
  "image_content",
  "embedded_images",
] as const;

/** Writes the database anew as the first version would have. */
function downgrade(): void {
  const path = fixture.database.filename;
  fixture.database.run("PRAGMA foreign_keys = OFF");
  const old = openDatabase(":memory:", [{ ...imageSchema, steps: imageSchema.steps.slice(0, 1) }]);
  old.run("PRAGMA foreign_keys = OFF");
  for (const table of tables) {
    const columns = old.query<{ name: string }, []>(`SELECT name FROM pragma_table_info('${table}')`).all();
    const names = columns.map(({ name }) => name);
    for (const row of fixture.database.query<Record<string, string>, []>(`SELECT * FROM ${table}`).all()) {
      const values = names.map((name) => row[name] ?? null);
      old.run(`INSERT INTO ${table} (${names}) VALUES (${names.map(() => "?")})`, values);
    }
  }
  // As it was: the layer of a made image counted as content.
  old.run(
    "INSERT OR IGNORE INTO image_content SELECT image_id, chain_id FROM image_platforms JOIN embedded_images USING (image_id)",
  );
  for (const { name } of fixture.database
    .query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    .all()) {
    fixture.database.run(`DROP TABLE ${name}`);
  }
  fixture.database.run("VACUUM");
  old.run(`ATTACH '${path}' AS target`);
  for (const { sql } of old
    .query<{ sql: string }, []>("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'")
    .all()) {
    old.run(sql.replace(/^CREATE (TABLE|INDEX) /, "CREATE $1 target."));
  }
  for (const table of [...tables, "schema_version"]) old.run(`INSERT INTO target.${table} SELECT * FROM ${table}`);
  old.close();
}

describe.skipIf(!isRoot)("a database of the first version", () => {
  test("is upgraded: its images, layers and containers are what they were", async () => {
    const made = addImage(fixture.registry, [base, top], { tag: "tag" });
    addImage(fixture.registry, [], { tag: "empty" });
    const image = await fixture.store.pull(fixture.name());
    await fixture.store.pull(fixture.name("empty"));
    fixture.reopen({ executable: Bun.which("true")! });
    const hello = await fixture.store.pull("hello");
    const mount = fixture.store.snapshots.prepare("c".repeat(64), image);
    const expected = fixture.store.list();
    downgrade();
    const store = fixture.reopen({ executable: Bun.which("true")! });
    await store.start();
    expect(store.list()).toEqual(expected);
    expect(store.get(fixture.name())).toMatchObject({ id: made.manifest, isUnpacked: true, chainId: image.chainId });
    expect(store.get(fixture.name("empty"))).toMatchObject({ isUnpacked: true, chainId: undefined });
    expect(store.snapshots.mounts("c".repeat(64))).toEqual(mount);
    expect(store.records.get(made.manifest)).toMatchObject({ origin: "pull", lastUsedAt: image.lastTaggedAt });
    expect(store.records.get(hello.id)!.origin).toBe("made");
    // The sizes that were not stored are filled in, and what never was in the store is not said to be.
    for (const { id } of store.records.all()) {
      for (const { digest, size } of store.records.content(id)) expect(store.content.size(digest)).toBe(size!);
    }
    expect(store.records.content(hello.id)).toHaveLength(2);
    expect(fixture.database.query("PRAGMA foreign_key_check").all()).toEqual([]);
    expect(fixture.database.query("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    await store.remove(made.manifest, { force: true });
    expect(store.resolve(made.manifest)).toBeUndefined();
  });
});
