/** Limits of what containers may write, where the file system knows none: the tests' own, as most are. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { tsd } from "../harness/workspace.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(() => scene?.close());

const why = /is mounted without the option prjquota|is mounted without the option pquota|has no project quotas/;

test("--storage-opt is refused in docker's words, with what the file system lacks", async () => {
  const args = ["run", "--rm", "--storage-opt", "size=1g", scene.image, "true"];
  for (const result of [await scene.docker(args), await scene.daemon.tsd(args)]) {
    expect(result.status).toBe(125);
    expect(result.stderr).toContain("--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
    expect(result.stderr).toMatch(why);
  }
  expect(await scene.ok("ps", "-aq")).toBe("");
});

test("a volume of a size is refused in docker's words, with what the file system lacks, and is not there", async () => {
  const created = ["volume", "create", "-o", "size=1g", "small"];
  const mounted = ["run", "--rm", "--mount", "source=small,target=/data,volume-opt=size=1g", scene.image, "true"];
  for (const args of [created, mounted]) {
    for (const result of [await scene.docker(args), await scene.daemon.tsd(args)]) {
      expect([args[0], result.status]).toEqual([args[0], args === created ? 1 : 125]);
      expect(result.stderr).toContain("quota size requested but no quota support");
      expect(result.stderr).toMatch(why);
    }
  }
  expect(await scene.ok("volume", "ls", "-q")).toBe("");
});

test("an option without a value is refused by the command line", async () => {
  const { status, stderr } = await scene.daemon.tsd(["create", "--storage-opt", "size", scene.image]);
  expect([status, stderr]).toEqual([125, expect.stringContaining("invalid storage option")]);
});

test("a daemon that is to limit all containers does not start", async () => {
  const [root, state] = [scene.workspace.path("e"), scene.workspace.path("e-state")];
  const args = ["daemon", "--root", root, "--state", state, "--storage-opt", "overlay2.size=1g"];
  const { status, stderr } = await command([tsd, ...args]);
  expect(status).toBe(125);
  expect(stderr).toContain("Storage option overlay2.size not supported. Filesystem does not support Project Quota: ");
  expect(stderr).toMatch(why);
});
