import { describe, expect, test } from "bun:test";
import { interfaceInSet, interfaceKey, interfaceName, verdict } from "../../ffi/netlink/nftables/match.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { parseSubnet } from "./address.ts";
import { bridgeTable } from "./firewall.ts";
import { applyTable, changesTo, type DesiredTable, readTable, removeTable } from "./table.ts";
import { run, Testbed } from "./testbed.ts";

const bridges = (...names: string[]) => ({
  name: "bridges",
  key: "ifname" as const,
  elements: names.map(interfaceKey),
});

const desired: DesiredTable = {
  ...bridgeTable({ bridge: "tsd0", subnets: [parseSubnet("172.28.0.0/16")] }),
  sets: [bridges("tsd0", "tsd1")],
};
desired.chains.push({
  name: "extra",
  rules: [{ expressions: [...interfaceInSet("oifname", "bridges"), verdict("drop")] }],
});

/** What would be sent, by name. */
const names = (messages: ReturnType<typeof changesTo>): string[] =>
  messages.map(({ subject }) => `${subject.call.slice("NFT_MSG_".length)} ${subject.object}`);

test("a table that is not there is made whole, in an order that the kernel takes", () => {
  expect(names(changesTo(undefined, desired))).toEqual([
    "NEWTABLE inet tsd0",
    "NEWSET inet tsd0 bridges",
    "NEWSETELEM inet tsd0 bridges",
    "NEWCHAIN inet tsd0 forward",
    "NEWCHAIN inet tsd0 postrouting",
    "NEWCHAIN inet tsd0 extra",
    "NEWRULE inet tsd0 forward",
    "NEWRULE inet tsd0 forward",
    "NEWRULE inet tsd0 forward",
    "NEWRULE inet tsd0 postrouting",
    "NEWRULE inet tsd0 extra",
  ]);
});

describe.skipIf(process.getuid?.() !== 0)("a table in the kernel", () => {
  /** Runs in a namespace of its own with the table in place. */
  function inPlace(use: (socket: NetlinkSocket) => void): void {
    using _bed = new Testbed();
    using socket = new NetlinkSocket(NETLINK_NETFILTER);
    expect(applyTable(socket, desired)).toBe(true);
    use(socket);
  }
  const list = (): string => run("nft", "-s", "list", "ruleset");
  const changes = (socket: NetlinkSocket): string[] => names(changesTo(readTable(socket, desired), desired));

  test("that is right is left alone, whatever its counters say", () => {
    inPlace((socket) => {
      expect(changes(socket)).toEqual([]);
      expect(applyTable(socket, desired)).toBe(false);
    });
  });

  test("gets back what somebody took out, chain by chain, and loses what somebody put in", () => {
    inPlace((socket) => {
      const before = list();
      run("nft", "flush", "chain", "inet", "tsd0", "forward");
      expect(changes(socket)).toEqual(Array.from({ length: 3 }, () => "NEWRULE inet tsd0 forward"));
      run("nft", "add", "rule", "inet", "tsd0", "postrouting", "counter");
      run("nft", "add", "chain", "inet", "tsd0", "foreign", "{ ip saddr 10.0.0.1 drop ; }");
      run("nft", "add", "set", "inet", "tsd0", "addresses", "{ type ipv4_addr ; elements = { 10.0.0.1 } ; }");
      run("nft", "delete", "element", "inet", "tsd0", "bridges", "{ tsd1 }");
      run("nft", "add", "element", "inet", "tsd0", "bridges", "{ eth7 }");
      expect(changes(socket)).toEqual([
        "DELSETELEM inet tsd0 bridges",
        "NEWSETELEM inet tsd0 bridges",
        "NEWRULE inet tsd0 forward",
        "NEWRULE inet tsd0 forward",
        "NEWRULE inet tsd0 forward",
        "DELRULE inet tsd0 postrouting",
        "NEWRULE inet tsd0 postrouting",
        "DELRULE inet tsd0 foreign",
        "DELCHAIN inet tsd0 foreign",
        "DELSET inet tsd0 addresses",
      ]);
      expect(applyTable(socket, desired)).toBe(true);
      expect(list()).toBe(before);
      expect(applyTable(socket, desired)).toBe(false);
    });
  });

  test("with a chain or set of another nature is made anew in one transaction", () => {
    inPlace((socket) => {
      const before = list();
      run("nft", "delete", "chain", "inet", "tsd0", "postrouting");
      run("nft", "add", "chain", "inet", "tsd0", "postrouting", "{ type filter hook output priority 0 ; }");
      expect(changes(socket).slice(0, 2)).toEqual(["DELTABLE inet tsd0", "NEWTABLE inet tsd0"]);
      expect(applyTable(socket, desired)).toBe(true);
      expect(list()).toBe(before);
      expect(applyTable(socket, desired)).toBe(false);
    });
  });

  test("with other contents becomes the other one; everybody else's stays", () => {
    inPlace((socket) => {
      run("nft", "add", "table", "inet", "somebody");
      const other: DesiredTable = {
        ...desired,
        sets: [],
        chains: [{ name: "only", rules: [{ expressions: [...interfaceName("iifname", "x"), verdict("accept")] }] }],
      };
      applyTable(socket, other);
      expect(list()).toContain("table inet somebody");
      expect(list().replace(/\s+/g, " ")).toContain('changed" chain only { iifname "x" accept } }');
      removeTable(socket, desired);
      expect(list()).toBe("table inet somebody {\n}\n");
      removeTable(socket, desired);
    });
  });
});
