/** The flags of networks and ports: what docker's `run` and tsd's ask one daemon for, and how both are refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Step } from "./both-clients.ts";
import { NetworkScene } from "./network-scene.ts";

let scene: NetworkScene;
beforeAll(async () => {
  scene = await NetworkScene.open();
}, 60_000);
afterAll(() => scene?.close());

const front = ["--network", "front"];
const bothNetworks = ["--network", "front", "--network", "back"];
const longForm =
  "name=front,alias=a,alias=B,ip=10.77.0.60,ip6=fd77::60,mac-address=02:42:0a:4d:00:60,link-local-ip=169.254.9.9," +
  "driver-opt=com.docker.network.endpoint.ifname=other0,gw-priority=5";

const runs: string[][] = [
  [],
  ["--network", "bridge"],
  ["--net", "none"],
  ["--network", "host"],
  ["--network", "container:peer"],
  front,
  ["--network", "name=front"],
  bothNetworks,
  [...bothNetworks, "--ip", "10.77.0.61", "--network-alias", "a", "--link", "peer:friend"],
  ["--network", longForm],
  ["--network", longForm, "--network", "name=back,alias=behind,gw-priority=9"],
  [...front, "--network-alias", "a", "--net-alias", "b"],
  [...front, "--ip", "10.77.0.60", "--ip6", "fd77::60", "--mac-address", "02:42:0a:4d:00:60"],
  [...front, "--link-local-ip", "169.254.9.9", "--link-local-ip", "fe80::99"],
  [...front, "--link", "peer", "--link", "peer:friend"],
  ["--mac-address", "02:42:ac:11:00:60"],
  ["--dns", "10.9.8.7", "--dns-search", "example.test.", "--dns-option", "ndots:3", "--add-host", "name=[fd77::5]"],
  [...front, "--dns", "127.0.0.53", "--add-host", "gate:host-gateway"],
  ["--expose", "80", "--expose", "8000-8002/udp"],
];

describe("docker and tsd ask for the same container with", () => {
  test.each(runs.map((flags) => ({ flags })))("$flags", async ({ flags }) => {
    const undo: Step[] = [["DELETE", "/containers/box?force=1"]];
    const { stderr, ...result } = await scene.expectSame(["create", "--name", "box", ...flags, "IMAGE", "true"], {
      undo,
    });
    expect(result).toMatchObject({ status: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) });
    expect(stderr.replace(/^WARNING: Localhost DNS.*\n/, "")).toBe("");
  });

  test("all of them in run, which starts it", async () => {
    const undo: Step[] = [["DELETE", "/containers/box?force=1"]];
    for (const flags of [
      [...bothNetworks, "--ip", "10.77.0.61", "--network-alias", "a", "--link", "peer:friend"],
      ["--network", longForm, "--network", "name=back,alias=behind,gw-priority=9", "--expose", "90"],
    ]) {
      const args = ["run", "-d", "--name", "box", ...flags, "IMAGE", "sleep", "1000"];
      expect(await scene.expectSame(args, { undo })).toMatchObject({ status: 0, stderr: "" });
    }
  });
});

test.each(["1.24", "1.41", "1.43", "1.44", "1.47", "1.49", "1.50"])(
  "docker is served by version %s of the API as by the newest",
  async (version) => {
    const docker = async (...args: string[]) => {
      const { status, stdout, stderr } = await scene.docker.docker(args, { env: { DOCKER_API_VERSION: version } });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      return stdout.trim();
    };
    await docker("network", "create", "--subnet", "10.78.0.0/24", "--label", "a=b", "new");
    const shown = "{{.Name}} {{.Driver}} {{(index .IPAM.Config 0).Gateway}} {{.Labels}} {{len .Containers}}";
    // docker's own client refuses --mac-address of a network below 1.44; this is the one that the address brings.
    const mac = Number(version.slice(2)) < 44 ? [] : ["--mac-address", "02:42:0a:4d:00:3c"];
    const fixed = ["--ip", "10.77.0.60", ...mac, "--network-alias", "a"];
    const { image } = scene.docker;
    // Not by run, which waits by events below 1.30, and complains of its own end.
    await docker("create", "--name", "box", "--network", "front", ...fixed, image, "sleep", "1000");
    await docker("start", "box");
    await docker("network", "connect", "--ip", "10.78.0.60", "--alias", "b", "new", "box");
    expect(await docker("network", "inspect", "-f", shown, "new")).toBe("new bridge 10.78.0.1 map[a:b] 1");
    expect(await docker("network", "ls", "-f", "label=a=b", "--format", "{{.Name}} {{.Scope}}")).toBe("new local");
    const endpoint = "{{.IPAddress}} {{.IPPrefixLen}} {{.MacAddress}} {{index .Aliases 0}} ";
    const settings = `{{with .NetworkSettings.Networks}}{{with .front}}${endpoint}{{end}}{{with .new}}${endpoint}{{end}}{{end}}`;
    expect(await docker("inspect", "-f", settings, "box")).toMatch(
      /^10\.77\.0\.60 24 02:42:0a:4d:00:3c a 10\.78\.0\.60 24 [0-9a-f:]{17} b$/,
    );
    expect(await docker("ps", "--filter", "network=new", "--format", "{{.Names}}")).toBe("box");
    await docker("network", "disconnect", "new", "box");
    expect(await docker("network", "rm", "new")).toBe("new");
    await docker("rm", "-f", "box");
  },
);

/** What people get wrong, and what docker says to it. */
const mistakes: { flags: string[]; says: string | RegExp }[] = [
  { flags: ["--network", "absent"], says: "network absent not found" },
  { flags: ["--network", "front", "--network", "absent"], says: "network absent not found" },
  { flags: ["--network-alias", "a"], says: "network-scoped aliases are only supported for user-defined networks" },
  { flags: ["--ip", "172.17.0.9"], says: "user specified IP address is supported on user defined networks only" },
  {
    flags: ["--network", "back", "--ip", "172.31.0.9"],
    says: "user specified IP address is supported only when connecting to networks with user configured subnets",
  },
  { flags: ["--network", "front", "--ip", "10.99.0.9"], says: /10\.99\.0\.9/ },
  { flags: ["--network", "front", "--ip", "10.77.0.9"], says: /10\.77\.0\.9/ },
  { flags: ["--network", "front", "--ip", "zz"], says: /zz/ },
  { flags: ["--network", "front", "--ip6", "10.77.0.60"], says: /10\.77\.0\.60/ },
  { flags: ["--network", "front", "--mac-address", "zz"], says: "zz is not a valid mac address" },
  {
    flags: ["--network", "front", "--network", "bridge"],
    says: "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
  },
  { flags: ["--network", "front", "--network", "front"], says: 'network "front" is specified multiple times' },
  { flags: ["--network", "name=front,colour=red"], says: "invalid field key colour" },
  { flags: ["--network", "alias=a"], says: "network name/id is not specified" },
  {
    flags: ["--network", "name=front,alias=a", "--network-alias", "b"],
    says: "conflicting options: cannot specify both --network-alias and per-network alias",
  },
  { flags: ["--network", "container:absent"], says: "No such container: absent" },
  {
    flags: ["--network", "container:peer", "--link", "peer:x"],
    says: /conflicting options: container type network can't be used with links/,
  },
  {
    flags: ["--network", "host", "--link", "peer:x"],
    says: /conflicting options: host type networking can't be used with links/,
  },
  { flags: ["--link", "absent:x"], says: /absent/ },
  { flags: ["--link", "a:b:c"], says: "bad format for links: a:b:c" },
  { flags: ["-p", "abc"], says: "invalid containerPort: abc" },
  { flags: ["-p", "1.2.3.4:80"], says: "invalid hostPort: 1.2.3.4" },
  { flags: ["-p", "70000:80"], says: "invalid hostPort: 70000" },
  { flags: ["-p", "80:80/warp"], says: "invalid proto: warp" },
  {
    flags: ["-p", "8000-8010:80-81"],
    says: "invalid ranges specified for container and host Ports: 80-81 and 8000-8010",
  },
  {
    flags: ["--expose", "90-80"],
    says: "invalid range format for --expose: 90-80, error: invalid range specified for port: 90-80",
  },
  { flags: ["--dns", "zz"], says: "IP address is not correctly formatted: zz" },
  { flags: ["--dns-search", "foo_bar"], says: "foo_bar is not a valid domain" },
  { flags: ["--add-host", "name"], says: 'bad format for add-host: "name"' },
];

describe("both are refused alike", () => {
  test.each(mistakes)("$flags", async ({ flags, says }) => {
    const { status, stderr } = await scene.expectSame(["run", "--rm", "--name", "box", ...flags, "IMAGE", "true"], {
      undo: [],
    });
    expect({ status, stderr }).toEqual({ status: 125, stderr: expect.stringMatching(says) });
  });

  test("and nothing is left of what was refused", async () => {
    expect((await scene.docker.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").sort()).toEqual(["idle", "peer"]);
  });
});
