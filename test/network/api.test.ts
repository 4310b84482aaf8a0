/**
 * Networks through Docker's API: what inspect shows is what Debian's dockerd shows for the same commands, and requests
 * are refused with the same statuses.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DockerScene } from "../harness/docker.ts";
import { type Peer, startDockerd } from "../harness/peers.ts";
import { Workspace } from "../harness/workspace.ts";

let scene: DockerScene;
let other: Workspace;
let dockerd: Peer;
beforeAll(async () => {
  const opening = Promise.all([DockerScene.open(), Workspace.open()]);
  [scene, other] = await opening;
  dockerd = await startDockerd(other);
}, 60_000);
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await scene.close();
});

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** A request to either daemon, as JSON. */
async function ask(socket: string, method: string, path: string, json?: object): Promise<Answer> {
  const response = await fetch(`http://docker${path}`, {
    unix: socket,
    method,
    ...(json !== undefined && { body: JSON.stringify(json), headers: { "content-type": "application/json" } }),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? {} : JSON.parse(text) };
}

const tsd = (method: string, path: string, json?: object) => ask(scene.daemon.socket, method, path, json);
const docker = (method: string, path: string, json?: object) => ask(other.path("docker.sock"), method, path, json);

/** The same command on both, at dockerd's version of the API. @returns what each has said. */
async function both(...args: string[]): Promise<[string, string]> {
  const env = { DOCKER_API_VERSION: "1.41" };
  const outputs = await Promise.all([
    scene.docker(
      args.map((arg) => (arg === "IMAGE" ? scene.image : arg)),
      { env },
    ),
    dockerd.run(
      args.map((arg) => (arg === "IMAGE" ? dockerd.image : arg)),
      { env },
    ),
  ]);
  for (const { status, stderr } of outputs) if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return [outputs[0].stdout, outputs[1].stdout];
}

/** What differs from one daemon to the next, and from one run to the next. */
function normalized(value: unknown, key = ""): unknown {
  if (typeof value === "string") {
    const text = value.replace(/[0-9a-f]{64}/g, "ID").replace(/\b[0-9a-f]{12}\b/g, "SHORT");
    if (key === "Created") return "TIME";
    return key === "SandboxKey" && text !== "" ? "PATH" : text;
  }
  if (Array.isArray(value)) return value.map((item) => normalized(item));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, item]) => [
    name.replace(/[0-9a-f]{64}/g, "ID"),
    normalized(item, name),
  ]);
  return Object.fromEntries(entries);
}

interface Subnets {
  IPAM: { Config: Record<string, unknown>[] };
}

function inspected([ours, theirs]: [string, string]): [unknown, unknown] {
  return [normalized(JSON.parse(ours)), normalized(JSON.parse(theirs))];
}

describe("what dockerd shows", () => {
  test("of a network, tsd shows: with its subnet, options, labels and containers", async () => {
    const options = ["--ipv6=false", "--label", "a=b", "--label", "A=b", "--opt", "com.docker.network.driver.mtu=1400"];
    options.push("--opt", "com.docker.network.bridge.enable_icc=false");
    const subnet = ["--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/25", "--gateway", "10.77.0.3"];
    await both(
      "network",
      "create",
      ...options,
      ...subnet,
      "--aux-address",
      "z=10.77.0.200",
      "--aux-address",
      "nas=10.77.0.201",
      "--attachable",
      "same",
    );
    await both("run", "-d", "--name", "shown", "--network", "same", "--ip", "10.77.0.9", "IMAGE", "sleep", "100");
    const [ours, theirs] = inspected(await both("network", "inspect", "same"));
    // Versions since 28 tell of IPv4 as well.
    expect(ours).toEqual([{ ...(theirs as object[])[0], EnableIPv4: true }]);
    // In the same order, too, which is that of the clients' output.
    const withoutNew = JSON.stringify(ours).replace('"EnableIPv4":true,', "");
    expect(withoutNew).toBe(JSON.stringify(theirs));
    const listed = async (ask: typeof tsd) => {
      const list = (await ask("GET", '/v1.41/networks?filters={"name":["same"]}')).body;
      return JSON.stringify(normalized(list)).replace('"EnableIPv4":true,', "");
    };
    expect(await listed(tsd)).toBe(await listed(docker));
    await both("rm", "-f", "shown");
    await both("network", "rm", "same");
  });

  test("of the built-in networks, tsd shows", async () => {
    const [ours, theirs] = inspected(await both("network", "inspect", "bridge", "none", "host"));
    const shown = (list: unknown) =>
      (list as (Subnets & { Options: Record<string, string> })[]).map(({ IPAM, Options, ...rest }) => {
        const { "com.docker.network.bridge.name": _bridge, ...options } = Options;
        // Of the default bridge tsd chooses the subnet when it is first used.
        return { ...rest, EnableIPv4: true, EnableIPv6: false, IPAM: { ...IPAM, Config: [] }, Options: options };
      });
    expect(shown(ours)).toEqual(shown(theirs));
  });

  test("of a container's networks, tsd shows: running, connected, disconnected, stopped", async () => {
    await both("network", "create", "--ipv6=false", "--subnet", "10.78.0.0/24", "first");
    await both("network", "create", "--ipv6=false", "--subnet", "10.79.0.0/24", "second");
    const flags = ["--network", "first", "--ip", "10.78.0.9", "--network-alias", "web", "--expose", "80"];
    await both("run", "-d", "--name", "seen", "--stop-signal", "KILL", ...flags, "IMAGE", "sleep", "100");
    const same = async () => {
      const [ours, theirs] = inspected(await both("inspect", "--format", "{{json .NetworkSettings}}", "seen"));
      expect(withoutNews(ours)).toEqual(withoutNews(theirs));
    };
    await same();
    await both("network", "connect", "--ip", "10.79.0.7", "--alias", "db", "second", "seen");
    await same();
    await both("network", "disconnect", "first", "seen");
    await same();
    await both("stop", "seen");
    await same();
    await both("start", "seen");
    await same();
    await both("rm", "-f", "seen");
    await both("network", "rm", "first", "second");
  });
});

interface Settings extends Record<string, unknown> {
  Networks: Record<string, Record<string, unknown>>;
}

/** Without what 20.10 has not yet, and what tsd tells before a container's first start. */
function withoutNews(settings: unknown): unknown {
  // Until 28 a stopped container kept them.
  const { Networks, SandboxID: _id, SandboxKey: _key, ...rest } = settings as Settings;
  const networks = Object.entries(Networks).map(([name, { GwPriority, DNSNames, ...endpoint }]) => {
    // dockerd forgets what was asked for, and shows an empty configuration where it was null.
    const IPAMConfig = endpoint.IPAMConfig ?? {};
    return [
      name,
      { ...endpoint, IPAMConfig, Aliases: sorted(endpoint.Aliases), MacAddress: lower(endpoint.MacAddress) },
    ];
  });
  return { ...rest, Networks: Object.fromEntries(networks) };
}

const sorted = (list: unknown) => (Array.isArray(list) ? [...list].sort() : list);
const lower = (text: unknown) => String(text).toLowerCase();

describe("refusals", () => {
  beforeAll(async () => {
    await both("network", "create", "--ipv6=false", "--subnet", "10.80.0.0/24", "used");
    await both("network", "create", "--ipv6=false", "free");
    await both("run", "-d", "--name", "user", "--network", "used", "IMAGE", "sleep", "100");
    await both("run", "-d", "--name", "lonely", "--network", "none", "IMAGE", "sleep", "100");
  });
  afterAll(async () => {
    await both("rm", "-f", "user", "lonely");
    await both("network", "rm", "used", "free");
  });

  const connect = (Container: string, IPv4Address?: string) => ({
    Container,
    ...(IPv4Address !== undefined && { EndpointConfig: { IPAMConfig: { IPv4Address } } }),
  });

  test.each([
    ["GET", "/networks/nosuch", undefined, 404, "network nosuch not found"],
    ["GET", '/networks?filters={"colour":["red"]}', undefined, 400, ""],
    ["DELETE", "/networks/nosuch", undefined, 404, "network nosuch not found"],
    ["DELETE", "/networks/bridge", undefined, 403, "bridge is a pre-defined network and cannot be removed"],
    ["DELETE", "/networks/used", undefined, 403, "has active endpoints"],
    ["POST", "/networks/create", { Name: "bridge" }, 403, "operation is not permitted on predefined bridge network"],
    ["POST", "/networks/create", { Name: "used", CheckDuplicate: true }, 409, "network with name used already exists"],
    ["POST", "/networks/nosuch/connect", connect("user"), 404, "network nosuch not found"],
    ["POST", "/networks/used/connect", connect("nosuch"), 404, "No such container: nosuch"],
    ["POST", "/networks/used/connect", connect("user"), 403, "endpoint with name user already exists in network used"],
    [
      "POST",
      "/networks/free/connect",
      connect("user", "10.99.0.1"),
      400,
      "user specified IP address is supported only when connecting to networks with user configured subnets",
    ],
    ["POST", "/networks/nosuch/disconnect", connect("user"), 404, "network nosuch not found"],
    ["POST", "/networks/used/disconnect", connect("nosuch"), 404, "No such container: nosuch"],
    ["POST", "/networks/used/disconnect", { ...connect("nosuch"), Force: true }, 404, "endpoint nosuch not found"],
  ] as [string, string, object | undefined, number, string][])(
    "%s %s %j is %d, as with dockerd",
    async (method, path, json, status, says) => {
      const [ours, theirs] = [await tsd(method, `/v1.41${path}`, json), await docker(method, `/v1.41${path}`, json)];
      expect([ours.status, theirs.status]).toEqual([status, status]);
      expect(ours.body.message).toContain(says);
    },
  );

  test("that dockerd has no status for but its own fault have one", async () => {
    const outside = await tsd("POST", "/networks/used/connect", connect("lonely", "10.80.0.9"));
    expect(outside).toMatchObject({ status: 400, body: { message: expect.stringContaining("private (none) mode") } });
    const absent = await tsd("POST", "/networks/free/disconnect", connect("user"));
    expect(absent).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining("is not connected to network") },
    });
    expect((await tsd("GET", '/networks?filters={"type":["odd"]}')).status).toBe(400);
    // dockerd looks for such a plugin for some seconds.
    expect((await tsd("POST", "/networks/create", { Name: "x", Driver: "nosuch" })).status).toBe(404);
    expect((await tsd("POST", "/networks/host/connect", connect("user"))).status).toBe(400);
    expect((await tsd("GET", "/networks/used?scope=swarm")).status).toBe(404);
    expect((await tsd("GET", "/networks/used?verbose=very")).status).toBe(400);
  });
});

test("a container that runs leaves none and comes on other networks, as with dockerd", async () => {
  await both("network", "create", "--ipv6=false", "--subnet", "10.84.0.0/24", "later");
  await both("run", "-d", "--name", "lonely", "--network", "none", "-p", "127.0.0.1:8084:80", "IMAGE", "sleep", "100");
  const shown = async () => {
    const format = "{{json .NetworkSettings.Ports}}{{range $name, $_ := .NetworkSettings.Networks}} {{$name}}{{end}}";
    const interfaces = await both("exec", "lonely", "ls", "/sys/class/net");
    const [ours, theirs] = await both("inspect", "-f", format, "lonely");
    expect([ours, interfaces[0]]).toEqual([theirs, interfaces[1]]);
    return `${ours.trim()} ${interfaces[0].trim().split("\n").join(" ")}`;
  };
  const published = '{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8084"}]}';
  expect(await shown()).toBe("{} none lo");
  await both("network", "disconnect", "none", "lonely");
  expect(await shown()).toBe("{} lo");
  await both("network", "connect", "none", "lonely");
  expect(await shown()).toBe("{} none lo");
  await both("network", "disconnect", "none", "lonely");
  await both("network", "connect", "later", "lonely");
  expect(await shown()).toBe(`${published} later eth0 lo`);
  await both("stop", "-t", "0", "lonely");
  await both("start", "lonely");
  expect(await shown()).toBe(`${published} later eth0 lo`);
  await both("rm", "-f", "lonely");
  await both("network", "rm", "later");
});

test("docker inspect NAME finds a network, and its filters show which nobody uses", async () => {
  await scene.ok("network", "create", "--label", "proof=1", "idle");
  await scene.ok("network", "create", "--label", "proof=2", "busy");
  const id = await scene.ok("run", "-d", "--name", "holder", "--network", "busy", scene.image, "sleep", "100");
  expect(await scene.ok("inspect", "--format", "{{.Name}} {{.Driver}}", "idle")).toBe("idle bridge");
  const listed = (...filters: string[]) =>
    scene.ok("network", "ls", "--format", "{{.Name}}", ...filters.flatMap((filter) => ["--filter", filter]));
  expect(await listed("label=proof", "dangling=true")).toBe("idle");
  expect(await listed("label=proof", "dangling=false")).toBe("busy");
  expect(await listed("type=custom", "name=bus")).toBe("busy");
  expect(await scene.ok("ps", "-q", "--no-trunc", "--filter", "network=busy")).toBe(id);
  expect(await scene.ok("ps", "-q", "--filter", "network=idle")).toBe("");
  expect(await scene.ok("network", "prune", "-f", "--filter", "label=proof=2")).toBe("");
  expect(await scene.ok("network", "prune", "-f")).toBe("Deleted Networks:\nidle\n");
  await scene.ok("stop", "-t", "0", "holder");
  // At once, without waiting for the container's place to be cleared.
  await scene.ok("network", "rm", "busy");
  const start = await scene.docker(["start", "holder"]);
  expect(start.status).toBe(1);
  expect(start.stderr).toMatch(/failed to set up container networking: network [0-9a-f]{64} not found/);
  await scene.ok("network", "disconnect", "-f", "busy", "holder");
  await scene.ok("start", "holder");
  expect(await scene.ok("exec", "holder", "ls", "/sys/class/net")).toBe("lo");
  await scene.ok("rm", "-f", "holder");
});

test("a network's addresses are counted since 1.52, and its containers listed until 1.27", async () => {
  await scene.ok("network", "create", "--subnet", "10.81.0.0/24", "--subnet", "fd00:81::/64", "counted");
  const id = await scene.ok("run", "-d", "--name", "one", "--network", "counted", scene.image, "sleep", "100");
  const seen = (await tsd("GET", "/v1.52/networks/counted")).body as never as Counted;
  const { "10.81.0.0/24": ipv4, "fd00:81::/64": ipv6 } = seen.Status!.IPAM.Subnets;
  // The subnet's own address, the gateway, the broadcast address and the container have four.
  expect(ipv4).toEqual({ IPsInUse: 4, DynamicIPsAvailable: 252 });
  expect(ipv6!.DynamicIPsAvailable).toBeGreaterThan(2 ** 63);
  expect((await tsd("GET", "/v1.51/networks/counted")).body).not.toHaveProperty("Status");
  const summary = async (version: string) => {
    const list = (await tsd("GET", `${version}/networks?filters={"name":["counted"]}`)).body;
    return (list as never as Record<string, unknown>[])[0]!;
  };
  expect(Object.keys((await summary("/v1.27")).Containers as object)).toEqual([id]);
  expect((await summary("/v1.28")).Containers).toEqual({});
  expect(await summary("/v1.52")).not.toHaveProperty("Containers");
  await scene.ok("rm", "-f", "one");
  await scene.ok("network", "rm", "counted");
});

interface Counted {
  Status?: { IPAM: { Subnets: Record<string, { IPsInUse: number; DynamicIPsAvailable: number }> } };
}

test("a container made with several networks has them all, and its default route by priority", async () => {
  for (const [name, subnet] of [
    ["low", "10.82.0.0/24"],
    ["high", "10.83.0.0/24"],
  ] as const) {
    await scene.ok("network", "create", "--ipv6=false", "--subnet", subnet, name);
  }
  const EndpointsConfig = { low: { MacAddress: "02:00:00:00:00:05" }, high: { GwPriority: 7, Aliases: ["web"] } };
  const request = { Image: scene.image, Cmd: ["sleep", "100"], NetworkingConfig: { EndpointsConfig } };
  const old = await tsd("POST", "/v1.43/containers/create", { ...request, HostConfig: { NetworkMode: "low" } });
  expect(old.status).toBe(400);
  const made = await tsd("POST", "/v1.48/containers/create?name=several", {
    ...request,
    HostConfig: { NetworkMode: "low" },
  });
  expect(made.status).toBe(201);
  await scene.ok("start", "several");
  expect(
    await scene.ok("exec", "several", "sh", "-c", "ip route | grep default; cat /sys/class/net/*/address"),
  ).toMatch(/^default via 10\.83\.0\.1 .*\n(.*\n)*02:00:00:00:00:05/);
  expect(
    await scene.ok("inspect", "--format", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}", "several"),
  ).toBe("high low ");
  await scene.ok("rm", "-f", "several");
  await scene.ok("network", "rm", "low", "high");
});

test("what happens to networks is told as docker tells it", async () => {
  const since = new Date().toISOString();
  const flags = ["--since", since, "--filter", "type=network", "--format", "{{.Action}} {{json .Actor.Attributes}}"];
  await using events = scene.live("events", ...flags);
  const { Id } = (await tsd("POST", "/networks/create", { Name: "told" })).body as { Id: string };
  const container = await scene.ok("run", "-d", "--name", "teller", "--network", "told", scene.image, "sleep", "100");
  await scene.ok("network", "connect", "bridge", "teller");
  await scene.ok("network", "disconnect", "told", "teller");
  await scene.ok("rm", "-f", "teller");
  await scene.ok("network", "rm", Id);
  const told = (action: string, name: string, who = {}) =>
    `${action} ${JSON.stringify({ ...who, name, type: "bridge" })}`;
  for (const line of [
    told("create", "told"),
    told("connect", "told", { container }),
    told("connect", "bridge", { container }),
    told("disconnect", "told", { container }),
    told("disconnect", "bridge", { container }),
    told("destroy", "told"),
  ]) {
    await events.shows(line);
  }
});

test("legacy links tell of the other container by lines of /etc/hosts and by variables, as with dockerd", async () => {
  await both("run", "-d", "--name", "store", "-e", "KEY=value", "--expose", "5432", "IMAGE", "sleep", "100");
  // tsd has one line for each family.
  const script = "grep -w db /etc/hosts | cut -f 2 | uniq; env | grep ^DB_ | sed 's/172[.0-9]*/ADDRESS/' | sort";
  const [ours, theirs] = await both(
    "run",
    "--rm",
    "--name",
    "linked",
    "--link",
    "store:db",
    "IMAGE",
    "sh",
    "-c",
    script,
  );
  expect(ours.replace(/\b[0-9a-f]{12}\b/, "SHORT")).toBe(theirs.replace(/\b[0-9a-f]{12}\b/, "SHORT"));
  expect(ours).toContain("DB_PORT_5432_TCP=tcp://ADDRESS:5432\n");
  await both("rm", "-f", "store");
});
