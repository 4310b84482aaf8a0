/** Networks on a bridge of the host's that is there already, with other machines plugged into it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createNetworkNamespace } from "../../ffi/namespace.ts";
import { Place, probe } from "./probe.ts";
import { hostAddresses, NetworkScene, outsideAddresses, tellingPort } from "./scene.ts";

const bridge = "br0";
/** The host's own on it. */
const address = "10.44.0.7";
const machines: Place[] = [];

let scene: NetworkScene;
beforeAll(async () => {
  scene = await NetworkScene.open({ flags: ["--bridge", "br1", "--fixed-cidr", "10.45.0.128/25"] });
  await scene.onHost(
    "sh",
    "-ec",
    `ip link add ${bridge} type bridge; ip link add br1 type bridge
    ip addr add ${address}/24 dev ${bridge}; ip addr add 10.45.0.7/24 dev br1; ip link set ${bridge} up`,
  );
  for (const number of [1, 2]) {
    const machine = new Place(`machine${number}`, createNetworkNamespace());
    machines.push(machine);
    const file = `/proc/${process.pid}/fd/${machine.namespace.number}`;
    await scene.onHost("ip", "link", "add", `plug${number}`, "type", "veth", "peer", "name", "eth0", "netns", file);
    await scene.onHost("ip", "link", "set", `plug${number}`, "master", bridge, "up");
    await scene.within(machine, "sh", "-ec", `ip addr add 10.44.0.${number}/24 dev eth0; ip link set eth0 up`);
  }
});
afterAll(async () => {
  await scene.onHost("sh", "-ec", "ip link del plug1; ip link del plug2; ip link del br0; ip link del br1");
  for (const machine of machines) machine[Symbol.dispose]();
  await scene[Symbol.asyncDispose]();
});

/** What the administrator sees of the bridge: its addresses and ports, its names and MAC address. */
async function state(device: string): Promise<unknown> {
  const addresses = await scene.onHost("ip", "-j", "addr", "show", "dev", device);
  const [{ addr_info, address: mac, altnames = [], ifalias }] = JSON.parse(addresses);
  const ports = JSON.parse(await scene.onHost("ip", "-j", "link", "show", "master", device)) as { ifname: string }[];
  const own = (addr_info as { local: string; prefixlen: number; scope: string }[])
    .filter(({ scope }) => scope === "global")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  return { own, mac, altnames, ifalias, ports: ports.map(({ ifname }) => ifname).sort() };
}

describe("a network on a bridge that is there", () => {
  let before: unknown;
  beforeAll(async () => {
    before = await state(bridge);
    const options = ["--subnet", "10.44.0.0/24", "--ip-range", "10.44.0.128/25", "--subnet", "fd00:44::/64"];
    await scene.ok("network", "create", "-o", `com.docker.network.bridge.name=${bridge}`, ...options, "lan");
  });

  test("puts containers on the link of the machines that are plugged into it, with the host as their gateway", async () => {
    const web = await scene.sleeper("web", "--network", "lan", "-p", "8044:4242");
    const { ipv4 } = await scene.addressesOf("web", "lan");
    expect(ipv4).toBe("10.44.0.128");
    scene.tell(web, { ipv4, ipv6: "" });
    // Neither asks the host, and no address is translated.
    expect(await Promise.all(machines.map((machine) => probe(machine, "tcp", ipv4, tellingPort)))).toEqual([
      "10.44.0.1",
      "10.44.0.2",
    ]);
    scene.tell(machines[0]!, { ipv4: "10.44.0.1", ipv6: "" });
    expect(await probe(web, "udp", "10.44.0.1", tellingPort)).toBe(ipv4);
    expect(await probe(scene.host, "tcp", ipv4, tellingPort)).toBe(address);
    expect(await scene.gatewaysOf("lan")).toEqual({ ipv4: address, ipv6: "fd00:44::1" });
  });

  test("has the rules of any other: elsewhere is reached by the host's address, and reaches published ports alone", async () => {
    const web = await scene.placeOf("web");
    scene.tell(scene.outside, { ipv4: outsideAddresses.ipv4, ipv6: "" });
    expect(await probe(web, "tcp", outsideAddresses.ipv4, tellingPort)).toBe(hostAddresses.ipv4);
    expect(await probe(scene.outside, "tcp", hostAddresses.ipv4, 8044)).toBe(outsideAddresses.ipv4);
    expect(await probe(scene.outside, "tcp", "10.44.0.128", tellingPort, 300)).toBeUndefined();
    await scene.ok("network", "create", "other");
    const other = await scene.sleeper("elsewhere", "--network", "other");
    expect(await probe(other, "tcp", "10.44.0.128", tellingPort, 300)).toBeUndefined();
    await scene.ok("rm", "-f", "elsewhere");
    await scene.ok("network", "rm", "other");
  });

  test("goes on with its containers after SIGKILL of the daemon, and the bridge is as it was when it is removed", async () => {
    await scene.engine.daemon.stop("SIGKILL");
    await scene.engine.daemon.start();
    expect(await probe(machines[1]!, "tcp", "10.44.0.128", tellingPort)).toBe("10.44.0.2");
    expect(await probe(scene.outside, "tcp", hostAddresses.ipv4, 8044)).toBe(outsideAddresses.ipv4);
    await scene.ok("rm", "-f", "web");
    await scene.ok("network", "rm", "lan");
    expect(await state(bridge)).toEqual(before);
    expect(await scene.onHost("nft", "list", "ruleset")).not.toContain(bridge);
  });

  test("is refused on what is no bridge, or another network's, and the other keeps it", async () => {
    const on = (device: string, name: string) =>
      scene.tsd("network", "create", "-o", `com.docker.network.bridge.name=${device}`, name);
    expect((await on(bridge, "lan")).status).toBe(0);
    const second = await on(bridge, "second");
    expect(second.stderr).toContain("conflicts with network lan (br0)");
    const uplink = await on("eth1", "second");
    expect(uplink.stderr).toContain("interface eth1 is there already, and is no bridge (veth)");
    expect([second.status, uplink.status]).toEqual([1, 1]);
    expect(await scene.ok("network", "ls", "--format", "{{.Name}}")).toBe("bridge\nhost\nlan\nnone");
    await scene.ok("network", "rm", "lan");
    expect(await state(bridge)).toEqual(before);
  });
});

test("the daemon's --bridge has the address and the subnet of one that is there, and leaves it when it ends", async () => {
  const before = await state("br1");
  const { engine } = scene;
  const shown = await engine.sh([], "ip -4 -o addr show eth0 | awk '{print $4}'; ip route | head -n 1");
  expect(shown).toBe("10.45.0.128/24\ndefault via 10.45.0.7 dev eth0 ");
  const template = "{{range .IPAM.Config}}{{.Subnet}} {{.IPRange}} {{.Gateway}}{{end}}";
  expect(await scene.ok("network", "inspect", "--format", template, "bridge")).toBe(
    "10.45.0.0/24 10.45.0.128/25 10.45.0.7",
  );
  await engine.daemon.stop();
  expect(await state("br1")).toEqual(before);
  await engine.daemon.start();
});
