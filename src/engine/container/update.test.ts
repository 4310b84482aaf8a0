import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ContainerUpdateRequest, HostConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";

const MB = 2 ** 20;

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

async function create(HostConfig: HostConfig = {}): Promise<string> {
  return (await engine.containers.create(busybox({ HostConfig }), { name: "web" })).Id;
}

async function running(hostConfig: HostConfig = {}): Promise<string> {
  const id = await create(hostConfig);
  await engine.containers.start(id);
  return id;
}

const update = (request: ContainerUpdateRequest) => engine.containers.update("web", request);
const hostConfig = async () => (await engine.containers.inspect("web", { size: false })).HostConfig;

describe("update", () => {
  test("of a container that does not run is kept for its next start, over a restart of the daemon", async () => {
    await create();
    expect(await update({ CpuShares: 100, CpusetCpus: "0", PidsLimit: 5 })).toEqual({ Warnings: [] });
    engine = await world.open();
    expect(await hostConfig()).toMatchObject({ CpuShares: 100, CpusetCpus: "0", PidsLimit: 5 });
    await engine.containers.start("web");
    expect(world.shims[0]!.container!.config!.linux!.resources).toMatchObject({
      cpu: { shares: 100, cpus: "0" },
      pids: { limit: 5 },
    });
    expect(world.shims[0]!.updates).toEqual([]);
  });

  test("of one that runs changes what is spoken of, and leaves what is 0 or not there", async () => {
    await running({ CpuShares: 100, Memory: 64 * MB });
    await update({ CpuShares: 0, CpusetCpus: "", Memory: 32 * MB, PidsLimit: 0 });
    expect(await hostConfig()).toMatchObject({ CpuShares: 100, Memory: 32 * MB, MemorySwap: 128 * MB, PidsLimit: 0 });
    expect(world.shims[0]!.updates).toEqual([{ memory: { limit: 32 * MB, swap: 128 * MB }, pids: { limit: -1 } }]);
  });

  test("of nothing asks nobody", async () => {
    await running();
    await update({});
    expect(world.shims[0]!.updates).toEqual([]);
  });

  test("keeps a restart policy", async () => {
    await create();
    const { Warnings } = await update({ RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 } });
    expect(Warnings).toEqual([]);
    expect((await hostConfig()).RestartPolicy).toEqual({ Name: "on-failure", MaximumRetryCount: 3 });
    await update({ RestartPolicy: { Name: "" } });
    expect((await hostConfig()).RestartPolicy).toEqual({ Name: "on-failure", MaximumRetryCount: 3 });
  });
});

describe("what is wrong is refused in docker's words, and nothing changes", () => {
  const table: [has: HostConfig, asked: ContainerUpdateRequest, code: string, words: string][] = [
    [{}, { Memory: MB }, "invalid_argument", "Minimum memory limit allowed is 6MB"],
    [
      {},
      { Memory: 64 * MB },
      "conflict",
      "ID: Memory limit should be smaller than already set memoryswap limit, update",
    ],
    [{ Memory: 64 * MB }, { Memory: 129 * MB }, "conflict", "ID: Memory limit should be smaller than already set"],
    [{ Memory: 64 * MB, MemorySwap: -1 }, { Memory: 65 * MB }, "conflict", "ID: Memory limit should be smaller than"],
    [
      { CpuPeriod: 5000 },
      { NanoCpus: 1e9 },
      "conflict",
      "ID: Conflicting options: Nano CPUs cannot be updated as CPU Period",
    ],
    [
      { CpuQuota: 5000 },
      { NanoCpus: 1e9 },
      "conflict",
      "ID: Conflicting options: Nano CPUs cannot be updated as CPU Quota",
    ],
    [
      { NanoCpus: 1e9 },
      { CpuPeriod: 5000 },
      "conflict",
      "ID: Conflicting options: CPU Period cannot be updated as NanoCPUs",
    ],
    [
      { NanoCpus: 1e9 },
      { CpuQuota: 5000 },
      "conflict",
      "ID: Conflicting options: CPU Quota cannot be updated as NanoCPUs",
    ],
    [
      { AutoRemove: true },
      { RestartPolicy: { Name: "always" } },
      "conflict",
      "ID: Restart policy cannot be updated because AutoRemove is",
    ],
    [
      {},
      { RestartPolicy: { Name: "sometimes" } },
      "invalid_argument",
      "invalid restart policy: unknown policy 'sometimes'",
    ],
    [{}, { CpusetCpus: "8000" }, "invalid_argument", "Requested CPUs are not available - requested 8000, available: "],
  ];
  test.each(table)("%j and then %j: %s", async (has, asked, code, words) => {
    const id = await running(has);
    const before = await hostConfig();
    const [refusedWith, message] = await refusal(update(asked));
    expect(message).toStartWith(words.replace(/^ID/, `Cannot update container ${id}`));
    expect(refusedWith).toBe(code);
    expect(await hostConfig()).toEqual(before);
    expect(world.shims[0]!.updates).toEqual([]);
  });

  test("swap may be changed alone, and memory together with it", async () => {
    await running({ Memory: 64 * MB });
    await update({ MemorySwap: 256 * MB });
    await update({ Memory: 512 * MB, MemorySwap: -1 });
    expect(world.shims[0]!.updates).toEqual([
      { memory: { limit: 64 * MB, swap: 256 * MB } },
      { memory: { limit: 512 * MB, swap: -1 } },
    ]);
  });

  test("what the kernel refuses is not on record", async () => {
    const id = await running();
    world.shims[0]!.update = () => Promise.reject(new EngineError("internal", "write 1 to cpu.shares: EINVAL"));
    const before = await hostConfig();
    expect(await refusal(update({ CpuShares: 1 }))).toEqual([
      "internal",
      `Cannot update container ${id}: write 1 to cpu.shares: EINVAL`,
    ]);
    expect(await hostConfig()).toEqual(before);
  });

  test("what is taken back does not undo what was changed meanwhile", async () => {
    await engine.containers.create(busybox({}), { name: "db" });
    await engine.containers.start("db");
    await running({ Links: ["db:store"], CpuShares: 100 });
    world.shims[1]!.update = async () => {
      await engine.containers.rename("db", "base");
      throw new EngineError("internal", "EINVAL");
    };
    await refusal(update({ CpuShares: 200, PidsLimit: 5 }));
    expect(await hostConfig()).toMatchObject({ CpuShares: 100, Links: ["/base:/web/store"] });
    world.shims[1]!.update = async () => {
      await engine.containers.rename("base", "db");
      world.shims[1]!.end();
      throw new EngineError("conflict", "container not running");
    };
    await update({ CpuShares: 300 });
    expect(await hostConfig()).toMatchObject({ CpuShares: 300, Links: ["/db:/web/store"] });
  });

  test("limits that come too late for a container that ends are kept for its next start", async () => {
    await running();
    const shim = world.shims[0]!;
    shim.update = () => {
      shim.end();
      return Promise.reject(new EngineError("conflict", "container not running"));
    };
    expect(await update({ CpuShares: 7 })).toEqual({ Warnings: [] });
    expect((await hostConfig()).CpuShares).toBe(7);
  });

  test("a shim of an earlier version that knows no update says so", async () => {
    await running();
    const unknown = 'shim request: there is no request "update"';
    world.shims[0]!.update = () => Promise.reject(new EngineError("invalid_argument", unknown));
    const [code, message] = await refusal(update({ CpuShares: 1 }));
    expect(code).toBe("unsupported");
    expect(message).toEndWith("was started by an earlier version of tsd, and keeps its limits until its end");
  });
});

describe("a daemon that follows one that was killed in the middle", () => {
  async function interrupted(): Promise<void> {
    await running({ CpuShares: 100, NanoCpus: 1e9 });
    world.shims[0]!.update = () => new Promise(() => undefined);
    void update({ CpuShares: 200 });
    await Bun.sleep(1);
  }

  test("finishes the update", async () => {
    await interrupted();
    const done: unknown[] = [];
    world.shims[0]!.update = async (resources) => void done.push(resources);
    engine = await world.open();
    expect(done).toMatchObject([{ cpu: { shares: 200, quota: 100_000 } }]);
    expect((await hostConfig()).CpuShares).toBe(200);
    engine = await world.open();
    expect(done).toHaveLength(1);
  });

  test("takes it back when it is refused now", async () => {
    await interrupted();
    world.shims[0]!.update = () => Promise.reject(new EngineError("internal", "EINVAL"));
    engine = await world.open();
    expect((await hostConfig()).CpuShares).toBe(100);
  });

  test("keeps it for the next start when the container has ended", async () => {
    await interrupted();
    world.shims[0]!.die();
    engine = await world.open();
    expect((await hostConfig()).CpuShares).toBe(200);
    await engine.containers.start("web");
    expect(world.shims[1]!.container!.config!.linux!.resources!.cpu!.shares).toBe(200);
  });
});
