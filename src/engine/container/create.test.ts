import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ContainerCreateRequest, HostConfig } from "../../api/schema/container-config.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";

let world: FakeWorld;
let engine: Engine;
beforeAll(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterAll(() => world[Symbol.dispose]());

const create = async (request: ContainerCreateRequest, options: { name?: string; platform?: string } = {}) => {
  const { Id, Warnings } = await engine.containers.create(busybox(request), options);
  return { id: Id, warnings: Warnings, inspected: await engine.containers.inspect(Id, { size: false }) };
};

describe("what was created", () => {
  test("has namespaces of others by their ids, whatever they are called later", async () => {
    const other = await create({}, { name: "other" });
    const HostConfig = { PidMode: "container:other", IpcMode: "container:other", NetworkMode: "container:other" };
    const { inspected } = await create({ HostConfig });
    const mode = `container:${other.id}`;
    expect(inspected.HostConfig).toMatchObject({ PidMode: mode, IpcMode: mode, NetworkMode: mode });
    await expect(create({ HostConfig: { PidMode: "container:nobody" } })).rejects.toThrow("No such container: nobody");
  });

  test.each([
    [{ Privileged: true }, ["label=disable"]],
    [{ PidMode: "host", SecurityOpt: ["no-new-privileges"] }, ["no-new-privileges", "label=disable"]],
    [{ IpcMode: "host", SecurityOpt: ["label=type:x"] }, ["label=type:x"]],
    [{}, undefined],
  ] as [HostConfig, string[] | undefined][])("with %j has the labels of SELinux %j", async (HostConfig, options) => {
    expect((await create({ HostConfig })).inspected.HostConfig.SecurityOpt).toEqual(options!);
  });

  test("has its links where they are, and no files before its first start", async () => {
    const HostConfig = { Links: ["other:db"] };
    const { inspected } = await create({ HostConfig }, { name: "linked" });
    expect(inspected.HostConfig.Links).toEqual(["/other:/linked/db"]);
    const { ResolvConfPath, HostnamePath, HostsPath, LogPath } = inspected;
    expect([ResolvConfPath, HostnamePath, HostsPath, LogPath]).toEqual(["", "", "", ""]);
    expect((await create({})).inspected.HostConfig).not.toHaveProperty("Links");
  });
});

test("an image for another machine is warned of, unless it was asked for", async () => {
  expect((await create({})).warnings).toEqual([]);
  const { platform } = world.image;
  world.image.platform = { os: "linux", architecture: "riscv64" };
  try {
    const host = process.arch === "x64" ? "linux/amd64" : "linux/arm64";
    expect((await create({})).warnings).toEqual([
      `The requested image's platform (linux/riscv64) does not match the detected host platform (${host}) and no specific platform was requested`,
    ]);
    expect((await create({}, { platform: "linux/riscv64" })).warnings).toEqual([]);
  } finally {
    world.image.platform = platform;
  }
});
