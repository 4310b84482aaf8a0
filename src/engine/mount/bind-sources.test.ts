import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { canBeSilent, mountSilentServer } from "../../core/testing/silent-server.ts";
import { refusal } from "../testing/refusal.ts";
import { checkBindSource } from "./bind-sources.ts";

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
