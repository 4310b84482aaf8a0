import { describe, expect, test } from "bun:test";
import {
  counter,
  inSet,
  interfaceInSet,
  interfaceKey,
  interfaceName,
  verdict,
} from "../../../ffi/netlink/nftables/match.ts";
import { commitBatch, listRules } from "../../../ffi/netlink/nftables/ruleset.ts";
import { concatenation } from "../../../ffi/netlink/nftables/set.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { run, Testbed } from "../testbed.ts";
import { changesTo, type DesiredSet, type DesiredTable, readTable } from "./table.ts";

const bridges = (...names: string[]): DesiredSet => ({
  name: "bridges",
  key: ["ifname"],
  elements: names.map((name) => ({ key: interfaceKey(name) })),
});

const port = (number: number, to: number): DesiredSet["elements"][number] => ({
  key: concatenation(new Uint8Array([6]), new Uint8Array([number >> 8, number & 0xff])),
  data: concatenation(new Uint8Array([172, 28, 0, 2]), new Uint8Array([to >> 8, to & 0xff])),
});

const ports = (...elements: DesiredSet["elements"]): DesiredSet => ({
  name: "ports",
  key: ["inet_proto", "inet_service"],
  data: ["ipv4_addr", "inet_service"],
  elements,
});

const desired: DesiredTable = {
  family: "inet",
  table: "tsd",
  comment: "of a test",
  sets: [bridges("tsd0", "tsd1"), ports(port(8080, 80), port(8443, 443))],
  chains: [
    { name: "user" },
    {
      name: "forward",
      base: { type: "filter", hook: "forward", priority: 0, policy: "accept" },
      rules: [
        { expressions: [verdict("jump", "user")] },
        { expressions: [...interfaceName("iifname", "tsd0"), counter(), verdict("accept")], comment: "second" },
        { expressions: [...interfaceName("oifname", "tsd0"), counter(), verdict("accept")] },
        { expressions: [...interfaceInSet("oifname", "bridges"), counter(), verdict("drop")] },
      ],
    },
    {
      name: "postrouting",
      base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" },
      rules: [{ expressions: [...inSet(["iifname"], "bridges"), { type: "masquerade" }] }],
    },
  ],
};

/** What would be sent, by name. */
const names = (messages: ReturnType<typeof changesTo>): string[] =>
  messages.map(({ subject }) => `${subject.call.slice("NFT_MSG_".length)} ${subject.object}`);

test("a table that is not there is made whole, in an order that the kernel takes", () => {
  expect(names(changesTo(undefined, desired))).toEqual([
    "NEWTABLE inet tsd",
    "NEWSET inet tsd bridges",
    "NEWSETELEM inet tsd bridges",
    "NEWSET inet tsd ports",
    "NEWSETELEM inet tsd ports",
    "NEWCHAIN inet tsd user",
    "NEWCHAIN inet tsd forward",
    "NEWCHAIN inet tsd postrouting",
    ...Array.from({ length: 4 }, () => "NEWRULE inet tsd forward"),
    "NEWRULE inet tsd postrouting",
  ]);
});

/** @returns whether anything had to be done. */
function applyTable(socket: NetlinkSocket, desired: DesiredTable): boolean {
  const messages = changesTo(readTable(socket, desired), desired);
  if (messages.length > 0) commitBatch(socket, messages);
  return messages.length > 0;
}

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
  const handles = (socket: NetlinkSocket): unknown[] => listRules(socket, desired).map(({ handle }) => handle);

  test("that is right is left alone, whatever its counters say", () => {
    inPlace((socket) => {
      run("sh", "-ec", "nft list ruleset | sed 's/packets 0 bytes 0/packets 7 bytes 9/' >/tmp/tsd-table-test.nft");
      run("sh", "-ec", "nft flush ruleset; nft -f /tmp/tsd-table-test.nft; rm /tmp/tsd-table-test.nft");
      expect(run("nft", "list", "ruleset")).toContain("packets 7 bytes 9");
      expect(changes(socket)).toEqual([]);
      expect(applyTable(socket, desired)).toBe(false);
    });
  });

  test("gets back what somebody took out, rule by rule, and loses what somebody put between its own", () => {
    inPlace((socket) => {
      const before = list();
      const kept = handles(socket);
      const [, second] = listRules(socket, desired, "forward");
      run("nft", "delete", "rule", "inet", "tsd", "forward", "handle", `${second!.handle}`);
      run("nft", "insert", "rule", "inet", "tsd", "forward", "ip saddr 10.0.0.1 accept");
      run("nft", "add", "rule", "inet", "tsd", "postrouting", "counter");
      run("nft", "delete", "element", "inet", "tsd", "bridges", "{ tsd1 }");
      run("nft", "add", "element", "inet", "tsd", "bridges", "{ eth7 }");
      run("nft", "delete", "element", "inet", "tsd", "ports", "{ tcp . 8443 }");
      run("nft", "add", "element", "inet", "tsd", "ports", "{ tcp . 8443 : 10.0.0.9 . 443 }");
      expect(changes(socket)).toEqual([
        "DELSETELEM inet tsd bridges",
        "NEWSETELEM inet tsd bridges",
        "DELSETELEM inet tsd ports",
        "NEWSETELEM inet tsd ports",
        "DELRULE inet tsd forward",
        "NEWRULE inet tsd forward",
        "DELRULE inet tsd postrouting",
      ]);
      expect(applyTable(socket, desired)).toBe(true);
      expect(list()).toBe(before);
      // The other rules are the same ones.
      expect(handles(socket).filter((handle) => kept.includes(handle)).length).toBe(kept.length - 1);
      expect(applyTable(socket, desired)).toBe(false);
    });
  });

  test("leaves alone what is somebody else's in it: a chain without rules of its own, other chains and sets", () => {
    inPlace((socket) => {
      run("nft", "add", "set", "inet", "tsd", "vpn", "{ type ipv4_addr ; elements = { 10.0.0.1 } ; }");
      run("nft", "add", "chain", "inet", "tsd", "mine");
      run("nft", "add", "rule", "inet", "tsd", "mine", "ip saddr @vpn drop");
      run("nft", "add", "rule", "inet", "tsd", "user", "jump", "mine");
      const before = list();
      expect(applyTable(socket, desired)).toBe(false);
      run("nft", "flush", "chain", "inet", "tsd", "forward");
      expect(applyTable(socket, desired)).toBe(true);
      expect(list()).toBe(before);
    });
  });

  test("with a chain or a map of another nature gets them anew in one transaction, and keeps what is somebody else's", () => {
    inPlace((socket) => {
      run("nft", "add", "rule", "inet", "tsd", "user", "ip saddr 10.0.0.1 drop");
      const before = list().split("\n").sort();
      run("nft", "delete", "chain", "inet", "tsd", "postrouting");
      run("nft", "add", "chain", "inet", "tsd", "postrouting", "{ type filter hook output priority 0 ; }");
      run("nft", "delete", "map", "inet", "tsd", "ports");
      run("nft", "add", "set", "inet", "tsd", "ports", "{ type mark ; }");
      expect(changes(socket).slice(0, 3)).toEqual([
        "DELRULE inet tsd forward",
        "DELCHAIN inet tsd postrouting",
        "DELSET inet tsd ports",
      ]);
      expect(applyTable(socket, desired)).toBe(true);
      expect(list().split("\n").sort()).toEqual(before);
      expect(applyTable(socket, desired)).toBe(false);
    });
  });

  test("is refused as a whole when one rule is: nothing changes", () => {
    inPlace((socket) => {
      const before = list();
      const wrong: DesiredTable = {
        ...desired,
        sets: [bridges("tsd0")],
        chains: [...desired.chains, { name: "more", rules: [{ expressions: [verdict("jump", "nowhere")] }] }],
      };
      expect(() => applyTable(socket, wrong)).toThrow("NFT_MSG_NEWRULE inet tsd more: ENOENT");
      expect(list()).toBe(before);
    });
  });
});
