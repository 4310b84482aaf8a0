import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import type { Fd } from "../fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../namespace.ts";
import { AF_INET, addAddress, deleteAddress, listAddresses } from "./address.ts";
import { createBridge, createVeth, deleteLink, findLink, listLinks, macBytes, macText, setLink } from "./link.ts";
import { Attributes, NLM_F_ACK } from "./message.ts";
import { listNeighbours } from "./neighbour.ts";
import { addRoute, deleteRoute, listRoutes } from "./route.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "./socket.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const ip = (text: string): Uint8Array => Uint8Array.from(text.split("."), Number);

describe("rtnetlink requests", () => {
  // What `ip addr add`, `ip route add` and `ip link set mtu` send, seen with strace -e write=all.
  test("for an address are ip's, byte for byte", () => {
    const message = addAddress({
      interfaceIndex: 2,
      address: ip("172.28.0.1"),
      prefixLength: 16,
      broadcast: ip("172.28.255.255"),
    });
    const sent = hex(message.finish(1, NLM_F_ACK));
    expect(sent).toStartWith("30000000" + "14000506" + "01000000" + "00000000" + "02100000" + "02000000");
    const attributes = new Attributes(Buffer.from(sent, "hex"), 24);
    expect(attributes.entries.map(({ type, value }) => `${type} ${hex(value)}`).sort()).toEqual([
      "1 ac1c0001",
      "2 ac1c0001",
      "4 ac1cffff",
    ]);
  });

  test("for a default route are ip's, byte for byte", () => {
    const message = addRoute({ gateway: ip("172.28.0.9") });
    expect(hex(message.finish(0x6b010c8d, NLM_F_ACK))).toBe(
      "24000000" +
        "18000506" +
        "8d0c016b" +
        "00000000" +
        "02000000" +
        "fe030001" +
        "00000000" +
        "08000500" +
        "ac1c0009",
    );
  });

  test("for an MTU are ip's, byte for byte", () => {
    expect(hex(setLink(2, { mtu: 1400 }).finish(0x6b010c8d, NLM_F_ACK))).toBe(
      "28000000" +
        "10000500" +
        "8d0c016b" +
        "00000000" +
        "00000000" +
        "02000000" +
        "0000000000000000" +
        "0800040078050000",
    );
  });

  test("for a veth name both ends and the namespace of the far one", () => {
    const message = createVeth({
      name: "veth0",
      mtu: 1400,
      master: 5,
      peer: { name: "eth0", address: "02:42:ac:1c:00:02", namespaceFd: 9 },
    });
    const body = message.finish(1).subarray(16);
    // struct ifinfomsg: no flag, and none to change.
    expect(hex(body.subarray(0, 16))).toBe("00".repeat(16));
    const outer = new Attributes(body, 16);
    expect(outer.string(3)).toBe("veth0");
    expect(outer.u32(4)).toBe(1400);
    expect(outer.u32(10)).toBe(5);
    const peer = outer.nested(18)!.nested(2)!.bytes(1)!;
    expect(hex(peer.subarray(0, 16))).toBe("00".repeat(16));
    const inner = new Attributes(peer, 16);
    expect([inner.string(3), inner.u32(4), hex(inner.bytes(1)!), inner.u32(28)]).toEqual([
      "eth0",
      1400,
      "0242ac1c0002",
      9,
    ]);
  });

  test("read and write MAC addresses", () => {
    expect(macText(macBytes("02:42:AC:11:00:02"))).toBe("02:42:ac:11:00:02");
    for (const bad of ["", "02:42", "02:42:ac:11:00:0g", "02-42-ac-11-00-02"]) {
      expect(() => macBytes(bad)).toThrow("no MAC address");
    }
  });
});

describe.skipIf(process.getuid?.() !== 0)("rtnetlink in a namespace of its own", () => {
  let here: Fd;
  let far: Fd;
  let route: NetlinkSocket;
  let farRoute: NetlinkSocket;

  beforeAll(() => {
    here = createNetworkNamespace();
    far = createNetworkNamespace();
    route = inNetworkNamespace(here, () => new NetlinkSocket(NETLINK_ROUTE));
    farRoute = inNetworkNamespace(far, () => new NetlinkSocket(NETLINK_ROUTE));
  });
  afterAll(() => {
    for (const resource of [route, farRoute, here, far]) resource.close();
  });

  /** What iproute2 sees there. */
  function iproute(namespace: Fd, ...args: string[]): Record<string, unknown>[] {
    const result = inNetworkNamespace(namespace, () => spawnSync("ip", ["-j", "-d", ...args], { encoding: "utf8" }));
    if (result.status !== 0) throw new Error(result.stderr);
    return JSON.parse(result.stdout || "[]");
  }

  test("a bridge, a veth into another namespace, addresses and routes are what ip shows", () => {
    route.execute(createBridge({ name: "br0", address: "02:42:00:00:00:01", mtu: 1400 }));
    const bridge = findLink(route, "br0")!;
    route.execute(
      setLink(bridge.index, { up: true, alias: "of a test" }),
      addAddress({
        interfaceIndex: bridge.index,
        address: ip("10.77.0.1"),
        prefixLength: 24,
        broadcast: ip("10.77.0.255"),
      }),
    );
    route.execute(
      createVeth({
        name: "veth0",
        mtu: 1400,
        master: bridge.index,
        peer: { name: "eth0", address: "02:42:0a:4d:00:02", namespaceFd: far.number },
      }),
      // By its name, before its number is known.
      setLink(0, { up: true }, "veth0"),
    );
    const eth0 = findLink(farRoute, "eth0")!;
    farRoute.execute(
      setLink(1, { up: true }),
      setLink(eth0.index, { up: true }),
      addAddress({
        interfaceIndex: eth0.index,
        address: ip("10.77.0.2"),
        prefixLength: 24,
        broadcast: ip("10.77.0.255"),
      }),
      addRoute({ gateway: ip("10.77.0.1") }),
    );

    const [shown] = iproute(here, "link", "show", "dev", "br0");
    expect(shown).toMatchObject({ mtu: 1400, address: "02:42:00:00:00:01", ifalias: "of a test" });
    expect(shown).toMatchObject({ linkinfo: { info_kind: "bridge", info_data: { forward_delay: 0 } } });
    expect(iproute(here, "link", "show", "dev", "veth0")[0]).toMatchObject({
      master: "br0",
      mtu: 1400,
      operstate: "UP",
    });
    expect(iproute(far, "link", "show", "dev", "eth0")[0]).toMatchObject({ address: "02:42:0a:4d:00:02", mtu: 1400 });
    expect(iproute(far, "-4", "addr", "show", "dev", "eth0")[0]).toMatchObject({
      addr_info: [{ local: "10.77.0.2", prefixlen: 24, broadcast: "10.77.0.255", scope: "global" }],
    });
    expect(iproute(far, "route", "show", "default")[0]).toMatchObject({ gateway: "10.77.0.1", dev: "eth0" });

    expect(bridge).toMatchObject({ kind: "bridge", mtu: 1400, up: false });
    expect(findLink(route, "br0")).toMatchObject({ up: true, alias: "of a test" });
    expect(listLinks(route).find((link) => link.name === "veth0")).toMatchObject({
      master: bridge.index,
      kind: "veth",
      peerIndex: eth0.index,
      peerNamespaceId: expect.any(Number),
    });
    const addresses = listAddresses(farRoute).filter((entry) => entry.interfaceIndex === eth0.index);
    expect(addresses.some(({ address, prefixLength }) => hex(address) === "0a4d0002" && prefixLength === 24)).toBe(
      true,
    );
    const main = listRoutes(farRoute, AF_INET).filter((entry) => entry.table === 254);
    expect(main).toContainEqual(
      expect.objectContaining({ prefixLength: 0, interfaceIndex: eth0.index, type: "unicast" }),
    );
    expect(main).toContainEqual(expect.objectContaining({ prefixLength: 24, destination: ip("10.77.0.0") }));
  });

  test("neighbours are listed with their state", () => {
    iproute(here, "neigh", "add", "10.77.0.9", "lladdr", "02:42:0a:4d:00:09", "dev", "br0");
    expect(listNeighbours(route, AF_INET)).toContainEqual({
      interfaceIndex: findLink(route, "br0")!.index,
      address: ip("10.77.0.9"),
      hardwareAddress: "02:42:0a:4d:00:09",
      state: "permanent",
    });
  });

  test("routes and addresses go away again, and going twice is refused by name", () => {
    const eth0 = findLink(farRoute, "eth0")!;
    const entry = { interfaceIndex: eth0.index, address: ip("10.77.0.2"), prefixLength: 24 };
    farRoute.execute(deleteRoute({ gateway: ip("10.77.0.1") }), deleteAddress(entry));
    expect(() => farRoute.execute(deleteRoute({ gateway: ip("10.77.0.1") }))).toThrow(
      "RTM_DELROUTE default via 10.77.0.1: ESRCH (no such process)",
    );
    expect(() => farRoute.execute(deleteAddress(entry))).toThrow("RTM_DELADDR 10.77.0.2/24 on interface");
    expect(listRoutes(farRoute, AF_INET).filter((found) => found.table === 254)).toEqual([]);
  });

  test("of several requests the first that is refused is the error, and the kernel's words are in it", () => {
    const { index } = findLink(route, "br0")!;
    expect(() => route.execute(setLink(index, { mtu: 1300 }), setLink(index, { mtu: 70_000 }, "br0"))).toThrow(
      "RTM_NEWLINK br0: EINVAL (invalid argument): mtu greater than device maximum",
    );
    expect(findLink(route, "br0")?.mtu).toBe(1300);
    expect(() => route.execute(createBridge({ name: "br0", address: "02:42:00:00:00:02", mtu: 1500 }))).toThrow(
      "RTM_NEWLINK br0: EEXIST (file exists)",
    );
    expect(() => route.execute(addRoute({ gateway: ip("192.0.2.77") }))).toThrow(
      "RTM_NEWROUTE default via 192.0.2.77: ENETUNREACH (network is unreachable): Nexthop has invalid gateway",
    );
  });

  test("a link that is not there is undefined, and deleting it is ENODEV", () => {
    expect(findLink(route, "none0")).toBeUndefined();
    expect(() => route.execute(deleteLink("none0"))).toThrow("RTM_DELLINK none0: ENODEV (no such device)");
  });

  test("a dump longer than one buffer is whole", () => {
    for (let i = 0; i < 100; i++)
      route.execute(createBridge({ name: `b${i}`, address: "02:42:00:00:00:03", mtu: 1500 }));
    expect(listLinks(route).filter((link) => /^b\d+$/.test(link.name)).length).toBe(100);
  });

  test("the links of a namespace die with it", async () => {
    farRoute.close();
    far.close();
    const deadline = Date.now() + 5_000;
    while (findLink(route, "veth0") !== undefined && Date.now() < deadline) await Bun.sleep(5);
    expect(findLink(route, "veth0")).toBeUndefined();
  });
});
