import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { canBeSilent, mountSilentServer } from "../../core/testing/silent-server.ts";
import type { ContainerDefinition } from "../container/definition.ts";
import { refusal } from "../testing/refusal.ts";
import { checkBindSource, prepareBindSources } from "./bind-sources.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-bind-sources-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a source that is there is found, one that is not is refused in docker's words", async () => {
  await checkBindSource(root);
  expect(await refusal(checkBindSource(join(root, "none")))).toEqual([
    "invalid_argument",
    `invalid mount config for type "bind": bind source path does not exist: ${root}/none`,
  ]);
});

test.skipIf(!canBeSilent)("sources on a server that does not answer hold up nobody who works with files", async () => {
  const far = join(root, "far");
  const server = await mountSilentServer(far);
  // More than the pool has threads.
  const checks = Array.from({ length: availableParallelism() + 4 }, (_, index) =>
    refusal(checkBindSource(join(far, `folder-${index}`))),
  );
  const answered = Promise.race(checks).then(() => "answered");
  expect(await Promise.race([answered, readdir(root)])).toEqual(["far"]);
  await server[Symbol.asyncDispose]();
  for (const [code] of await Promise.all(checks)) expect(code).toBe("invalid_argument");
});

const range = [{ containerID: 0, hostID: 100_000, size: 1000 }];

/** With --userns-remap. */
function remapped(Source: string): ContainerDefinition {
  const mount = { Type: "bind", Source, Destination: "/d", Mode: "", RW: true, Propagation: "", createSource: true };
  return { mounts: [mount], userNamespace: { uids: range, gids: range } } as unknown as ContainerDefinition;
}

describe.skipIf(process.getuid?.() !== 0)("with --userns-remap", () => {
  test("what -v makes is the container's root's, and what was there stays as it was", async () => {
    mkdirSync(join(root, "there"));
    symlinkSync("there", join(root, "link"));
    await prepareBindSources(remapped(join(root, "link/new/below")));
    const owner = (path: string) => lstatSync(join(root, path)).uid;
    expect(["there", "there/new", "there/new/below"].map(owner)).toEqual([0, 100_000, 100_000]);
    expect(lstatSync(join(root, "there/new")).mode & 0o777).toBe(0o755);
    writeFileSync(join(root, "file"), "");
    await prepareBindSources(remapped(join(root, "file")));
    await prepareBindSources(remapped(root));
    expect(["file", "."].map(owner)).toEqual([0, 0]);
  });

  test("a source that cannot be made is refused in docker's words", async () => {
    writeFileSync(join(root, "in-the-way"), "");
    symlinkSync("/no/such/place", join(root, "nowhere"));
    const refused = (path: string) =>
      prepareBindSources(remapped(join(root, path))).then(
        () => "made",
        (error) => error.message.replaceAll(root, ""),
      );
    const words = (path: string, reason: string) =>
      `error while creating mount source path '${path}': mkdir ${path}: ${reason}`;
    expect(await refused("in-the-way/new")).toBe(words("/in-the-way/new", "not a directory"));
    expect(await refused("nowhere")).toBe(words("/nowhere", "file exists"));
    expect(await refused("nowhere/new")).toBe(words("/nowhere/new", "file exists"));
  });

  test("nothing is given away that is put in the place of a new directory", async () => {
    const [victim, shared, stop] = ["victim", "shared", "stop"].map((name) => join(root, name)) as [
      string,
      string,
      string,
    ];
    mkdirSync(join(victim, "a/b/c"), { recursive: true });
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    const swap = `
      const { existsSync, renameSync, symlinkSync, unlinkSync } = require("node:fs");
      const attempt = (act) => { try { act(); return true; } catch { return false; } };
      let swaps = 0;
      console.log("begins");
      while (!existsSync("${stop}")) {
        for (let i = 0; i < 100; i++) {
          if (attempt(() => renameSync("new", "old" + swaps++))) attempt(() => symlinkSync("${victim}", "new"));
          attempt(() => unlinkSync("new"));
        }
      }`;
    const swapper = Bun.spawn([process.execPath, "-e", swap], { cwd: shared });
    try {
      await swapper.stdout.getReader().read();
      const owners = () => ["", "a", "a/b", "a/b/c"].map((path) => statSync(join(victim, path)).uid);
      for (let tries = 0; tries < 4000 && Math.max(...owners()) === 0; tries++) {
        // Whether it is made, or refused because it was exchanged, is all the same here.
        await prepareBindSources(remapped(join(shared, "new/a/b/c"))).catch(() => undefined);
      }
      expect(owners()).toEqual([0, 0, 0, 0]);
    } finally {
      writeFileSync(stop, "");
      expect(await swapper.exited).toBe(0);
    }
  });
});
