import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Served, serve } from "../testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

async function message(response: Response): Promise<[number, string]> {
  return [response.status, ((await response.json()) as { message: string }).message];
}

function lastCall(): string | undefined {
  return served.engine.calls.at(-1);
}

const post = (path: string) => served.fetch(path, { method: "POST" });
const remove = (path: string) => served.fetch(path, { method: "DELETE" });

describe("volumes", () => {
  test("are created with all that Docker's request has, inspected with their status, and removed", async () => {
    const request = { Name: "data", Driver: "local", DriverOpts: { type: "tmpfs" }, Labels: { a: "b" } };
    const response = await served.fetch("/volumes/create", { json: request });
    const volume = {
      CreatedAt: "2026-01-02T03:04:05Z",
      Driver: "local",
      Labels: { a: "b" },
      Mountpoint: "/volumes/data/_data",
      Name: "data",
      Options: { type: "tmpfs" },
      Scope: "local",
    };
    expect([response.status, await response.json()]).toEqual([201, volume]);
    expect(lastCall()).toBe(`create volume ${JSON.stringify(request)}`);
    const inspected = await served.fetch("/volumes/data");
    expect(await inspected.json()).toEqual({ ...volume, Status: { mood: "good" } });
    const removed = await remove("/volumes/data");
    expect([removed.status, await removed.text()]).toEqual([204, ""]);
    expect(await message(await served.fetch("/volumes/data"))).toEqual([404, "get data: no such volume"]);
  });

  test("without a name, and with fields that are null, are what the engine makes of that", async () => {
    const response = await served.fetch("/volumes/create", { json: { Name: "", Driver: null, Labels: null } });
    expect(response.status).toBe(201);
    expect(lastCall()).toBe('create volume {"Name":""}');
    await served.fetch("/volumes/create", { json: { name: "lower", labels: { a: null } } });
    expect(lastCall()).toBe('create volume {"Name":"lower","Labels":{"a":""}}');
  });

  test("with a wrong field, or with no request at all, are refused", async () => {
    expect(await message(await served.fetch("/volumes/create", { json: { Labels: { a: 5 } } }))).toEqual([
      400,
      "invalid JSON: Labels.a: number where string is wanted",
    ]);
    expect((await post("/volumes/create")).status).toBe(400);
  });

  test("of a cluster are a swarm's, which older clients do not know", async () => {
    const json = { Name: "far", ClusterVolumeSpec: { Group: "g" } };
    const [status, words] = await message(await served.fetch("/v1.42/volumes/create", { json }));
    expect([status, words]).toEqual([503, expect.stringContaining("This node is not a swarm manager.")]);
    expect((await served.fetch("/v1.41/volumes/create", { json })).status).toBe(201);
    expect(lastCall()).toBe('create volume {"Name":"far"}');
    expect(await message(await served.fetch("/volumes/far?version=1", { method: "PUT", body: "{}" }))).toEqual([
      503,
      "volume update only valid for cluster volumes, but swarm is unavailable",
    ]);
  });

  test("are listed by Docker's filters, with the warnings of drivers, and refuse others", async () => {
    const filters = { dangling: ["true"], driver: ["silent"], label: ["a=b"], name: ["da"] };
    const listed = await served.fetch(`/volumes?filters=${JSON.stringify(filters)}`);
    expect(await listed.json()).toMatchObject({
      Volumes: [{ Name: "a".repeat(64) }, {}, {}],
      Warnings: ["silent: no answer"],
    });
    expect(lastCall()).toBe(`volumes ${JSON.stringify(filters)}`);
    expect(await (await served.fetch("/volumes")).json()).toMatchObject({ Warnings: null });
    expect(await message(await served.fetch('/volumes?filters={"colour":["red"]}'))).toEqual([
      400,
      "invalid filter 'colour'",
    ]);
    expect(await message(await served.fetch('/volumes?filters={"dangling":["maybe"]}'))).toEqual([
      400,
      "invalid filter 'dangling=[maybe]'",
    ]);
  });

  test("in use stay, and what is not there can only be removed by force", async () => {
    expect(await message(await remove("/volumes/busy?force=1"))).toEqual([
      409,
      "remove busy: volume is in use - [c0ffee]",
    ]);
    expect(await message(await remove("/volumes/nosuch"))).toEqual([404, "get nosuch: no such volume"]);
    expect((await remove("/volumes/nosuch?force=true")).status).toBe(204);
    expect(lastCall()).toBe("remove volume nosuch true");
    expect(await message(await remove("/volumes/a%2Fb"))).toEqual([404, "get a/b: no such volume"]);
  });
});

describe("prune", () => {
  test("takes anonymous volumes alone unless it is told otherwise, which before 1.42 it was not", async () => {
    for (const [path, call] of [
      ["/v1.42/volumes/prune", "prune volumes false {}"],
      ['/volumes/prune?filters={"all":["0"]}', "prune volumes false {}"],
      ['/volumes/prune?filters={"label":["a"],"label!":["b"]}', 'prune volumes false {"label":["a"],"label!":["b"]}'],
      ['/volumes/prune?filters={"all":{"true":true}}', "prune volumes true {}"],
      ["/v1.41/volumes/prune", "prune volumes true {}"],
    ] as const) {
      const response = await post(path);
      expect(response.status).toBe(200);
      expect(Object.keys((await response.json()) as object)).toEqual(["VolumesDeleted", "SpaceReclaimed"]);
      expect(lastCall()).toBe(call);
    }
    expect(await (await post("/volumes/prune")).json()).toEqual({ VolumesDeleted: [], SpaceReclaimed: 0 });
  });

  test("refuses other filters, and an `all` that is no boolean", async () => {
    for (const [filters, words] of [
      ['{"until":["1h"]}', "invalid filter 'until'"],
      ['{"all":["x"]}', "invalid filter 'all=[x]'"],
      ['{"all":["1","0"]}', "invalid filter 'all=[1 0]'"],
    ]) {
      expect(await message(await post(`/volumes/prune?filters=${filters}`))).toEqual([400, words!]);
    }
  });
});
