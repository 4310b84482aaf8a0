import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { newId } from "../core/id.ts";
import { BridgeDevice } from "./driver/bridge.ts";
import { Firewall } from "./firewall/firewall.ts";
import { Resolver } from "./names/resolver.ts";
import { NetworkNamespace } from "./namespace.ts";
import type { Networks } from "./networks.ts";
import { Ports } from "./ports/ports.ts";
import { NetworkRecords } from "./records.ts";
import { heldNamespaces, Rig } from "./rig.ts";
import { ask, hostAddress, ip, outsideAddress, run, serve, within } from "./testbed.ts";
import { attach, endpointRequest, holdNamespace, networkRequest } from "./testing.ts";

/** Something that fails, before it does its work or after; in the nth of its calls. */
interface Fault {
  prototype: object;
  method: string;
  when: "before" | "after";
  call: number;
}

const fault = (of: { prototype: object }, method: string, when: Fault["when"], call = 1): Fault => ({
  prototype: of.prototype,
  method,
  when,
  call,
});

async function failing(fault: Fault, use: () => Promise<void>): Promise<void> {
  const prototype = fault.prototype as Record<string, (...args: unknown[]) => unknown>;
  const original = prototype[fault.method]!;
  let calls = 0;
  const failure = new Error(`${fault.method} failed`);
  prototype[fault.method] = function (this: unknown, ...args: unknown[]): unknown {
    if (++calls !== fault.call) return original.apply(this, args);
    if (fault.when === "before") throw failure;
    const result = original.apply(this, args);
    if (!(result instanceof Promise)) throw failure;
    return result.then(() => Promise.reject(failure));
  };
  try {
    await use();
    if (calls < fault.call) throw new Error(`${fault.method} was called ${calls} times, not ${fault.call}`);
  } finally {
    prototype[fault.method] = original;
  }
}

describe.skipIf(process.getuid?.() !== 0)("whatever fails", () => {
  let networks: Networks;
  const rig = new Rig(async () => {
    networks = rig.make();
    for (const [name, subnet] of [
      ["alpha", "10.1.0.0/24"],
      ["beta", "10.2.0.0/24"],
    ] as const) {
      await networks.create(networkRequest(name, { subnets: [{ subnet }] }));
    }
  });

  const endpoint = (name: string) => endpointRequest(networks.find(name).id, { names: [`on-${name}`] });
  const ports = [{ transport: "tcp", containerPort: 80, hostPorts: { first: 8080, last: 8080 } }] as const;
  const start = (id: string, ...names: string[]) =>
    networks.attach(id, {
      kind: "networks",
      containerName: "web",
      endpoints: names.map(endpoint),
      ports: [...ports],
      dns: { servers: ["127.0.0.1"], search: [], options: [] },
    });
  /** All that an attachment makes, wherever it is. */
  const made = () => ({
    links: ip("link").map(({ ifname }) => ifname),
    rules: run("nft", "list", "table", "inet", "tsd").replace(/packets \d+ bytes \d+/g, ""),
    namespaces: heldNamespaces(),
    rows: rig.rows("network_sandbox", "network_endpoint", "network_address", "published_ports"),
    free: ["alpha", "beta"].map((name) => networks.status(networks.find(name).id).map(({ available }) => available)),
    members: ["alpha", "beta"].map((name) => networks.members(networks.find(name).id)),
  });

  const ofAttachment: Fault[] = [
    fault(NetworkRecords, "addSandbox", "before"),
    fault(NetworkRecords, "addSandbox", "after"),
    fault(BridgeDevice, "ensure", "before", 2),
    ...[1, 2].flatMap((call) => [
      fault(BridgeDevice, "create", "before", call),
      fault(BridgeDevice, "create", "after", call),
      fault(NetworkNamespace, "configure", "before", call),
      fault(NetworkNamespace, "configure", "after", call),
    ]),
    fault(Ports, "publish", "before"),
    fault(Ports, "publish", "after"),
    fault(Firewall, "publish", "before"),
    fault(Resolver, "serve", "before"),
    fault(Resolver, "serve", "after"),
    fault(Resolver, "setNames", "after", 2),
  ];

  test("of an attachment to two networks, nothing is left of either", async () => {
    const before = made();
    for (const each of ofAttachment) {
      await failing(each, async () => {
        await expect(start(newId(), "alpha", "beta")).rejects.toThrow(`${each.method} failed`);
      });
      await networks.settled();
      expect({ fault: each, ...made() }).toEqual({ fault: each, ...before });
    }
    // And it works when nothing fails, with the same port.
    const id = newId();
    const { namespacePath } = await start(id, "alpha", "beta");
    using _server = serve(namespacePath!, 80);
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    await networks.detach(id);
  });

  test("of a connection, the container has what it had: interfaces, routes, ports", async () => {
    const id = newId();
    const { namespaces } = made();
    const sandbox = await start(id, "beta");
    // The container's own, and one that is made for the next.
    while (made().namespaces < namespaces + 2) await Bun.sleep(5);
    const { namespacePath } = sandbox;
    const inside = () =>
      within(namespacePath!, () => [
        ip("link").map(({ ifname }) => ifname),
        ip("route"),
        ip("-6", "route", "show", "default"),
      ]);
    using _server = serve(namespacePath!, 80);
    const before = { ...made(), inside: inside() };
    const faults = [
      fault(NetworkRecords, "addEndpoint", "before"),
      fault(NetworkRecords, "addEndpoint", "after"),
      fault(BridgeDevice, "create", "before"),
      fault(BridgeDevice, "create", "after"),
      fault(NetworkNamespace, "configure", "before"),
      fault(NetworkNamespace, "configure", "after"),
      fault(NetworkNamespace, "replaceDefaultRoutes", "before"),
      fault(NetworkNamespace, "replaceDefaultRoutes", "after"),
      fault(Resolver, "setNames", "before"),
      fault(Resolver, "setNames", "after"),
      fault(Ports, "release", "before"),
      fault(Ports, "publish", "before"),
      fault(Firewall, "publish", "before"),
    ];
    for (const each of faults) {
      await failing(each, async () => {
        await expect(networks.connect(id, endpoint("alpha"))).rejects.toThrow(`${each.method} failed`);
      });
      expect({ fault: each, ...made(), inside: inside() }).toEqual({ fault: each, ...before });
      expect(networks.sandbox(id)).toEqual(sandbox);
      expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    }
    await networks.connect(id, endpoint("alpha"));
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
    await networks.detach(id);
  });

  test("of a network that is made or removed, there is nothing, or the whole network", async () => {
    const before = made();
    for (const each of [
      fault(NetworkRecords, "addNetwork", "before"),
      fault(BridgeDevice, "ensure", "before"),
      fault(BridgeDevice, "ensure", "after"),
      fault(Firewall, "setBridge", "before"),
      fault(Firewall, "setBridge", "after"),
    ]) {
      await failing(each, async () => {
        await expect(networks.create(networkRequest("gamma"))).rejects.toThrow(`${each.method} failed`);
      });
      expect({ fault: each, ...made() }).toEqual({ fault: each, ...before });
      expect(networks.list().length).toBe(5);
    }
    const { id } = networks.find("alpha");
    for (const each of [fault(BridgeDevice, "tearDown", "before"), fault(NetworkRecords, "removeNetwork", "before")]) {
      await failing(each, async () => {
        await expect(networks.remove(id)).rejects.toThrow(`${each.method} failed`);
      });
      // It is there, and its next container finds all that it needs.
      const container = newId();
      const { namespacePath } = await start(container, "alpha");
      using _server = serve(namespacePath!, 80);
      expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
      await networks.detach(container);
      await networks.settled();
    }
    await networks.remove(id);
    expect(networks.list().map(({ name }) => name)).not.toContain("alpha");
  });

  test("of taking a connection back too, it is the first reason that is told", async () => {
    const id = newId();
    await start(id, "alpha");
    await failing(fault(BridgeDevice, "remove", "before"), () =>
      failing(fault(Resolver, "setNames", "before"), async () => {
        await expect(networks.connect(id, endpoint("beta"))).rejects.toThrow("setNames failed");
      }),
    );
    // It is on record still, and can be taken away.
    await networks.disconnect(id, networks.find("beta").id);
    await networks.connect(id, endpoint("beta"));
  });

  test("of taking a container off a network, that can be removed as soon as it can be done", async () => {
    const id = newId();
    const attached = await attach(networks, id, "alpha");
    // Who has joined it keeps the kernel from taking it down.
    using _held = await holdNamespace(attached);
    await failing(fault(BridgeDevice, "remove", "before"), async () => {
      await networks.detach(id);
      await networks.settled();
    });
    const network = networks.find("alpha");
    await failing(fault(BridgeDevice, "remove", "before"), async () => {
      await expect(networks.remove(network.id)).rejects.toThrow(
        "network alpha: interfaces of containers that have ended",
      );
    });
    await networks.remove(network.id);
    expect(ip("link").map(({ ifname }) => ifname)).not.toContain(network.device!);
    expect(rig.database.query("SELECT count(*) AS n FROM network_sandbox").get()).toEqual({ n: 0 });
  });

  test("a network that is removed twice at the same time is removed once", async () => {
    const id = newId();
    const attached = await attach(networks, id, "alpha");
    using _held = await holdNamespace(attached);
    await networks.detach(id);
    const { id: alpha } = networks.find("alpha");
    const results = await Promise.allSettled([networks.remove(alpha), networks.remove(alpha)]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(String((results[1] as PromiseRejectedResult).reason)).toContain(`network ${alpha} not found`);
  });

  test("of the end of a daemon, the other networks go from the host, and the next daemon takes the last away", async () => {
    const bridges = () => ip("link").filter(({ ifname }) => ifname !== "lo" && ifname !== "eth0").length;
    const { length } = networks.list().filter(({ isBuiltIn }) => !isBuiltIn);
    expect(bridges()).toBe(length);
    // The first is the default network, which nobody has used.
    await failing(fault(BridgeDevice, "tearDown", "before", 2), () => networks.close());
    expect(bridges()).toBe(1);
    networks = rig.make();
    await networks.close();
    expect(bridges()).toBe(0);
  });

  test("of taking one container's namespace over, a daemon starts all the same", async () => {
    const id = newId();
    await attach(networks, id, "alpha");
    await networks.close();
    networks = rig.make();
    await networks.restore(new Map([[id, { namespacePath: "/dev/null/ns" }]]));
    expect(networks.sandbox(id)?.endpoints.length).toBe(1);
    await networks.detach(id);
    await networks.settled();
    expect(made().rows[0]).toBe(0);
  });

  test("of a bridge that somebody removes, it comes back with the next container, ports at 127.0.0.1 with it", async () => {
    const { device } = networks.find("alpha");
    const { namespacePath } = await start(newId(), "alpha");
    using _server = serve(namespacePath!, 80);
    expect(await ask(rig.bed.host, "127.0.0.1", 8080)).toMatch(/^10\.1\.0\.1$/);
    run("ip", "link", "del", device!);
    const other = newId();
    await networks.attach(other, {
      kind: "networks",
      containerName: "other",
      endpoints: [endpoint("alpha")],
      ports: [],
      dns: { servers: [], search: [], options: [] },
    });
    expect(readFileSync(`/proc/sys/net/ipv4/conf/${device}/route_localnet`, "utf8").trim()).toBe("1");
    expect(await ask(rig.bed.host, "127.0.0.1", 8080)).toMatch(/^10\.1\.0\.1$/);
    expect(await ask(rig.bed.outside, hostAddress, 8080)).toBe(outsideAddress);
  });
});
