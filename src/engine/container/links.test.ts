import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { ContainerCreateRequest } from "../../api/schema/container-config.ts";
import { errorMessage } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { parseLink } from "./links.ts";

let world: FakeWorld;
let engine: Engine;
beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
});
afterEach(() => world[Symbol.dispose]());

async function create(name: string, request: ContainerCreateRequest = {}): Promise<string> {
  return (await engine.containers.create(busybox(request), { name })).Id;
}

async function started(name: string, request: ContainerCreateRequest = {}): Promise<string> {
  const id = await create(name, request);
  await engine.containers.start(id);
  return id;
}

function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(() => "no error", errorMessage);
}

/** The variables of the container that was started last. */
function environment(): string[] {
  return world.shims.at(-1)?.container?.config?.process?.env ?? [];
}

const linked = (...Links: string[]): ContainerCreateRequest => ({ HostConfig: { Links } });

describe("a link of the default bridge", () => {
  test("is one by name: of a container that has gone nothing is left, whatever another one's id begins with", async () => {
    const other = await started("other");
    const beginning = other.slice(0, 12);
    const web = await create("web", linked(`${beginning}:there`));
    const shown = async (id: string) => (await engine.containers.inspect(id, { size: false })).HostConfig.Links;
    expect(await shown(web)).toEqual(["/other:/web/there"]);
    await create(beginning);
    const site = await create("site", linked(beginning));
    expect(await shown(site)).toEqual([`/${beginning}:/site/${beginning}`]);
    await engine.containers.remove(beginning, { force: false, volumes: false, link: false });
    expect(await shown(site)).toBeUndefined();
    await engine.containers.start(site);
    expect(environment().filter((entry) => entry.includes("_PORT"))).toEqual([]);
  });

  test("is lines of /etc/hosts and variables of the old kind, and is shown as Docker shows it", async () => {
    const db = await started("my-db", {
      Hostname: "store",
      Env: ["KEY=value", "PATH=/x", "HOME=/y"],
      ExposedPorts: { "53/udp": {}, "5432/tcp": {}, "53/tcp": {}, "54/udp": {}, "55/udp": {} },
    });
    const web = await started("web", linked("my-db:the-db"));
    expect(readFileSync(world.layout.container(web).hosts, "utf8")).toContain("172.28.0.2\tthe-db store my-db\n");
    const variables = environment().filter((entry) => entry.startsWith("THE_DB"));
    expect(variables).toContain("THE_DB_PORT=tcp://172.28.0.2:53");
    expect(variables).toContain("THE_DB_PORT_5432_TCP=tcp://172.28.0.2:5432");
    expect(variables).toContain("THE_DB_PORT_5432_TCP_ADDR=172.28.0.2");
    expect(variables).toContain("THE_DB_PORT_5432_TCP_PORT=5432");
    expect(variables).toContain("THE_DB_PORT_5432_TCP_PROTO=tcp");
    expect(variables).toContain("THE_DB_PORT_53_UDP_START=udp://172.28.0.2:53");
    expect(variables).toContain("THE_DB_PORT_53_UDP_PORT_END=55");
    expect(variables).toContain("THE_DB_NAME=/web/the-db");
    expect(variables.filter((entry) => entry.includes("_ENV_"))).toEqual(["THE_DB_ENV_KEY=value"]);
    const { HostConfig } = await engine.containers.inspect(web, { size: false });
    expect(HostConfig.Links).toEqual(["/my-db:/web/the-db"]);
    expect(db).not.toBe(web);
  });

  test("leads to the other's address also after that one's restart", async () => {
    const db = await started("db");
    const web = await started("web", linked("db"));
    world.shims[0]!.end();
    await engine.containers.wait(db, "not-running", new AbortController().signal).then(({ exited }) => exited);
    await started("third");
    await engine.containers.start(db);
    const lines = readFileSync(world.layout.container(web).hosts, "utf8").split("\n");
    expect(lines.filter((line) => line.endsWith(`db ${db.slice(0, 12)}`))).toEqual([
      `172.28.0.4\tdb ${db.slice(0, 12)}`,
    ]);
  });

  test("stays after a restart of the daemon, also where the other is the younger one", async () => {
    await started("db");
    const web = await started("web", linked("db"));
    await engine.containers.remove("db", { force: true, volumes: false, link: false });
    await started("db");
    const before = readFileSync(world.layout.container(web).hosts, "utf8");
    expect(before).toMatch(/^172\.28\.0\.\d+\tdb [0-9a-f]{12}$/m);
    engine = await world.open();
    expect(readFileSync(world.layout.container(web).hosts, "utf8")).toBe(before);
  });

  test("needs a container that is there, that runs, and that is not on the host's network", async () => {
    expect(await refusal(create("web", linked("nosuch")))).toBe(
      "could not get container for nosuch: No such container: nosuch",
    );
    await create("db");
    await create("web", linked("db:x"));
    expect(await refusal(engine.containers.start("web"))).toBe(
      "start container web: Cannot link to a non running container: /db AS /web/x",
    );
    await started("host", { HostConfig: { NetworkMode: "host" } });
    expect(await refusal(create("other", linked("host")))).toContain("host type networking can't be used with links");
    expect(await refusal(create("other", { HostConfig: { NetworkMode: "host", Links: ["db"] } }))).toContain(
      "host type networking can't be used with links",
    );
  });

  test("goes with the container that it leads to, or by itself", async () => {
    await started("db");
    await create("web", linked("db:one", "db:two"));
    await engine.containers.remove("web/one", { force: false, volumes: false, link: true });
    const links = async () => (await engine.containers.inspect("web", { size: false })).HostConfig.Links;
    expect(await links()).toEqual(["/db:/web/two"]);
    expect(await refusal(engine.containers.remove("web/one", { force: false, volumes: false, link: true }))).toBe(
      "container web has no link one",
    );
    await engine.containers.remove("db", { force: true, volumes: false, link: false });
    await engine.containers.start("web");
  });
});

test("a link of a user's network is a name that the resolver answers to this container alone", async () => {
  await engine.networks.create({ Name: "net" });
  const db = await create("db");
  const web = await started("web", { HostConfig: { NetworkMode: "net", Links: ["db:store"] } });
  expect(world.networks.requests.get(web)).toMatchObject({
    endpoints: [{ links: [{ containerId: db, alias: "store" }] }],
  });
  expect(environment().some((entry) => entry.startsWith("STORE"))).toBe(false);
});

test("links are read as docker reads them", () => {
  expect(parseLink("db")).toEqual({ reference: "db", alias: "db" });
  expect(parseLink("db:x")).toEqual({ reference: "db", alias: "x" });
  expect(parseLink("/db:/web/x")).toEqual({ reference: "db", alias: "x" });
  for (const text of ["a:b:c", ":b", "a:"]) expect(() => parseLink(text)).toThrow(`bad format for links: ${text}`);
  expect(() => parseLink("")).toThrow("empty string specified for links");
});
