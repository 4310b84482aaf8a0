/** `system df`: Docker's sums and shapes, and a section of tsd's own whose total is what du says of the root. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RootUsage } from "../../src/api/schema/disk-usage.ts";
import { succeed, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
let running: string;

beforeAll(async () => {
  engine = await Engine.open({ flags: ["--gc=off"] });
  const script =
    "head -c 200000 /dev/zero | tr '\\0' x > /big; head -c 30000 /dev/zero > /data/f; echo said; sleep 1000";
  running = await engine.start(["-v", "named:/data", "--name", "busy"], "sh", "-c", script);
  await engine.untilLogs(running, "said");
  await engine.tsd(["run", "--name", "ended", engine.busybox, "sh", "-c", "head -c 100000 /dev/zero > /x; ln /x /y"]);
  await engine.daemon.ok("tag", engine.busybox, "second:tag");
}, 120_000);

afterAll(() => engine?.[Symbol.asyncDispose]());

async function api(path: string): Promise<Record<string, never>> {
  const { daemon } = engine;
  return JSON.parse(await succeed(["curl", "-s", "--unix-socket", daemon.socket, `http://tsd${path}`]));
}

async function root(): Promise<RootUsage> {
  return (await api("/v1.55/tsd/df")) as unknown as RootUsage;
}

function row(usage: RootUsage, name: string) {
  return usage.Rows.find(({ Name }) => Name === name)!;
}

describe("system df", () => {
  test("has a line for each kind, in Docker's words", async () => {
    const lines = (await engine.daemon.ok("system", "df")).split("\n");
    expect(lines[0]).toMatch(/^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE$/);
    expect(lines[1]).toMatch(/^Images +1 +1 +\S+MB +0B \(0%\)$/);
    expect(lines[2]).toMatch(/^Containers +2 +1 +3\d\d.*kB +1\d\d.*kB \(3\d%\)$/);
    expect(lines[3]).toMatch(/^Local Volumes +1 +1 +32.77kB +0B \(0%\)$/);
    expect(lines[4]).toMatch(/^Build Cache +0 +0 +0B +0B$/);
    const json = (await engine.daemon.ok("system", "df", "--format", "json"))
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(json[3]).toEqual({ Active: "0", Reclaimable: "0B", Size: "0B", TotalCount: "0", Type: "Build Cache" });
    expect(await engine.daemon.ok("system", "df", "--format", "{{.Type}}={{.TotalCount}}")).toBe(
      "Images=1\nContainers=2\nLocal Volumes=1\nBuild Cache=0",
    );
  });

  test("is read by docker's own client, with all its details", async () => {
    const { status, stdout } = await engine.daemon.docker(["system", "df"]);
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(/Images +1 +1 .*\nContainers +2 +1 .*\nLocal Volumes +1 +1 /),
    ]);
    const verbose = await engine.daemon.docker(["system", "df", "-v"]);
    for (const text of ["Images space usage:", "busy", "ended", "named", "Build cache usage: 0B"]) {
      expect(verbose.stdout).toContain(text);
    }
  });

  test("has lists until API 1.51, sums from 1.52 on, and lists with them when they are asked for", async () => {
    const old = await api("/v1.41/system/df");
    expect(Object.keys(old)).toEqual(["LayersSize", "Images", "Containers", "Volumes", "BuildCache", "BuilderSize"]);
    expect(old.Volumes).toMatchObject([{ Name: "named", Driver: "local", UsageData: { RefCount: 1, Size: 32_768 } }]);
    expect(Object.keys(await api("/v1.51/system/df?type=image&type=volume"))).toEqual([
      "LayersSize",
      "Images",
      "Volumes",
    ]);
    const both = await api("/v1.52/system/df");
    expect(Object.keys(both)).toEqual(
      expect.arrayContaining(["LayersSize", "Images", "ImageUsage", "BuildCacheUsage"]),
    );
    expect(Object.keys(await api("/v1.52/system/df?verbose=0"))).not.toContain("Images");
    const brief = await api("/v1.55/system/df");
    expect(brief).toMatchObject({
      ImageUsage: { ActiveCount: 1, TotalCount: 1, Reclaimable: 0 },
      ContainerUsage: { ActiveCount: 1, TotalCount: 2 },
      VolumeUsage: { ActiveCount: 1, TotalCount: 1, Reclaimable: 0, TotalSize: 32_768 },
      BuildCacheUsage: { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0 },
    });
    expect(brief.ImageUsage).not.toHaveProperty("Items");
    const verbose = await api("/v1.55/system/df?verbose=1&type=container");
    expect(Object.keys(verbose)).toEqual(["ContainerUsage"]);
    expect((verbose.ContainerUsage as unknown as { Items: object[] }).Items).toHaveLength(2);
    expect(await api("/v1.55/system/df?type=pod")).toMatchObject({ message: "unknown object type: pod" });
  });

  test("counts for an image what removing it would free", async () => {
    const { ImageUsage: held } = (await api("/v1.55/system/df")) as unknown as { ImageUsage: Record<string, number> };
    const reference = await engine.registry.push("debian");
    await engine.daemon.ok("pull", "-q", reference);
    const { ImageUsage: more } = (await api("/v1.55/system/df")) as unknown as { ImageUsage: Record<string, number> };
    expect(more).toMatchObject({ TotalCount: 2, ActiveCount: 1 });
    expect(more.Reclaimable).toBe(more.TotalSize! - held.TotalSize!);
    await engine.daemon.ok("rmi", reference);
    const { ImageUsage: again } = (await api("/v1.55/system/df")) as unknown as { ImageUsage: Record<string, number> };
    expect(again).toEqual(held);
    await until("its files are gone", async () => row(await root(), "Trash").Count === 0, 60_000);
  }, 120_000);
});

describe("every byte below the root", () => {
  test("is under one heading, and together they are what du says", async () => {
    const { root: directory } = engine.daemon;
    // Of everything that can be there, something.
    writeFileSync(join(directory, `content/ingest/sha256-${"a".repeat(64)}`), Buffer.alloc(70_000));
    writeFileSync(join(directory, `content/blobs/sha256/${"b".repeat(64)}`), Buffer.alloc(50_000));
    mkdirSync(join(directory, "snapshots/trash/stuck"));
    writeFileSync(join(directory, "snapshots/trash/stuck/file"), Buffer.alloc(9000));
    writeFileSync(join(directory, "somebody's"), "x");
    const du = async (...flags: string[]) => Number((await succeed(["du", "-s", ...flags, directory])).split("\t")[0]);
    const usage = await root();
    expect(usage.TotalBytes).toBe(await du("--block-size=1"));
    expect(usage.TotalInodes).toBe(await du("--inodes"));
    expect(usage.Rows.reduce((sum, { Bytes }) => sum + Bytes, 0)).toBe(usage.TotalBytes);
    expect(row(usage, "Unfinished pulls and loads")).toMatchObject({ Count: 1, Inodes: 1, Bytes: 73_728 });
    expect(row(usage, "Unreferenced")).toMatchObject({ Count: 1, Bytes: 53_248 });
    expect(row(usage, "Trash")).toMatchObject({ Count: 1, Inodes: 2 });
    expect(row(usage, "Volumes")).toMatchObject({ Count: 1, Bytes: 32_768 + 3 * 4096 });
    expect(row(usage, "Container layers").Count).toBe(2);
    expect(row(usage, "Container logs").Bytes).toBeGreaterThan(0);
    expect(row(usage, "Image layers").Count).toBeGreaterThan(0);
    expect(row(usage, "Image content").Bytes).toBeGreaterThan(100_000);
    expect(row(usage, "Database").Bytes).toBeGreaterThan(0);
    const { blocks, bsize } = statfsSync(directory);
    expect(usage.FileSystem.TotalBytes).toBe(blocks * bsize);
    // Once more, with what is known of the layers.
    expect((await root()).TotalBytes).toBe(await du("--block-size=1"));
  });

  test("does not include what volumes have mounted from elsewhere", async () => {
    const before = row(await root(), "Volumes");
    const source = engine.workspace.path("elsewhere");
    mkdirSync(source);
    writeFileSync(join(source, "big"), Buffer.alloc(500_000));
    const options = ["type=none", "o=bind", `device=${source}`].flatMap((option) => ["-o", option]);
    await engine.daemon.ok("volume", "create", ...options, "elsewhere");
    const container = await engine.start(["-v", "elsewhere:/data"], "sleep", "1000");
    const after = row(await root(), "Volumes");
    expect([after.Count, after.Bytes - before.Bytes]).toEqual([before.Count + 1, 2 * 4096]);
    const usage = (await api("/v1.55/system/df?verbose=1")) as unknown as {
      VolumeUsage: { Items: { Name: string }[] };
    };
    expect(usage.VolumeUsage.Items.map(({ Name }) => Name)).toEqual(["named"]);
    await engine.daemon.ok("rm", "-f", container);
    await engine.daemon.ok("volume", "rm", "elsewhere");
    expect(row(await root(), "Volumes")).toEqual(before);
  });

  test("is shown by system df -v, below what Docker shows", async () => {
    const text = await engine.daemon.ok("system", "df", "-v");
    expect(text).toMatch(
      /^Images space usage:\n\nREPOSITORY +TAG +IMAGE ID +CREATED +SIZE +SHARED SIZE +UNIQUE SIZE +CONTAINERS\n/,
    );
    expect(text).toMatch(
      /\n\nContainers space usage:\n\nCONTAINER ID +IMAGE +COMMAND +LOCAL VOLUMES +SIZE +CREATED +STATUS +NAMES\n/,
    );
    expect(text).toMatch(/\n\nLocal Volumes space usage:\n\nVOLUME NAME +LINKS +SIZE\nnamed +1 +32.77kB\n/);
    expect(text).toContain("\n\nBuild cache usage: 0B\n\nCACHE ID");
    expect(text).toMatch(/\n\nDisk usage of \/.*root \(\S+B and [\d,]+ inodes free\):\n\nWHAT +COUNT +SIZE +INODES\n/);
    expect(text).toMatch(/\nUnfinished pulls and loads +1 +73.73kB +1\n/);
    expect(text).toMatch(/\nTotal +\S+MB +[\d,]+$/);
    const json = JSON.parse(await engine.daemon.ok("system", "df", "-v", "--format", "json"));
    expect(Object.keys(json)).toEqual(["Images", "Containers", "Volumes", "BuildCache"]);
  });

  test("that a container holds moves to the next heading when it is removed", async () => {
    const before = await root();
    await engine.daemon.ok("rm", "ended");
    await until("its layer is gone", async () => row(await root(), "Container layers").Count === 1);
    const after = await root();
    expect(row(before, "Container layers").Bytes - row(after, "Container layers").Bytes).toBeGreaterThan(100_000);
    expect(row(after, "Container logs").Count).toBe(row(before, "Container logs").Count - 1);
  });
});
