/**
 * tsd's `network` commands and the unmodified docker client's ask one daemon for the same, print the same of what it
 * answers, and end with the same status.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Step, withoutIds } from "./both-clients.ts";
import { NetworkScene } from "./network-scene.ts";

let scene: NetworkScene;
beforeAll(async () => {
  scene = await NetworkScene.open();
}, 60_000);
afterAll(() => scene?.close());

const networkFormats = [
  "json",
  "raw",
  "table",
  "{{json .}}",
  "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}\\t{{.IPv4}}\\t{{.IPv6}}\\t{{.Internal}}\\t{{.Labels}}\\t{{.CreatedAt}}",
  '{{.Name}}: {{.Label "team.colour-code"}}',
  'table {{.Label "team.colour-code"}}',
];

const looks: string[][] = [
  ["network", "ls"],
  ["network", "list"],
  ["network", "ls", "-q"],
  ["network", "ls", "--no-trunc"],
  ["network", "ls", "-q", "--no-trunc"],
  ...networkFormats.flatMap((format) => [
    ["network", "ls", "--format", format],
    ["network", "ls", "-q", "--format", format],
  ]),
  ...[
    "driver=bridge",
    "driver=host",
    "name=fr",
    "label=team.colour-code",
    "label=team.colour-code=blue",
    "type=builtin",
    "type=custom",
  ].map((filter) => ["network", "ls", "-f", filter]),
  ["network", "ls", "-f", "scope=local", "-f", "dangling=true"],
  ["network", "ls", "-f", "name=absent", "-q"],
  ["network", "inspect", "front"],
  ["network", "inspect", "-v", "back", "none", "host"],
  ["network", "inspect", "front", "absent", "-f", "{{.Name}} {{.ID}}"],
  ["network", "inspect", "front", "-f", "{{.Name}} {{.Id}}"],
  ["network", "inspect", "-f", "{{.IPAM.Config}} {{.Options}} {{.Labels}} {{.Containers}}", "front"],
  ["network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.IPv6Address}}{{end}}", "front"],
  ["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{end}}{{.Created}}", "front"],
  ["network", "inspect", "-f", "json", "back"],
  ["network", "inspect", "absent", "-f", "{{.Name}}"],
  ["inspect", "front"],
  ["inspect", "--type", "network", "-f", "{{.ID}}", "front"],
  ["inspect", "-f", "{{json .NetworkSettings.Networks}} {{.ID}}", "peer"],
  ["ps", "-a", "--format", "{{.Names}} {{.Networks}} {{.Ports}}"],
  ["ps", "-a", "--filter", "network=front", "--format", "{{.Names}}"],
  ["ps", "-q", "--filter", "network=back"],
  ["network", "rm"],
  ["network", "create"],
  ["network", "connect", "front"],
  ["network", "ls", "front"],
  ["network", "ls", "-f", "driver"],
  ["network", "ls", "-f", "colour=red"],
  ["network", "inspect", "absent"],
  ["inspect", "--type", "network", "absent"],
];

describe("both print the same of", () => {
  test.each(looks.map((args) => ({ args })))("$args", async ({ args }) => {
    const { requests } = await scene.expectSame(args);
    expect(requests).toEqual([]);
  });
});

const removeNew: Step = ["DELETE", "/networks/new"];
const make = (Name: string, rest: object = {}): Step => ["POST", "/networks/create", { Name, ...rest }];
const created = { status: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/), stderr: "" };
const silent = { status: 0, stdout: "", stderr: "" };

describe("both make the same network by", () => {
  test.each(
    [
      [],
      ["--subnet", "10.78.0.0/24", "--gateway", "10.78.0.254", "--ip-range", "10.78.0.128/25"],
      ["--subnet", "10.78.0.0/24", "--aux-address", "printer=10.78.0.5", "--aux-address", "router=10.78.0.6"],
      ["--subnet", "10.78.0.0/24,fd78::/64", "--gateway", "fd78::1", "--ipv6"],
      ["--ipv4=false", "--ipv6", "--subnet", "fd78::/64"],
      ["--ipv6=false"],
      ["--internal", "--attachable", "--label", "a=b", "--label", "c"],
      ["-d", "bridge", "-o", "com.docker.network.bridge.name=new0", "--opt", "com.docker.network.driver.mtu=1400"],
      ["--ipam-driver", "default", "--scope", "local"],
      ["--config-only", "--subnet", "10.78.0.0/24"],
    ].map((flags) => ({ flags })),
  )("$flags", async ({ flags }) => {
    const { requests, ...result } = await scene.expectSame(["network", "create", ...flags, "new"], {
      undo: [removeNew],
    });
    expect(result).toEqual(created);
    expect(requests.length).toBe(1);
  });

  test("--config-from", async () => {
    await scene.request(...make("shape", { ConfigOnly: true, IPAM: { Config: [{ Subnet: "10.78.0.0/24" }] } }));
    const args = ["network", "create", "--config-from", "shape", "new"];
    expect(await scene.expectSame(args, { undo: [removeNew] })).toMatchObject(created);
    await scene.request("DELETE", "/networks/shape");
  });
});

describe("both find a network by", () => {
  test("its id, and a beginning of it that is unique", async () => {
    const id = await scene.docker.ok("network", "inspect", "-f", "{{.Id}}", "front");
    for (const reference of [id, id.slice(0, 12)]) {
      const { stdout } = await scene.expectSame(["network", "inspect", "-f", "{{.Name}}", reference]);
      expect(stdout).toBe("front\n");
      expect((await scene.expectSame(["network", "rm", reference])).stderr).toContain("has active endpoints");
    }
  });

  test("no beginning that two have", async () => {
    const made: string[] = [];
    const twice = async () => {
      const ids = (await scene.docker.ok("network", "ls", "-q")).split("\n").sort();
      return ids.find((id, at) => id[0] === ids[at + 1]?.[0])?.[0];
    };
    let digit = await twice();
    for (; digit === undefined; digit = await twice()) {
      made.push(`one${made.length}`);
      await scene.request(...make(made.at(-1)!, { ConfigOnly: true }));
    }
    for (const verb of ["inspect", "rm"]) {
      const { status, stderr } = await scene.expectSame(["network", verb, digit]);
      expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining("ambiguous") });
    }
    for (const name of made) await scene.request("DELETE", `/networks/${name}`);
  });
});

describe("both change the same by", () => {
  test("network connect and disconnect", async () => {
    await scene.running("box", []);
    const Container = "box";
    for (const flags of [
      [],
      ["--alias", "a", "--alias", "b,c"],
      ["--ip", "10.77.0.50", "--ip6", "fd77::50"],
      ["--link-local-ip", "169.254.7.7"],
      ["--gw-priority", "-5", "--driver-opt", "com.docker.network.endpoint.ifname=other0"],
      ["--link", "peer:friend"],
    ]) {
      const undo: Step[] = [["POST", "/networks/front/disconnect", { Container }]];
      expect(await scene.expectSame(["network", "connect", ...flags, "front", "box"], { undo })).toMatchObject(silent);
    }
    const undo: Step[] = [["POST", "/networks/front/connect", { Container }]];
    await scene.request(...undo[0]!);
    for (const flags of [[], ["-f"]]) {
      const args = ["network", "disconnect", ...flags, "front", "box"];
      expect(await scene.expectSame(args, { undo })).toMatchObject(silent);
    }
    await scene.docker.ok("rm", "-f", "box");
  });

  test("network rm of several, with what is not there and what is in use among them", async () => {
    const undo = [make("new"), make("new2")];
    for (const step of undo) await scene.request(...step);
    const { stderr, ...result } = await scene.expectSame(["network", "rm", "new", "absent", "front", "new2"], { undo });
    expect(result).toMatchObject({ status: 1, stdout: "new\nnew2\n" });
    expect(stderr).toContain("network absent not found");
    expect(stderr).toMatch(/error while removing network: network front .*has active endpoints/);
    const forced = await scene.expectSame(["network", "remove", "-f", "new", "absent", "new2"], { undo });
    expect(forced).toMatchObject({ status: 0, stdout: "new\nnew2\n", stderr: "" });
    await scene.docker.ok("network", "rm", "new", "new2");
  });

  test("network prune, asked and not, with filters", async () => {
    const undo = [make("back", { Internal: true }), make("new", { Labels: { gone: "yes" } })];
    await scene.request(...undo[1]!);
    for (const stdin of ["n\n", "yes\n", ""]) {
      expect((await scene.expectSame(["network", "prune"], { stdin })).requests).toEqual([]);
    }
    const { stdout } = await scene.expectSame(["network", "prune"], { stdin: "y\n", undo });
    expect(stdout).toEndWith("Deleted Networks:\nback\nnew\n\n");
    expect((await scene.expectSame(["network", "prune", "-f", "--filter", "label=other"])).stdout).toBe("");
    const filters = ["--filter", "label!=other", "--filter", "until=0s", "--filter", "label=gone"];
    const some = await scene.expectSame(["network", "prune", "-f", ...filters], { undo: undo.slice(1) });
    expect(some.stdout).toBe("Deleted Networks:\nnew\n\n");
    await scene.docker.ok("network", "rm", "new");
  });

  test("system prune, of which tsd has no build cache to ask for", async () => {
    const { image } = scene.docker;
    const idle: Step = ["POST", "/containers/create?name=idle", { Image: image, HostConfig: { NetworkMode: "front" } }];
    const undo = [make("back", { Internal: true }), make("new"), idle];
    await scene.request(...undo[1]!);
    const [docker, own] = await scene.both(["system", "prune", "-f", "--filter", "label!=other"], { undo });
    expect(docker).toMatchObject({ status: 0, stderr: "" });
    expect(withoutIds(own.stdout)).toBe(withoutIds(docker.stdout));
    expect(own.stdout).toContain("\n\nDeleted Networks:\nback\nnew\n\n");
    await scene.docker.ok("network", "rm", "new");
  });
});

test("both tell the same events of networks", async () => {
  const [format, now] = ["{{.Type}} {{.Action}} {{.Actor.Attributes.name}}", () => (Date.now() / 1000).toFixed(3)];
  const since = now();
  await scene.running("box", ["--network", "front"]);
  await scene.request(...make("new"));
  await scene.docker.ok("network", "connect", "new", "box");
  await scene.docker.ok("network", "disconnect", "new", "box");
  await scene.request(...removeNew);
  await scene.docker.ok("rm", "-f", "box");
  const times = ["--since", since, "--until", now()];
  const { stdout } = await scene.expectSame(["events", ...times, "--filter", "type=network", "--format", format]);
  expect(stdout.trim().split("\n")).toEqual([
    "network connect front",
    "network create new",
    "network connect new",
    "network disconnect new",
    "network destroy new",
    "network disconnect front",
  ]);
  const some = await scene.expectSame(["events", ...times, "--filter", "network=new"]);
  expect(some.stdout.trim().split("\n").length).toBe(4);
  await scene.expectSame(["events", ...times, "--filter", "event=connect", "--format", "json"]);
});

/** What people get wrong, and what docker's daemon and command line say to it. */
const mistakes: { args: string[]; says: string | RegExp }[] = [
  { args: ["network", "create", "front"], says: "network with name front already exists" },
  { args: ["network", "create", "bridge"], says: "operation is not permitted on predefined bridge network" },
  { args: ["network", "create", "-d", "warp", "new"], says: /warp/ },
  { args: ["network", "create", "--subnet", "bad", "new"], says: "invalid subnet bad: invalid CIDR block notation" },
  { args: ["network", "create", "--subnet", "10.78.0.5/24", "new"], says: "it should be 10.78.0.0/24" },
  { args: ["network", "create", "--subnet", "10.77.0.0/16", "new"], says: /overlap.*front|front.*overlap/ },
  {
    args: ["network", "create", "--gateway", "10.78.0.1", "new"],
    says: "every ip-range or gateway must have a corresponding subnet",
  },
  {
    args: ["network", "create", "--subnet", "10.78.0.0/24", "--gateway", "10.79.0.1", "new"],
    says: "no matching subnet for gateway 10.79.0.1",
  },
  {
    args: ["network", "create", "--subnet", "10.78.0.0/24", "--aux-address", "a=1.2.3.4", "new"],
    says: "no matching subnet for aux-address 1.2.3.4",
  },
  { args: ["network", "create", "--ipv4=false", "--ipv6=false", "new"], says: /IPv4 or IPv6 must be enabled/ },
  { args: ["network", "create", "--ipv4=zz", "new"], says: "strconv.ParseBool" },
  { args: ["network", "create", "-o", "com.docker.network.driver.mtu=big", "new"], says: /big/ },
  { args: ["network", "create", "-d", "macvlan", "-o", "parent=absent0", "new"], says: "absent0" },
  { args: ["network", "create", "-d", "macvlan", "-o", "macvlan_mode=warp", "new"], says: "warp" },
  { args: ["network", "create", "-d", "ipvlan", "-o", "ipvlan_mode=l4", "new"], says: "l4" },
  { args: ["network", "create", "a b"], says: /a b/ },
  { args: ["network", "create", ""], says: /name/ },
  { args: ["network", "create", "--label", "a b", "new"], says: "label 'a b' contains whitespaces" },
  { args: ["network", "create", "--config-from", "absent", "new"], says: /absent/ },
  { args: ["network", "create", "--ingress", "new"], says: /swarm/ },
  { args: ["network", "rm", "absent"], says: "network absent not found" },
  { args: ["network", "rm", "bridge"], says: "bridge is a pre-defined network and cannot be removed" },
  { args: ["network", "rm", "front"], says: /error while removing network: network front .*has active endpoints/ },
  { args: ["network", "connect", "absent", "peer"], says: "network absent not found" },
  { args: ["network", "connect", "front", "absent"], says: "No such container: absent" },
  { args: ["network", "connect", "front", "peer"], says: /endpoint with name peer already exists in network front/ },
  { args: ["network", "connect", "none", "peer"], says: /none/ },
  { args: ["network", "connect", "host", "peer"], says: /host/ },
  { args: ["network", "connect", "--alias", "a", "bridge", "peer"], says: /alias/ },
  {
    args: ["network", "connect", "--ip", "172.17.0.9", "bridge", "peer"],
    says: "user specified IP address is supported on user defined networks only",
  },
  {
    args: ["network", "connect", "--ip", "172.31.0.9", "back", "peer"],
    says: "user specified IP address is supported only when connecting to networks with user configured subnets",
  },
  { args: ["network", "connect", "--link", "a:b:c", "back", "peer"], says: "bad format for links: a:b:c" },
  {
    args: ["network", "connect", "--driver-opt", "x", "back", "peer"],
    says: "invalid key/value pair format in driver options",
  },
  { args: ["network", "disconnect", "back", "peer"], says: /peer|is not connected/ },
  { args: ["network", "disconnect", "front", "absent"], says: "No such container: absent" },
];

describe("both are refused alike", () => {
  test.each(mistakes)("$args", async ({ args, says }) => {
    const { status, stderr } = await scene.expectSame(args);
    expect({ status, stderr }).toEqual({ status: expect.any(Number), stderr: expect.stringMatching(says) });
    expect(status).not.toBe(0);
  });

  test("and nothing is left of what was refused", async () => {
    const names = await scene.docker.ok("network", "ls", "--format", "{{.Name}}");
    expect(names.split("\n")).toEqual(["back", "bridge", "front", "host", "none"]);
    expect((await scene.docker.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").sort()).toEqual(["idle", "peer"]);
  });
});
