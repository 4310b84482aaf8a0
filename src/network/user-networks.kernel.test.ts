import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import { open as openFile } from "../../ffi/files.ts";
import { newId } from "../core/id.ts";
import type { Networks } from "./networks.ts";
import { interfaces, Rig } from "./rig.ts";
import { ask, hostAddress, ip, outsideAddress, run, serve, within } from "./testbed.ts";
import { attach, endpointRequest, networkRequest, networksRequest } from "./testing.ts";

const root = process.getuid?.() === 0;
const option = (name: string): string => `com.docker.network.bridge.${name}`;

describe.skipIf(!root)("networks that users make", () => {
  let networks: Networks;
  const rig = new Rig(() => {
    networks = rig.make();
  });

  const create = async (name: string, more: Parameters<typeof networkRequest>[1] = {}) =>
    (await networks.create(networkRequest(name, more))).network;
  const addressesIn = (path: string, name = "eth0"): string[] =>
    within(path, () =>
      (ip("addr", "show", "dev", name)[0]!.addr_info as { local: string; prefixlen: number }[]).map(
        ({ local, prefixlen }) => `${local}/${prefixlen}`,
      ),
    );
  const defaults = (path: string): string[] =>
    within(path, () =>
      [...ip("route", "show", "default"), ...ip("-6", "route", "show", "default")].map(
        (route) => `${route.gateway} ${route.dev}`,
      ),
    );
  const restart = async (live: ReadonlyMap<string, { namespacePath: string }>): Promise<void> => {
    await networks.close();
    networks = rig.make();
    await networks.restore(live);
  };
  /** What is left in the database of containers' places. */
  const counts = (): number[] => rig.rows("network_sandbox", "network_endpoint", "network_address");

  test("are there at once, with a bridge of their own and addresses of both families, and go without a trace", async () => {
    const network = await create("shop", { labels: { tier: "front" } });
    const [v4, v6] = network.subnets;
    expect(network).toMatchObject({
      name: "shop",
      driver: "bridge",
      device: `tsd-${network.id.slice(0, 11)}`,
      labels: { tier: "front" },
      enableIpv4: true,
      enableIpv6: true,
    });
    expect(v4!.subnet).toMatch(/^172\.28\.0\.0\/16$/);
    expect(v6!.subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f:]+\/64$/);
    const [bridge] = ip("addr", "show", "dev", network.device!);
    const own = bridge!.addr_info as { local: string }[];
    expect(own.map(({ local }) => local)).toEqual(expect.arrayContaining([v4!.gateway, v6!.gateway]));
    expect(readFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "utf8").trim()).toBe("1");
    for (const reference of ["shop", network.id, network.id.slice(0, 12)]) {
      expect(networks.find(reference)).toEqual(network);
    }
    await networks.remove(network.id);
    expect(interfaces()).toEqual([]);
    expect(run("nft", "list", "ruleset")).toBe("");
    expect(() => networks.find("shop")).toThrow("network shop not found");
    expect(rig.database.query("SELECT count(*) AS n FROM network_subnet").get()).toEqual({ n: 0 });
  });

  test("let containers reach each other, the host and the outside by both families", async () => {
    within(rig.bed.outside, () => run("ip", "addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad"));
    run("ip", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad");
    run("ip", "-6", "route", "add", "default", "via", "2001:db8::1");
    await create("shop");
    const [a, b] = [await attach(networks, newId(), "shop"), await attach(networks, newId(), "shop")];
    expect(addressesIn(a.namespacePath)).toEqual([
      "172.28.0.2/16",
      `${a.ipv6}/64`,
      expect.stringMatching(/^fe80::.*\/64$/),
    ]);
    expect(defaults(a.namespacePath)).toEqual([`${a.ipv4Gateway} eth0`, `${a.ipv6Gateway} eth0`]);
    using _inside = serve(b.namespacePath, 8001, "::");
    using _host = serve(rig.bed.host, 8002, "::");
    using _outside = serve(rig.bed.outside, 8003, "::");
    expect(await ask(a.namespacePath, b.ipv4!, 8001)).toEndWith(a.ipv4!);
    expect(await ask(a.namespacePath, b.ipv6!, 8001)).toBe(a.ipv6!);
    expect(await ask(a.namespacePath, a.ipv6Gateway!, 8002)).toBe(a.ipv6!);
    expect(await ask(rig.bed.host, b.ipv6!, 8001)).toBe(a.ipv6Gateway!);
    expect(await ask(a.namespacePath, outsideAddress, 8003)).toEndWith(hostAddress);
    // NAT66: the outside has no route to a unique local address.
    expect(await ask(a.namespacePath, "2001:db8::1", 8003)).toBe("2001:db8::2");
  });

  test("of one family have nothing of the other", async () => {
    await create("four", { enableIpv6: false });
    await create("six", { enableIpv4: false });
    const [four, six] = [await attach(networks, newId(), "four"), await attach(networks, newId(), "six")];
    expect([four.ipv6, six.ipv4]).toEqual([undefined, undefined]);
    expect(addressesIn(four.namespacePath)).toEqual([`${four.ipv4}/16`]);
    expect(addressesIn(six.namespacePath)).toEqual([`${six.ipv6}/64`, expect.stringMatching(/^fe80::/)]);
    expect(ip("-6", "addr", "show", "dev", networks.find("four").device!)).toEqual([]);
    await expect(attach(networks, newId(), "four", { ipv6: "fd00::9" })).rejects.toThrow("it has no IPv6");
  });

  test("give a fixed address to the next container as soon as its last has left", async () => {
    await create("again", { subnets: [{ subnet: "10.9.8.0/24" }, { subnet: "fd00:9:8::/64" }] });
    await create("before", {});
    const id = networks.find("again").id;
    for (const fixed of [{ ipv4: "10.9.8.77" }, { ipv6: "fd00:9:8::77" }]) {
      for (let round = 0; round < 5; round++) {
        const container = newId();
        await attach(networks, container, "again", fixed);
        await networks.detach(container);
      }
      const container = newId();
      await attach(networks, container, "before");
      await networks.connect(container, endpointRequest(id, fixed));
      await networks.detach(container);
    }
    await networks.settled();
    expect(networks.status(id)[0]).toMatchObject({ available: 253n });
  });

  test("give an address without the flows of whoever had it before", async () => {
    const { id } = await create("again", { subnets: [{ subnet: "10.9.8.0/24" }] });
    await create("before", {});
    const fixed = { ipv4: "10.9.8.77" };
    const flows = () =>
      run("cat", "/proc/thread-self/net/nf_conntrack")
        .split("\n")
        .filter((line) => line.includes("src=10.9.8.77"));
    using _outside = serve(rig.bed.outside, 8003);
    const talk = async (container: string): Promise<void> => {
      const { namespacePath } = networks.sandbox(container)!;
      expect(await ask(namespacePath!, outsideAddress, 8003)).toBe(hostAddress);
      expect(flows().length).toBe(1);
    };
    const first = newId();
    await attach(networks, first, "again", fixed);
    await talk(first);
    await networks.detach(first);
    // At once, and in the background.
    const second = newId();
    await attach(networks, second, "again", fixed);
    expect(flows()).toEqual([]);
    await talk(second);
    await networks.detach(second);
    await networks.settled();
    expect(flows()).toEqual([]);
    const third = newId();
    await attach(networks, third, "before");
    await networks.connect(third, endpointRequest(id, { ...fixed, gatewayPriority: 1 }));
    await talk(third);
    await networks.disconnect(third, id);
    await networks.settled();
    expect(flows()).toEqual([]);
    // A daemon that was killed had no time for it: the next one does it.
    await networks.connect(third, endpointRequest(id, { ...fixed, gatewayPriority: 1 }));
    await talk(third);
    await restart(new Map());
    await networks.settled();
    expect(flows()).toEqual([]);
  });

  test("give fixed addresses, MAC and link-local ones, sysctls and interface names as they are asked for", async () => {
    await create("fixed", {
      subnets: [{ subnet: "10.9.0.0/24", ipRange: "10.9.0.128/25", gateway: "10.9.0.254" }, { subnet: "fd00:9::/64" }],
      options: { "com.docker.network.container_iface_prefix": "net", "com.docker.network.driver.mtu": "1400" },
    });
    const first = await attach(networks, newId(), "fixed", {
      ipv4: "10.9.0.77",
      ipv6: "fd00:9::77",
      mac: "02:00:00:00:00:77",
      linkLocal: ["169.254.7.7", "fe80::77"],
      driverOptions: { "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1" },
    });
    expect(addressesIn(first.namespacePath, "net0").sort()).toEqual(
      ["10.9.0.77/24", "169.254.7.7/16", "fd00:9::77/64", "fe80::77/64", "fe80::ff:fe00:77/64"].sort(),
    );
    within(first.namespacePath, () => {
      expect(ip("link", "show", "dev", "net0")[0]).toMatchObject({ address: "02:00:00:00:00:77", mtu: 1400 });
      expect(readFileSync("/proc/sys/net/ipv4/conf/net0/log_martians", "utf8").trim()).toBe("1");
    });
    const named = { "com.docker.network.endpoint.ifname": "wan" };
    const second = await attach(networks, newId(), "fixed", { driverOptions: named });
    // The range's own first address is one like the others.
    expect([second.interface, second.ipv4]).toEqual(["wan", "10.9.0.128"]);
    const wrong: [Parameters<typeof attach>[3], string][] = [
      [{ ipv4: "10.9.0.77" }, "network fixed: address 10.9.0.77 is already in use by container test"],
      [{ ipv4: "10.9.0.254" }, "network fixed: address 10.9.0.254 is already in use: it is its gateway"],
      [
        { mac: "02:00:00:00:00:77" },
        "network fixed: MAC address 02:00:00:00:00:77 is already in use by container test",
      ],
      [{ ipv4: "10.9.0.255" }, "is not one that subnet 10.9.0.0/24 has to give"],
      [{ ipv4: "10.8.0.1" }, "no configured subnet contains IP address 10.8.0.1"],
      [{ ipv6: "fd00:9:0::77" }, "network fixed: address fd00:9::77 is already in use by container test"],
      [{ ipv4: "fd00:9::78" }, "invalid IPv4 address: fd00:9::78"],
      [{ linkLocal: ["x"] }, '"x" is not an IP address'],
      [{ driverOptions: { "com.docker.network.endpoint.ifname": "a b" } }, "is no name for an interface"],
      [{ driverOptions: { "com.docker.network.endpoint.sysctls": "kernel.x=1" } }, "the form is net.ipv4.conf.IFNAME"],
      [
        { driverOptions: { "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.nonsense=1" } },
        "sysctl net/ipv4/conf/net0/nonsense=1",
      ],
    ];
    const before = counts();
    for (const [more, message] of wrong) {
      await expect(attach(networks, newId(), "fixed", more)).rejects.toThrow(message);
    }
    await networks.settled();
    expect(counts()).toEqual(before);
    expect(networks.status(first.networkId)[0]).toMatchObject({ available: 125n });
  });

  test("give a MAC address that belongs to another address to whoever asks for it, and to nobody beside", async () => {
    const { networkId } = await attach(networks, newId());
    const inUse = () => networks.status(networkId)[0]!.inUse;
    // Beside it and the three that nobody is given, there is a spare with the next address and the MAC address of that.
    while (inUse() < 5n) await Bun.sleep(5);
    const asked = newId();
    expect((await attach(networks, asked, "bridge", { mac: "02:42:AC:1C:00:03" })).mac).toBe("02:42:ac:1c:00:03");
    expect(inUse()).toBe(5n);
    // The turn of the address whose MAC address somebody asks for comes with the next container.
    const other = newId();
    expect((await attach(networks, other, "bridge", { mac: "02:42:ac:1c:00:06" })).ipv4).toBe("172.28.0.5");
    const next = await attach(networks, newId());
    expect(next.ipv4).toBe("172.28.0.6");
    expect(next.mac).toMatch(/^02:(?!42:ac:1c:00:06)/);
    // One that has just left does not keep it.
    await networks.detach(other);
    expect((await attach(networks, newId(), "bridge", { mac: "02:42:ac:1c:00:06" })).mac).toBe("02:42:ac:1c:00:06");
  });

  test("refuse what cannot be, and leave nothing of it", async () => {
    await create("first", { subnets: [{ subnet: "10.9.0.0/24" }] });
    const before = interfaces();
    const wrong: [string, Parameters<typeof networkRequest>[1], string][] = [
      ["first", {}, "network with name first already exists"],
      ["second", { subnets: [{ subnet: "10.9.0.128/25" }] }, "overlaps with network first (10.9.0.0/24)"],
      ["second", { subnets: [{ subnet: "192.0.2.0/25" }] }, "overlaps with address 192.0.2.2/24 of eth0"],
      ["second", { options: { [option("enable_icc")]: "perhaps" } }, '"perhaps" is not true or false'],
      ["second", { options: { [option("gateway_mode_ipv4")]: "isolated" } }, '"isolated" is not one of nat, routed'],
      ["second", { options: { "com.docker.network.driver.mtu": "9" } }, '"9" is not a number of bytes'],
      ["second", { options: { [option("name")]: "eth0" } }, "interface eth0 is there already"],
      ["second", { options: { [option("name")]: "much-too-long-a-name" } }, "is no name for an interface"],
      ["second", { options: { "com.docker.network.container_iface_prefix": "a/b" } }, "container_iface_prefix"],
    ];
    for (const [name, more, message] of wrong) await expect(create(name, more)).rejects.toThrow(message);
    expect(interfaces()).toEqual(before);
    expect(networks.list().map(({ name }) => name)).toEqual(["bridge", "host", "none", "first"]);
    expect(run("nft", "list", "tables").trim().split("\n").length).toBe(1);
  });

  test("are not removed while a container is on them, nor those that are always there", async () => {
    const network = await create("shop");
    const id = newId();
    const { endpointId } = await attach(networks, id, "shop", { names: ["web", "w"] });
    await expect(networks.remove(network.id)).rejects.toMatchObject({
      code: "forbidden",
      message: `error while removing network: network shop id ${network.id} has active endpoints (name:"web" id:"${endpointId.slice(0, 12)}")`,
    });
    for (const name of ["bridge", "host", "none"]) {
      await expect(networks.remove(networks.find(name).id)).rejects.toMatchObject({
        code: "forbidden",
        message: `${name} is a pre-defined network and cannot be removed`,
      });
    }
    await networks.detach(id);
    // What is being taken down is waited for.
    await networks.remove(network.id);
    expect(interfaces()).toEqual([]);
  });

  test("take a container that runs on and off: the next free interface, addresses, and the way out", async () => {
    await create("alpha", { subnets: [{ subnet: "10.1.0.0/24" }, { subnet: "fd00:1::/64" }] });
    await create("beta", { subnets: [{ subnet: "10.2.0.0/24" }, { subnet: "fd00:2::/64" }] });
    await create("gamma", { subnets: [{ subnet: "10.3.0.0/24" }, { subnet: "fd00:3::/64" }] });
    const id = newId();
    const { namespacePath } = await attach(networks, id, "beta");
    expect(defaults(namespacePath)).toEqual(["10.2.0.1 eth0", "fd00:2::1 eth0"]);
    // Of those with the same priority the first by name leads out.
    const both = await networks.connect(id, endpointRequest(networks.find("alpha").id, { ipv4: "10.1.0.9" }));
    expect(both.endpoints.map((each) => [each.networkName, each.interface, each.ipv4])).toEqual([
      ["beta", "eth0", "10.2.0.2"],
      ["alpha", "eth1", "10.1.0.9"],
    ]);
    expect(networks.sandbox(id)).toEqual(both);
    expect(defaults(namespacePath)).toEqual(["10.1.0.1 eth1", "fd00:1::1 eth1"]);
    await networks.connect(id, endpointRequest(networks.find("gamma").id, { gatewayPriority: 5 }));
    expect(defaults(namespacePath)).toEqual(["10.3.0.1 eth2", "fd00:3::1 eth2"]);
    // Somebody on each of them is reached.
    using _server = serve(namespacePath, 8001);
    for (const name of ["alpha", "beta", "gamma"]) {
      const other = await attach(networks, newId(), name);
      const mine = networks.sandbox(id)!.endpoints.find(({ networkName }) => networkName === name)!;
      expect(await ask(other.namespacePath, mine.ipv4!, 8001)).toBe(other.ipv4!);
    }
    const left = await networks.disconnect(id, networks.find("gamma").id);
    expect(left.endpoints.map(({ networkName }) => networkName)).toEqual(["beta", "alpha"]);
    expect(defaults(namespacePath)).toEqual(["10.1.0.1 eth1", "fd00:1::1 eth1"]);
    await networks.disconnect(id, networks.find("beta").id);
    expect(within(namespacePath, () => ip("link").map(({ ifname }) => ifname))).toEqual(["lo", "eth1"]);
    // The number that became free is the next one's.
    const again = await networks.connect(id, endpointRequest(networks.find("gamma").id));
    expect(again.endpoints.map((each) => [each.networkName, each.interface])).toEqual([
      ["alpha", "eth1"],
      ["gamma", "eth0"],
    ]);
    await networks.disconnect(id, networks.find("alpha").id);
    const last = await networks.disconnect(id, networks.find("gamma").id);
    expect(last).toMatchObject({ kind: "networks", endpoints: [] });
    expect(defaults(namespacePath)).toEqual([]);
    await networks.detach(id);
  });

  test("finish after a restart what a killed daemon had made and not configured, with the way out", async () => {
    await create("hidden", { internal: true });
    const open = await create("open", { subnets: [{ subnet: "10.1.0.0/24" }, { subnet: "fd00:1::/64" }] });
    const id = newId();
    const { namespacePath } = await attach(networks, id, "hidden");
    const before = (await networks.connect(id, endpointRequest(open.id))).endpoints;
    using held = openFile(namespacePath, O_RDONLY);
    const path = `/proc/${process.pid}/fd/${held.number}`;
    within(path, () => {
      run("ip", "addr", "flush", "dev", "eth1");
      run("ip", "link", "set", "eth1", "down");
    });
    expect(defaults(path)).toEqual([]);
    await restart(new Map([[id, { namespacePath: path }]]));
    expect(networks.sandbox(id)!.endpoints).toEqual(before);
    expect(addressesIn(path, "eth1")).toEqual(["10.1.0.2/24", "fd00:1::2/64", expect.stringMatching(/^fe80::/)]);
    expect(defaults(path)).toEqual(["10.1.0.1 eth1", "fd00:1::1 eth1"]);
    // One that the container itself has put down has its address, and stays as it is.
    within(path, () => run("ip", "link", "set", "eth0", "down"));
    await restart(new Map([[id, { namespacePath: path }]]));
    expect(within(path, () => ip("link", "show", "dev", "eth0"))[0]!.flags).not.toContain("UP");
    await networks.detach(id);
  });

  test("refuse to connect twice, to disconnect what is not there, and containers that share or lack a network", async () => {
    const { id: alpha } = await create("alpha");
    const id = newId();
    await attach(networks, id, "alpha");
    const request = endpointRequest(alpha);
    await expect(networks.connect(id, request)).rejects.toThrow("is connected to network alpha already");
    await expect(networks.disconnect(id, networks.find("bridge").id)).rejects.toThrow(
      "is not connected to network bridge",
    );
    await expect(networks.connect(newId(), request)).rejects.toThrow("does not run");
    const [none, host] = [newId(), newId()];
    await networks.attach(none, { kind: "none" });
    await networks.attach(host, { kind: "host" });
    await expect(networks.connect(none, request)).rejects.toThrow("private (none) mode");
    await expect(networks.connect(host, request)).rejects.toThrow("host network");
    for (const name of ["host", "none"]) {
      await expect(networks.connect(id, endpointRequest(networks.find(name).id))).rejects.toThrow(/\(none\)|host/);
    }
    await networks.detach(none);
    await networks.detach(host);
  });

  test("take a container that runs off none and put it on again, over a restart too", async () => {
    const { id: alpha } = await create("alpha", { subnets: [{ subnet: "10.1.0.0/24" }] });
    const none = networks.find("none").id;
    const [id, wishes] = [
      newId(),
      { containerName: "lonely", ports: [], dns: { servers: [], search: [], options: [] } },
    ];
    const { namespacePath } = await networks.attach(id, { kind: "none", wishes });
    using held = openFile(namespacePath!, O_RDONLY);
    const live = new Map([[id, { namespacePath: `/proc/${process.pid}/fd/${held.number}` }]]);
    expect(await networks.disconnect(id, none)).toMatchObject({ kind: "networks", endpoints: [] });
    await restart(live);
    expect(networks.sandbox(id)).toMatchObject({ kind: "networks", endpoints: [] });
    expect(await networks.connect(id, endpointRequest(none))).toMatchObject({
      kind: "none",
      endpoints: [{ networkName: "none" }],
    });
    await restart(live);
    await expect(networks.connect(id, endpointRequest(alpha))).rejects.toThrow("private (none) mode");
    await networks.disconnect(id, none);
    const on = await networks.connect(id, endpointRequest(alpha));
    expect(on).toMatchObject({ kind: "networks", hasResolver: true, endpoints: [{ interface: "eth0" }] });
    expect(addressesIn(on.namespacePath!)).toContain("10.1.0.2/24");
    expect(defaults(on.namespacePath!)[0]).toBe("10.1.0.1 eth0");
    await expect(networks.connect(id, endpointRequest(none))).rejects.toThrow("private (none) mode");
    expect(rig.database.query("SELECT kind FROM network_sandbox").all()).toEqual([{ kind: "networks" }]);
    await networks.detach(id);
    await networks.settled();
    expect(counts()).toEqual([0, 0, 0]);
  });

  test("that are internal lead nowhere, and those without inter-container communication only out", async () => {
    const gateway = (await create("inside", { internal: true })).subnets[0]!.gateway!;
    await create("apart", { options: { [option("enable_icc")]: "false" } });
    using _outside = serve(rig.bed.outside, 8003);
    const [a, b] = [await attach(networks, newId(), "inside"), await attach(networks, newId(), "inside")];
    using _b = serve(b.namespacePath, 8001);
    expect(defaults(a.namespacePath)).toEqual([]);
    expect(a).not.toContainKey("ipv4Gateway");
    expect(await ask(a.namespacePath, b.ipv4!, 8001)).toBe(a.ipv4!);
    expect(await ask(a.namespacePath, outsideAddress, 8003, 300)).toBe("no answer");
    // Nor to another network's port, whichever way it is published; the host's own services are there.
    for (const [mode, number] of [
      ["nat", 8080],
      ["socket", 8081],
    ] as const) {
      const hostPorts = { first: number, last: number };
      const ports = [{ transport: "tcp" as const, containerPort: 8001, hostPorts, mode }];
      const request = networksRequest(endpointRequest(networks.find("bridge").id));
      const web = await networks.attach(newId(), { ...request, ports } as typeof request);
      using _web = serve(web.namespacePath!, 8001);
      expect(await ask(rig.bed.outside, hostAddress, number)).toBe(outsideAddress);
      expect(await ask(a.namespacePath, gateway, number, 300)).toBe("no answer");
    }
    using _own = serve(rig.bed.host, 8082);
    expect(await ask(a.namespacePath, gateway, 8082)).toBe(a.ipv4!);
    const [c, d] = [await attach(networks, newId(), "apart"), await attach(networks, newId(), "apart")];
    using _d = serve(d.namespacePath, 8001);
    expect(await ask(c.namespacePath, d.ipv4!, 8001, 300)).toBe("no answer");
    expect(await ask(c.namespacePath, d.ipv6!, 8001, 300)).toBe("no answer");
    expect(await ask(c.namespacePath, outsideAddress, 8003)).toBe(hostAddress);
    expect(await ask(rig.bed.host, d.ipv4!, 8001)).toBe(d.ipv4Gateway!);
  });

  test("several at once: a container starts on all of them, or on none", async () => {
    await create("alpha", { subnets: [{ subnet: "10.1.0.0/24" }] });
    const [bridge, alpha] = [networks.find("bridge").id, networks.find("alpha").id];
    const id = newId();
    // The second time there is a spare.
    for (let round = 0; round < 2; round++) {
      const request = networksRequest(endpointRequest(bridge), endpointRequest(alpha, { gatewayPriority: 1 }));
      const sandbox = await networks.attach(id, request);
      expect(sandbox.endpoints.map((each) => [each.networkName, each.interface])).toEqual([
        ["bridge", "eth0"],
        ["alpha", "eth1"],
      ]);
      expect(defaults(sandbox.namespacePath!)[0]).toBe("10.1.0.1 eth1");
      await networks.detach(id);
      const taken = { ipv4: "10.1.0.1" };
      const refused = networksRequest(endpointRequest(bridge), endpointRequest(alpha, taken));
      await Bun.sleep(60);
      await expect(networks.attach(id, refused)).rejects.toThrow("already in use");
      expect(networks.sandbox(id)).toBeUndefined();
      await Bun.sleep(60);
    }
    await networks.settled();
    expect(networks.status(alpha)[0]).toMatchObject({ available: 253n });
  });
});
