/** `image prune` and `system prune`: what nobody uses goes, by Docker's filters and with Docker's words. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../src/tar/tar-fixture.ts";
import { succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Workspace } from "../harness/workspace.ts";
import { HostileRegistry } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace, { flags: ["--gc=off"] });
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

beforeEach(async () => {
  const containers = (await daemon.ok("ps", "-aq")).split("\n").filter(Boolean);
  if (containers.length > 0) await daemon.ok("rm", "-f", ...containers);
  for (const id of await images()) await daemon.ok("rmi", "-f", id);
});

/** Pushes another image under that name and pulls it. @returns its reference. */
async function pull(
  name: string,
  labels: Record<string, string> = {},
  created = "2024-01-02T03:04:05Z",
): Promise<string> {
  const data = crypto.getRandomValues(new Uint8Array(40_000));
  const { reference } = registry.addImage(name, [archive([{ name: "data", data }])], {
    editConfig: (config) =>
      Object.assign(config, { created, config: { ...(config.config as object), Labels: labels } }),
  });
  await daemon.ok("pull", "-q", reference);
  return reference;
}

async function images(): Promise<string[]> {
  return (await daemon.ok("images", "-q", "--no-trunc")).split("\n").filter(Boolean);
}

/** @returns the id of the image that lost its name to another. */
async function dangling(name: string, labels: Record<string, string> = {}, created?: string): Promise<string> {
  const reference = await pull(name, labels, created);
  const id = await daemon.ok("inspect", "--format", "{{.Id}}", reference);
  await pull(name);
  return id;
}

describe("image prune", () => {
  test("removes images without a name, says so in Docker's words, and frees what was theirs alone", async () => {
    const id = await dangling("one");
    const used = await dangling("two");
    await daemon.ok("create", used, "/x");
    const files = () => readdirSync(join(daemon.root, "content/blobs/sha256")).length;
    const before = files();
    expect(await daemon.ok("image", "prune", "-f")).toMatch(
      new RegExp(`^Deleted Images:\\ndeleted: ${id}\\n\\nTotal reclaimed space: 8\\d\\.\\d+kB$`),
    );
    expect(files()).toBe(before - 3);
    expect(await images()).toContain(used);
    expect(await daemon.ok("image", "prune", "-f")).toBe("Total reclaimed space: 0B");
  });

  test("with -a removes all that no container has", async () => {
    const [unused, used] = [await pull("unused"), await pull("used")];
    const container = await daemon.ok("create", used, "/x");
    const text = await daemon.ok("image", "prune", "-af");
    expect(text).toMatch(
      new RegExp(`^Deleted Images:\\nuntagged: ${unused}:latest\\ndeleted: sha256:\\w{64}\\n\\nTotal`),
    );
    expect(await images()).toHaveLength(1);
    await daemon.ok("rm", container);
    expect(await daemon.ok("image", "prune", "--all", "--force")).toContain(`untagged: ${used}:latest`);
    expect(await images()).toEqual([]);
    await until("nothing is left", () => readdirSync(join(daemon.root, "snapshots/trash")).length === 0);
    expect(readdirSync(join(daemon.root, "content/blobs/sha256"))).toEqual([]);
  });

  test("filters by label, by its absence, and by time", async () => {
    const labelled = await dangling("labelled", { keep: "yes" });
    const young = await dangling("young", {}, new Date().toISOString());
    const plain = await dangling("plain");
    const prune = (...filters: string[]) =>
      daemon.ok("image", "prune", "-f", ...filters.map((text) => `--filter=${text}`));
    expect(await prune("label=keep=no")).toBe("Total reclaimed space: 0B");
    expect(await prune("label!=keep", "until=24h")).toContain(`deleted: ${plain}\n`);
    expect((await images()).filter((id) => [labelled, young].includes(id))).toHaveLength(2);
    expect(await prune("label=keep")).toContain(`deleted: ${labelled}\n`);
    expect(await prune("until=2030-01-01T00:00:00Z")).toContain(`deleted: ${young}\n`);
    for (const [filter, message] of [
      ["until=soon", "invalid filter 'until=soon'"],
      ["colour=red", "invalid filter 'colour'"],
    ] as const) {
      const { status, stderr } = await daemon.tsd(["image", "prune", "-f", "--filter", filter]);
      expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
    }
  });

  test("asks first, and takes anything but y for no", async () => {
    const id = await dangling("asked");
    for (const input of ["n\n", "yes\n", "\n", ""]) {
      const { status, stdout } = await daemon.tsd(["image", "prune"], { stdin: input });
      expect([status, stdout.trimEnd()]).toEqual([
        0,
        "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N]",
      ]);
    }
    expect(await images()).toContain(id);
    const { stdout } = await daemon.tsd(["image", "prune"], { stdin: "Y\n" });
    expect(stdout).toContain(`[y/N] Deleted Images:\ndeleted: ${id}\n`);
  });

  test("is what docker's client does, with an event for each image and one in the end", async () => {
    const id = await dangling("docker");
    const since = `${Date.now() / 1000}`;
    const { status, stdout } = await daemon.docker(["image", "prune", "-f"]);
    expect([status, stdout]).toEqual([
      0,
      expect.stringMatching(new RegExp(`^Deleted Images:\\ndeleted: ${id}\\n\\nTotal reclaimed space: 8`)),
    ]);
    const events = await daemon.ok(
      "events",
      "--since",
      since,
      "--until",
      `${Date.now() / 1000}`,
      "--format",
      "{{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}",
    );
    expect(events.split("\n")).toEqual([
      `delete ${id} {"name":"${id}"}`,
      expect.stringMatching(/^prune {2}\{"reclaimed":"8\d+"\}$/),
    ]);
    const nothing = await succeed([
      "curl",
      "-s",
      "-X",
      "POST",
      "--unix-socket",
      daemon.socket,
      "http://tsd/v1.50/images/prune",
    ]);
    expect(JSON.parse(nothing)).toEqual({ ImagesDeleted: null, SpaceReclaimed: 0 });
  });
});

describe("system prune", () => {
  test("removes stopped containers, then images without a name that were theirs", async () => {
    const id = await dangling("theirs");
    const container = await daemon.ok("create", id, "/x");
    expect(await daemon.ok("image", "prune", "-f")).toBe("Total reclaimed space: 0B");
    expect(await daemon.ok("system", "prune", "-f")).toMatch(
      new RegExp(
        `^Deleted Containers:\\n${container}\\n\\nDeleted Images:\\ndeleted: ${id}\\n\\nTotal reclaimed space: `,
      ),
    );
    expect(await images()).toHaveLength(1);
    expect(await daemon.ok("system", "prune", "-af")).toContain("untagged: ");
    expect(await images()).toEqual([]);
  });

  test("leaves what its filters do not name, and says what it would remove before it asks", async () => {
    const reference = await pull("filtered");
    const kept = await daemon.ok("create", "--label", "keep=1", reference, "/x");
    const gone = await daemon.ok("create", reference, "/x");
    const asked = await daemon.tsd(["system", "prune", "-a", "--filter", "label!=keep"], { stdin: "n\n" });
    expect([asked.status, asked.stdout]).toEqual([
      0,
      "WARNING! This will remove:\n  - all stopped containers\n" +
        "  - all networks not used by at least one container\n" +
        "  - all images without at least one container associated to them\n\n" +
        "  Items to be pruned will be filtered with:\n  - label!=keep\n\nAre you sure you want to continue? [y/N] ",
    ]);
    expect(await daemon.ok("system", "prune", "-f", "--filter", "label!=keep")).toContain(
      `Deleted Containers:\n${gone}\n`,
    );
    expect(await daemon.ok("ps", "-aq", "--no-trunc")).toBe(kept);
    expect(await daemon.ok("system", "prune", "-f", "--filter", "until=1h")).toBe("Total reclaimed space: 0B");
    const { status, stderr } = await daemon.tsd(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    expect([status, stderr]).toEqual([1, expect.stringContaining('"until" filter is not supported with "--volumes"')]);
  });
});
