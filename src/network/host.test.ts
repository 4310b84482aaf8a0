import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { NETLINK_ROUTE, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { absenceOfIpv6, enableForwarding, enableIpv6Forwarding, readObstacles } from "./host.ts";
import { run, Testbed } from "./testbed.ts";

const root = process.getuid?.() === 0;
const net = (path: string): string => readFileSync(`/proc/sys/net/${path}`, "utf8").trim();

test("a host without IPv6 says why", () => {
  const directory = mkdtempSync("/tmp/tsd-host-");
  try {
    expect(absenceOfIpv6(directory)).toBe("the kernel was built without it or started with ipv6.disable=1");
    mkdirSync(`${directory}/ipv6/conf/all`, { recursive: true });
    writeFileSync(`${directory}/ipv6/conf/all/disable_ipv6`, "1\n");
    expect(absenceOfIpv6(directory)).toBe("net.ipv6.conf.all.disable_ipv6 is 1");
    writeFileSync(`${directory}/ipv6/conf/all/disable_ipv6`, "0\n");
    expect(absenceOfIpv6(directory)).toBeUndefined();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

describe.skipIf(!root)("the host's settings", () => {
  let bed: Testbed;
  let route: NetlinkSocket;
  let remembered: [string, string][];
  const remember = (setting: string, previous: string): void => void remembered.push([setting, previous]);

  beforeEach(() => {
    bed = new Testbed();
    route = new NetlinkSocket(NETLINK_ROUTE);
    remembered = [];
    writeFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "0");
  });
  afterEach(() => {
    route.close();
    bed[Symbol.dispose]();
  });

  test("let it forward IPv4 and IPv6, and are remembered once", () => {
    enableForwarding(remember);
    enableIpv6Forwarding(route, remember);
    expect([net("ipv4/ip_forward"), net("ipv6/conf/all/forwarding"), net("ipv6/conf/eth0/forwarding")]).toEqual([
      "1",
      "1",
      "1",
    ]);
    const all = [
      ["net.ipv4.ip_forward", "0"],
      ["net.ipv6.conf.all.forwarding", "0"],
    ] as [string, string][];
    expect(remembered).toEqual(all);
    enableForwarding(remember);
    enableIpv6Forwarding(route, remember);
    expect(remembered).toEqual(all);
  });

  test("let an interface go on learning routes from routers, and no other", () => {
    run("ip", "link", "add", "br.7", "type", "bridge");
    run("ip", "link", "add", "br8", "type", "bridge");
    for (const name of ["br.7", "br8", "eth0"]) writeFileSync(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, "1");
    run("ip", "link", "set", "br.7", "up");
    run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "br.7", "onlink", "proto", "ra");
    enableIpv6Forwarding(route, remember);
    expect(["br.7", "br8", "eth0"].map((name) => net(`ipv6/conf/${name}/accept_ra`))).toEqual(["2", "1", "1"]);
    expect(remembered).toEqual([
      ["net.ipv6.conf.br/7.accept_ra", "1"],
      ["net.ipv6.conf.all.forwarding", "0"],
    ]);
  });

  test("that somebody chose otherwise stay: no router is listened to that was not before", () => {
    writeFileSync("/proc/sys/net/ipv6/conf/eth0/accept_ra", "0");
    run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0", "onlink", "proto", "ra");
    enableIpv6Forwarding(route, remember);
    expect(net("ipv6/conf/eth0/accept_ra")).toBe("0");
    expect(remembered).toEqual([["net.ipv6.conf.all.forwarding", "0"]]);
  });

  test("that are in the way of subnets are read for both families, of every table", () => {
    run("ip", "-6", "addr", "add", "2001:db8:7::1/64", "dev", "eth0", "nodad");
    run("ip", "-6", "route", "add", "fd00:7::/48", "dev", "eth0", "table", "77");
    run("ip", "route", "add", "blackhole", "10.66.0.0/16", "table", "77");
    const seen = readObstacles(route).map(({ what }) => what);
    for (const what of [
      "address 192.0.2.2/24 of eth0",
      "address 2001:db8:7::1/64 of eth0",
      "route fd00:7::/48 dev eth0 table 77",
      "blackhole route 10.66.0.0/16 table 77",
    ]) {
      expect(seen).toContain(what);
    }
  });
});
