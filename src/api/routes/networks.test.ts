import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Served, serve } from "../testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

type Json = Record<string, unknown>;

async function get(path: string): Promise<Json> {
  const response = await served.fetch(path);
  expect(response.status).toBe(200);
  return (await response.json()) as Json;
}

async function message(response: Response): Promise<[number, string]> {
  return [response.status, ((await response.json()) as { message: string }).message];
}

function lastCall(): string | undefined {
  return served.engine.calls.at(-1);
}

describe("networks", () => {
  test("are created with all that Docker's request has, inspected by name and prefix, and removed", async () => {
    const request = {
      Name: "net",
      Driver: "bridge",
      EnableIPv4: true,
      EnableIPv6: true,
      IPAM: { Driver: "default", Config: [{ Subnet: "10.1.0.0/16", AuxiliaryAddresses: { nas: "10.1.0.5" } }] },
      Internal: true,
      Options: { "com.docker.network.bridge.name": "br5" },
      Labels: { a: "b" },
    };
    const response = await served.fetch("/networks/create", { json: request });
    expect(response.status).toBe(201);
    const answer = (await response.json()) as { Id: string };
    expect(answer).toEqual({ Id: expect.stringMatching(/^[0-9a-f]{64}$/), Warning: "" } as never);
    expect(lastCall()).toBe(`create network ${JSON.stringify(request)}`);
    for (const ref of ["net", answer.Id, answer.Id.slice(0, 6)]) {
      expect(await get(`/networks/${ref}`)).toMatchObject({ Name: "net", Internal: true, Labels: { a: "b" } });
    }
    expect(await message(await served.fetch("/networks/create", { json: request }))).toEqual([
      409,
      "network with name net already exists",
    ]);
    const removed = await served.fetch("/networks/net", { method: "DELETE" });
    expect([removed.status, await removed.text()]).toEqual([204, ""]);
    expect(await message(await served.fetch("/networks/net"))).toEqual([404, "network net not found"]);
    expect((await served.fetch("/networks/bridge", { method: "DELETE" })).status).toBe(403);
  });

  test("of a client before 1.48 cannot say anything of IPv4, has IPv6 only when it says so, and duplicates were always checked for", async () => {
    const json = { Name: "old", CheckDuplicate: true, EnableIPv4: false };
    expect((await served.fetch("/v1.47/networks/create", { json })).status).toBe(201);
    expect(lastCall()).toBe('create network {"Name":"old","EnableIPv6":false}');
    await served.fetch("/networks/old", { method: "DELETE" });
  });

  test("with a wrong field are refused with its path", async () => {
    const wrong = { Name: "x", IPAM: { Config: [{ Subnet: 5 }] } };
    expect(await message(await served.fetch("/networks/create", { json: wrong }))).toEqual([
      400,
      "invalid JSON: IPAM.Config.0.Subnet: number where string is wanted",
    ]);
  });

  test("are listed by Docker's filters, and refuse others", async () => {
    const filters = { driver: ["bridge"], dangling: ["true"], name: ["n"], scope: ["local"], type: ["custom"] };
    await get(`/networks?filters=${JSON.stringify(filters)}`);
    expect(lastCall()).toBe(`networks ${JSON.stringify(filters)}`);
    expect(await message(await served.fetch('/networks?filters={"colour":["red"]}'))).toEqual([
      400,
      "invalid filter 'colour'",
    ]);
    expect(await message(await served.fetch('/networks?filters={"dangling":["maybe"]}'))).toEqual([
      400,
      "invalid filter 'dangling=[maybe]'",
    ]);
  });

  test("tell of their containers where the version has them", async () => {
    const listed = async (version: string) => ((await get(`${version}/networks`)) as unknown as Json[])[0]!;
    expect((await listed("/v1.27")).Containers).toHaveProperty("c0ffee.Name", "web");
    expect((await listed("/v1.28")).Containers).toEqual({});
    expect((await listed("/v1.51")).Containers).toEqual({});
    expect(await listed("/v1.52")).not.toHaveProperty("Containers");
    expect(await listed("/v1.52")).not.toHaveProperty("Status");
    expect((await get("/v1.55/networks/bridge")).Containers).toHaveProperty("c0ffee.IPv4Address", "172.28.0.2/16");
  });

  test("count their addresses since 1.52, up to the last that fits into 64 bits", async () => {
    expect(await get("/v1.51/networks/bridge")).not.toHaveProperty("Status");
    const text = await (await served.fetch("/v1.52/networks/bridge")).text();
    expect(text).toContain('"fd00::/64":{"IPsInUse":2,"DynamicIPsAvailable":18446744073709551614}');
  });

  test("are asked for by scope, and refuse a verbosity that is no boolean", async () => {
    await get("/networks/bridge?scope=local&verbose=true");
    expect((await served.fetch("/networks/bridge?scope=swarm")).status).toBe(404);
    expect(await message(await served.fetch("/networks/bridge?verbose=very"))).toEqual([
      400,
      "invalid value for verbose: very",
    ]);
  });

  test("are pruned by time and label", async () => {
    const response = await served.fetch('/networks/prune?filters={"until":["1h"],"label!":["keep"]}', {
      method: "POST",
    });
    expect([response.status, await response.json()]).toEqual([200, { NetworksDeleted: null }]);
    expect(lastCall()).toBe('prune networks {"until":["1h"],"label!":["keep"]}');
    expect((await served.fetch('/networks/prune?filters={"name":["x"]}', { method: "POST" })).status).toBe(400);
  });
});

describe("members", () => {
  test("are connected with what their version could say", async () => {
    const EndpointConfig = {
      IPAMConfig: { IPv4Address: "172.28.0.9" },
      Links: ["a:b"],
      Aliases: ["db"],
      MacAddress: "02:42:ac:1c:00:09",
      GwPriority: 5,
    };
    const connect = (version: string) =>
      served.fetch(`${version}/networks/bridge/connect`, { json: { Container: "web", EndpointConfig } });
    const response = await connect("/v1.54");
    expect([response.status, await response.text()]).toEqual([200, ""]);
    const { MacAddress, GwPriority, ...rest } = EndpointConfig;
    expect(lastCall()).toBe(`connect bridge web ${JSON.stringify({ ...rest, MacAddress, GwPriority })}`);
    await connect("/v1.53");
    expect(lastCall()).toBe(`connect bridge web ${JSON.stringify({ ...rest, GwPriority })}`);
    await connect("/v1.47");
    expect(lastCall()).toBe(`connect bridge web ${JSON.stringify(rest)}`);
    await served.fetch("/networks/bridge/connect", { json: { Container: "web", EndpointConfig: null } });
    expect(lastCall()).toBe("connect bridge web {}");
  });

  test("are disconnected, by force too; nobody and nowhere are refused", async () => {
    const disconnect = (json: object, name = "bridge") => served.fetch(`/networks/${name}/disconnect`, { json });
    expect((await disconnect({ Container: "web" })).status).toBe(200);
    expect(lastCall()).toBe("disconnect bridge web false");
    await disconnect({ Container: "web", Force: true });
    expect(lastCall()).toBe("disconnect bridge web true");
    expect(await message(await disconnect({}))).toEqual([400, "Container: no container named"]);
    expect(await message(await disconnect({ Container: "web" }, "nosuch"))).toEqual([404, "network nosuch not found"]);
  });
});
