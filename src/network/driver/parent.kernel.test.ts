import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { newId } from "../../core/id.ts";
import type { Network } from "../network.ts";
import type { Networks } from "../networks.ts";
import { interfaces, Rig } from "../rig.ts";
import { ask, ip, run, serve, within } from "../testbed.ts";
import { attach, hasLinkKind, holdNamespace, networkRequest } from "../testing.ts";

const root = process.getuid?.() === 0;

describe.skipIf(!root)("the parent of macvlan", () => {
  let networks: Networks;
  const rig = new Rig(() => {
    networks = rig.make();
  });

  const create = async (name: string, subnet: string, parent: string): Promise<Network> => {
    const request = networkRequest(name, { driver: "macvlan", subnets: [{ subnet }], options: { parent } });
    return (await networks.create(request)).network;
  };

  /** Whether it has addresses and routes from routers that advertise themselves. */
  const advertisements = (name: string): string[] =>
    ["accept_ra", "autoconf"].map((file) => readFileSync(`/proc/sys/net/ipv6/conf/${name}/${file}`, "utf8").trim());

  describe.skipIf(!hasLinkKind("vlan", "id", "5"))("where it is a VLAN", () => {
    test("is made with the network, carries the tag, and goes with the network", async () => {
      const network = await create("x", "10.7.0.0/24", "eth0.50");
      expect(ip("link", "show", "dev", "eth0.50")[0]).toMatchObject({
        link: "eth0",
        flags: expect.arrayContaining(["UP"]),
        ifalias: `tsd ${network.id.slice(0, 12)}`,
        linkinfo: { info_kind: "vlan", info_data: { protocol: "802.1Q", id: 50 } },
      });
      expect(advertisements("eth0.50")).toEqual(["0", "0"]);
      within(rig.bed.outside, () => {
        run("ip", "link", "add", "link", "eth0", "name", "tagged", "type", "vlan", "id", "50");
        run("ip", "addr", "add", "10.7.0.200/24", "dev", "tagged");
        run("ip", "link", "set", "tagged", "up");
      });
      const id = newId();
      const a = await attach(networks, id, "x");
      using _outside = serve(rig.bed.outside, 8003);
      expect(await ask(a.namespacePath, "10.7.0.200", 8003)).toBe(a.ipv4!);
      await networks.detach(id);
      await networks.remove(network.id);
      expect(interfaces()).toEqual([]);
    });

    test("is finished where a daemon was killed before it was up", async () => {
      const network = await create("x", "10.7.0.0/24", "eth0.50");
      run("ip", "link", "set", "eth0.50", "down");
      for (const name of ["accept_ra", "autoconf"]) writeFileSync(`/proc/sys/net/ipv6/conf/eth0.50/${name}`, "1");
      networks = rig.make();
      await networks.restore(new Map());
      expect(ip("link", "show", "dev", "eth0.50")[0]!.flags).toContain("UP");
      expect(advertisements("eth0.50")).toEqual(["0", "0"]);
      await networks.remove(network.id);
    });

    test("stays when it was there before", async () => {
      run("ip", "link", "add", "link", "eth0", "name", "eth0.50", "type", "vlan", "id", "50");
      const before = advertisements("eth0.50");
      const network = await create("x", "10.7.0.0/24", "eth0.50");
      expect(advertisements("eth0.50")).toEqual(before);
      await networks.remove(network.id);
      expect(interfaces()).toEqual(["eth0.50"]);
    });

    test("stays while one of its networks has containers, and is there after a restart", async () => {
      const x = await create("x", "10.7.0.0/24", "eth0.50");
      const y = await create("y", "10.8.0.0/24", "eth0.50");
      const id = newId();
      const a = await attach(networks, id, "y");
      using held = await holdNamespace(a);
      await networks.remove(x.id);
      expect(ip("link", "show", "dev", "eth0.50")[0]).toMatchObject({ ifalias: `tsd ${y.id.slice(0, 12)}` });
      await networks.close();
      expect(interfaces()).toContain("eth0.50");
      networks = rig.make();
      await networks.restore(new Map([[id, { namespacePath: held.path }]]));
      await networks.detach(id);
      await networks.close();
      expect(interfaces()).toEqual([]);
      networks = rig.make();
      // A daemon that starts makes it again: containers will come.
      await networks.restore(new Map());
      expect(interfaces()).toContain("eth0.50");
      await networks.remove(y.id);
      expect(interfaces()).toEqual([]);
    });

    test("is refused on an interface that is down, and leaves nothing", async () => {
      run("ip", "link", "set", "eth0", "down");
      await expect(create("x", "10.7.0.0/24", "eth0.50")).rejects.toMatchObject({
        code: "conflict",
        message: expect.stringContaining("network x: parent interface eth0.50: interface eth0 is down"),
        hint: "ip link set eth0 up",
      });
      expect(interfaces()).toEqual([]);
      expect(networks.list().length).toBe(3);
    });
  });

  describe.skipIf(!hasLinkKind("dummy"))("where there is none", () => {
    test("is a dummy of the network's own, which containers reach each other over", async () => {
      const network = await create("x", "10.7.0.0/24", "");
      const name = `dm-${network.id.slice(0, 12)}`;
      expect(network.device).toBe(name);
      expect(ip("link", "show", "dev", name)[0]).toMatchObject({ linkinfo: { info_kind: "dummy" } });
      const [first, second] = [newId(), newId()];
      const a = await attach(networks, first, "x");
      const b = await attach(networks, second, "x");
      using _inside = serve(b.namespacePath, 8001);
      expect(await ask(a.namespacePath, b.ipv4!, 8001)).toBe(a.ipv4!);
      for (const id of [first, second]) await networks.detach(id);
      await networks.remove(network.id);
      expect(interfaces()).toEqual([]);
    });
  });
});
