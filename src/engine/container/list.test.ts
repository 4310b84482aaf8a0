import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig } from "../../api/schema/container-config.ts";
import type { Image } from "../../image/image.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { descent } from "./descent.ts";

let world: FakeWorld;
let engine: Engine;
const never = new AbortController().signal;

async function create(name: string, config: ContainerConfig = {}, HostConfig: HostConfig = {}): Promise<string> {
  return (await engine.containers.create({ ...busybox(), ...config, HostConfig }, { name })).Id;
}

/** One that has ended with that status. */
async function ended(name: string, exitCode: number): Promise<void> {
  const id = await create(name);
  await engine.containers.start(id);
  const { exited } = await engine.containers.wait(id, "not-running", never);
  world.shims.at(-1)!.end({ exitCode });
  await exited;
}

beforeAll(async () => {
  world = new FakeWorld();
  engine = await world.open();
  await create("idle", { Labels: { team: "blue" }, ExposedPorts: { "80/tcp": {} } });
  await ended("done", 0);
  await ended("failed", 3);
  await engine.containers.start(await create("db"));
  const published = { "80/tcp": [{ HostPort: "8080" }], "53/udp": [{ HostPort: "5353" }] };
  const web = { ExposedPorts: { "80/tcp": {}, "81/tcp": {} } };
  await engine.containers.start(await create("web", web, { Links: ["db:database"], PortBindings: published }));
});
afterAll(() => world[Symbol.dispose]());

const list = (options: Partial<Parameters<Engine["containers"]["list"]>[0]> = {}) =>
  engine.containers.list({ all: false, size: false, filters: {}, ...options });

async function names(filters: Record<string, string[]>, all = true): Promise<string[]> {
  return (await list({ all, filters })).map(({ Names }) => Names[0]!.slice(1));
}

describe("the list of containers", () => {
  test("has those that run, or all, or the newest, in the order of their creation", async () => {
    expect(await names({}, false)).toEqual(["web", "db"]);
    expect(await names({})).toEqual(["web", "db", "failed", "done", "idle"]);
    expect((await list({ limit: 3 })).map(({ Names }) => Names[0])).toEqual(["/web", "/db", "/failed"]);
  });

  test.each<[object, string[]]>([
    [{ status: ["exited"] }, ["failed", "done"]],
    [{ status: ["created", "running"] }, ["web", "db", "idle"]],
    [{ exited: ["3"] }, ["failed"]],
    [{ exited: ["0"] }, ["done"]],
    [{ name: ["^/d"] }, ["db", "done"]],
    [{ name: ["database"] }, []],
    [{ label: ["team"] }, ["idle"]],
    [{ label: ["team=red"] }, []],
    [{ before: ["db"] }, ["failed", "done", "idle"]],
    [{ since: ["db"] }, ["web"]],
    [{ before: ["db", "failed"] }, ["done", "idle"]],
    [{ since: ["idle", "db"] }, ["web"]],
    [{ health: ["none"] }, ["web", "db", "failed", "done", "idle"]],
    [{ health: ["healthy"] }, []],
    [{ isolation: ["hyperv"] }, ["web", "db", "failed", "done", "idle"]],
    [{ "is-task": ["true"] }, []],
    [{ expose: ["80-90"] }, ["web"]],
    [{ expose: ["81"] }, ["web"]],
    [{ expose: ["8080"] }, []],
    [{ publish: ["8080"] }, ["web"]],
    [{ publish: ["5350-5360/udp"] }, ["web"]],
    [{ publish: ["80"] }, []],
    [{ publish: ["5353"] }, []],
    [{ expose: ["1"], publish: ["8080"] }, ["web"]],
    [{ expose: ["80"], status: ["created"] }, []],
    [{ network: ["bridge"], status: ["created"] }, ["idle"]],
    [{ ancestor: ["busybox"], name: ["^/web$"] }, ["web"]],
    [{ ancestor: ["nothing"] }, []],
    [{ id: [""] }, []],
  ])("is of %j filtered to %j", async (filters, expected) => {
    expect(await names(filters as Record<string, string[]>)).toEqual(expected);
  });

  test("has what has ended only where that is asked for: `exited` does not, `status` does", async () => {
    expect(await names({ exited: ["3"] }, false)).toEqual([]);
    expect(await names({ status: ["exited"] }, false)).toEqual(["failed", "done"]);
  });

  test.each([
    [{ status: ["foo"] }, "invalid filter 'status=foo'"],
    [{ health: ["foo"] }, "invalid value for health (foo): must be one of none, starting, healthy, unhealthy"],
    [{ exited: ["x"] }, "invalid filter 'exited=x'"],
    [{ publish: ["8080:80"] }, "filter for 'publish' should not contain ':': 8080:80"],
    [{ expose: ["x"] }, "invalid filter 'expose=x'"],
    [{ since: ["nobody"] }, "No such container: nobody"],
  ])("refuses %j", async (filters, message) => {
    expect(names(filters as unknown as Record<string, string[]>)).rejects.toThrow(message);
  });

  test("knows a container by its links' names too, and says of health that there is none", async () => {
    const rows = await list({ all: true });
    expect(rows.find(({ Names }) => Names[0] === "/db")!.Names).toEqual(["/db", "/web/database"]);
    expect(rows.map(({ Health }) => Health)).toEqual(rows.map(() => ({ Status: "none", FailingStreak: 0 })));
  });
});

describe("an image's descent", () => {
  const image = (id: string, ...layers: string[]) =>
    [id, { id, config: { rootfs: { diff_ids: layers } } } as unknown as Image] as const;
  const images = new Map([
    image("base", "a"),
    image("same", "a"),
    image("child", "a", "b"),
    image("other", "b", "a"),
    image("empty"),
  ]);
  const descends = descent((reference) => images.get(reference));

  test("is from itself, and from all whose layers it begins with", () => {
    const of = (id: string) => [...images.keys()].filter((ancestor) => descends(id, ancestor));
    expect(of("base")).toEqual(["base"]);
    expect(of("child")).toEqual(["base", "same", "child"]);
    expect(of("other")).toEqual(["other"]);
    expect(of("gone")).toEqual([]);
  });
});
