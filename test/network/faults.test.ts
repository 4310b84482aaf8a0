/** What cannot be is refused with a reason that names the object, and leaves the host as it was. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { expectSameInventory, takeSettledInventory } from "./inventory.ts";
import { hostAddresses, NetworkScene } from "./scene.ts";

/** The words of a command, and what its error says of the object and the reason. */
type Refusal = [words: string, ...says: string[]];

let scene: NetworkScene;
beforeAll(async () => {
  scene = await NetworkScene.open();
  await scene.onHost("ip", "route", "add", "10.77.0.0/16", "dev", "eth1");
  await scene.ok("network", "create", "taken", "--subnet", "172.30.0.0/16", "--ipv6", "--subnet", "fd00:30::/64");
  await scene.ok("network", "create", "chosen");
  await scene.ok("network", "create", "tiny", "--subnet", "172.31.255.0/30", "--ipv6=false");
  await scene.sleeper("first", "--network", "taken", "--ip", "172.30.0.9", "--ip6", "fd00:30::9", "-p", "8080:80");
  await scene.sleeper("only", "--network", "tiny");
  await scene.ok("create", "--name", "inhost", "--network", "host", scene.engine.busybox);
  // The spare namespace, and what tells names, are there from now on.
  await scene.ok("run", "--rm", scene.engine.busybox, "true");
});
afterAll(() => scene[Symbol.asyncDispose]());

/** Each is tried; nothing may be left of any. @throws Error with all that were not refused as they have to be. */
async function expectAllRefused(
  prefix: readonly string[],
  refusals: readonly Refusal[],
  suffix: readonly string[],
  status: number,
) {
  const before = await takeSettledInventory(scene.engine);
  const problems: string[] = [];
  for (const [words, ...says] of refusals) {
    const args = [...prefix, ...words.split(" ").filter(Boolean), ...suffix];
    const result = await scene.tsd(...args);
    const missing = says.filter((text) => !result.stderr.includes(text));
    if (missing.length === 0 && result.status === status && result.stdout === "") continue;
    const told = `${result.stdout}${result.stderr}`;
    problems.push(
      `${args.join(" ")}: status ${result.status}, without ${missing.join(" and ") || "any word"}: ${told}`,
    );
  }
  expect(problems).toEqual([]);
  await expectSameInventory(scene.engine, before);
}

describe("a network is refused, and nothing is made,", () => {
  test.each<[string, Refusal[]]>([
    [
      "whose addresses somebody else has",
      [
        ["--subnet 172.30.128.0/17", "172.30.128.0/17", "network taken"],
        ["--subnet fd00:30::/48 --ipv6", "fd00:30::/48", "network taken"],
        ["--subnet 192.0.2.0/25", "192.0.2.0/25", "eth0"],
        ["--subnet 10.77.3.0/24", "10.77.3.0/24", "10.77.0.0/16", "eth1"],
        ["--subnet 2001:db8::/80 --ipv6", "2001:db8::/80", "eth0"],
        ["--subnet 10.50.0.0/24 --subnet 10.50.0.128/25", "overlapping subnet"],
      ],
    ],
    [
      "whose addresses are none",
      [
        ["--subnet 10.50.0.0/33", "10.50.0.0/33"],
        ["--subnet 10.50.0.7/24", "10.50.0.7/24", "10.50.0.0/24"],
        ["--subnet nonsense", "nonsense"],
        ["--subnet 10.50.0.0/24 --gateway 10.51.0.1", "gateway 10.51.0.1"],
        ["--subnet 10.50.0.0/24 --gateway 10.50.0.0", "10.50.0.0"],
        ["--subnet 10.50.0.0/24 --ip-range 10.51.0.0/25", "10.51.0.0/25"],
        ["--subnet 10.50.0.0/24 --aux-address router=10.51.0.1", "aux-address 10.51.0.1"],
        ["--subnet 10.50.0.0/24 --gateway 10.50.0.1 --aux-address router=10.50.0.1", "router"],
        ["--gateway 10.50.0.1", "subnet"],
      ],
    ],
    [
      "whose driver or options there are not",
      [
        ["--driver nonsense", "nonsense"],
        ["--driver host", "host"],
        ["--driver macvlan --opt parent=nope0", "nope0"],
        ["--driver macvlan --opt parent=eth1 --opt macvlan_mode=nonsense", "nonsense"],
        ["--driver ipvlan --opt parent=nope0", "nope0"],
        ["--driver ipvlan --opt parent=eth1 --opt ipvlan_mode=nonsense", "nonsense"],
        ["--driver macvlan --opt parent=eth1.5000", "vlan id", "5000"],
        ["--opt com.docker.network.bridge.name=eth0", "eth0"],
        ["--opt com.docker.network.bridge.name=name-that-is-too-long", "name-that-is-too-long"],
        ["--opt com.docker.network.bridge.enable_icc=nonsense", "nonsense"],
        ["--opt com.docker.network.driver.mtu=nonsense", "nonsense"],
        ["--config-from nobody", "nobody"],
      ],
    ],
  ])("%s", async (_, refusals) => {
    await expectAllRefused(["network", "create"], refusals, ["refused"], 1);
  });

  test("whose name is taken, or none", async () => {
    const refusals: Refusal[] = [
      ["taken", "network with name taken already exists"],
      ["bridge", "predefined bridge network"],
      ["host", "predefined host network"],
      ["none", "predefined none network"],
      ["-x/y", "x/y"],
      ["café", "café"],
    ];
    await expectAllRefused(["network", "create", "--"], refusals, [], 1);
  });
});

test("a network is not removed that is in use, built in, or not there", async () => {
  const refusals: Refusal[] = [
    ["taken", "taken", "first"],
    ["bridge", "bridge"],
    ["none", "none"],
    ["nobody", "network nobody not found"],
  ];
  await expectAllRefused(["network", "rm"], refusals, [], 1);
});

describe("a container is not started, and nothing of it is left,", () => {
  test("whose network or address is not to be had", async () => {
    const refusals: Refusal[] = [
      ["--network nobody", "network nobody not found"],
      ["--network taken --ip 10.9.9.9", "10.9.9.9", "taken"],
      ["--network taken --ip nonsense", "nonsense"],
      ["--network taken --ip 172.30.0.9", "network taken: address 172.30.0.9 is already in use by container first"],
      ["--network taken --ip6 fd00:30::9", "network taken: address fd00:30::9 is already in use by container first"],
      ["--network taken --mac-address 02:42:ac:1e:00:09", "MAC address 02:42:ac:1e:00:09", "container first"],
      ["--network taken --ip 172.30.0.1", "172.30.0.1", "its gateway"],
      ["--network taken --ip 172.30.0.0", "172.30.0.0"],
      ["--network taken --ip 172.30.255.255", "172.30.255.255"],
      ["--network taken --ip6 fd00:31::9", "fd00:31::9"],
      ["--network chosen --ip 172.18.0.9", "user configured subnets"],
      ["--network bridge --ip 172.17.0.9", "user defined networks only"],
      ["--network tiny", "tiny", "172.31.255.0/30"],
      ["--network taken --mac-address nonsense", "nonsense"],
      ["--network taken --mac-address 01:00:5e:00:00:01", "01:00:5e:00:00:01"],
      ["--network host --ip 10.9.9.9", "user"],
      ["--network none --network taken", "conflicting options"],
    ];
    await expectAllRefused(["run", "--rm"], refusals, [scene.engine.busybox, "true"], 125);
  });

  test("whose ports are busy: whoever has them is named", async () => {
    using _tcp = listen("127.0.0.1", 9090);
    using _any = listen("0.0.0.0", 9091);
    const bun = `pid ${process.pid}`;
    const refusals: Refusal[] = [
      ["-p 8080:80", "8080", "first"],
      ["-p 127.0.0.1:8080:80", "127.0.0.1:8080", "first"],
      ["-p [::1]:8080:80", "8080", "first"],
      [`-p ${hostAddresses.ipv4}:8080:80`, "8080", "first"],
      ["-p target=80,published=8080,mode=socket", "8080", "first"],
      ["-p 7000:70 -p 8080:80", "8080", "first"],
      ["-p 8080-8080:80", "8080", "first"],
      ["-p 127.0.0.1:9090:80", "127.0.0.1:9090", bun],
      ["-p 9090:80", "9090", bun],
      ["-p 9091:80", "9091", bun],
      ["-p 127.0.0.1:9091:80", "9091", bun],
      ["-p target=80,published=9091,mode=socket", "9091", bun],
    ];
    await expectAllRefused(["run", "--rm"], refusals, [scene.engine.busybox, "true"], 125);
  });

  test("whose ports are none, or on an address that the host has not", async () => {
    const refusals: Refusal[] = [
      ["-p 70000:80", "70000"],
      ["-p 80:80/nonsense", "nonsense"],
      ["-p nonsense:80", "nonsense"],
      ["-p 90-80:80", "90-80"],
      ["-p 7000-7002:80-81", "7000-7002"],
      ["-p 203.0.113.99:7000:80", "203.0.113.99"],
      ["-p [2001:db8:99::1]:7000:80", "2001:db8:99::1"],
      ["-p target=80,mode=nonsense", "nonsense"],
      ["--annotation tsd.publish=nonsense -p 7000:80", "nonsense"],
    ];
    await expectAllRefused(["run", "--rm"], refusals, [scene.engine.busybox, "true"], 125);
  });
});

test("a container is not put on a network, or taken off it, where that cannot be", async () => {
  const connects: Refusal[] = [
    ["taken first", "first", "taken"],
    ["host first", "host"],
    ["none first", "none"],
    ["nobody first", "network nobody not found"],
    ["taken nobody", "No such container: nobody"],
    ["taken inhost", "host"],
    ["--ip 172.30.0.9 taken only", "172.30.0.9"],
    ["--ip 10.9.9.9 taken only", "10.9.9.9"],
    ["tiny first", "tiny"],
  ];
  await expectAllRefused(["network", "connect"], connects, [], 1);
  const disconnects: Refusal[] = [
    ["chosen first", "is not connected to network chosen"],
    ["nobody first", "network nobody not found"],
    ["taken nobody", "No such container: nobody"],
  ];
  await expectAllRefused(["network", "disconnect"], disconnects, [], 1);
});

test("the second container on a passthru macvlan is refused, and the first goes on", async () => {
  await scene.ok("network", "create", "-d", "macvlan", "-o", "parent=eth3", "-o", "macvlan_mode=passthru", "through");
  await scene.sleeper("through1", "--network", "through");
  await expectAllRefused(["run", "--rm"], [["--network through", "eth3"]], [scene.engine.busybox, "true"], 125);
  await scene.ok("exec", "through1", "ip", "link", "show", "eth0");
  await scene.ok("rm", "-f", "through1");
  await scene.ok("network", "rm", "through");
});

test("a netlink refusal undoes what was made before it: a bridge whose name is taken meanwhile", async () => {
  await scene.ok("network", "create", "-o", "com.docker.network.bridge.name=late0", "late");
  await scene.onHost("ip", "link", "del", "late0");
  await scene.onHost("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1");
  try {
    await expectAllRefused(["run", "--rm"], [["--network late", "late0"]], [scene.engine.busybox, "true"], 125);
  } finally {
    await scene.onHost("ip", "link", "del", "late0");
  }
  await scene.ok("run", "--rm", "--network", "late", scene.engine.busybox, "true");
  await scene.ok("network", "rm", "late");
});

function listen(hostname: string, port: number): Disposable {
  const server = scene.host.run(() => Bun.listen({ hostname, port, socket: { data: () => undefined } }));
  return { [Symbol.dispose]: () => server.stop(true) };
}
