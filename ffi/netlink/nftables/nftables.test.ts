import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import type { Fd } from "../../fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../../namespace.ts";
import { Attributes, type Message } from "../message.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../socket.ts";
import { decodeExpressions, type Expression } from "./expression.ts";
import {
  address,
  counter,
  ctDestinationNat,
  ctState,
  fibTypeLocal,
  inSet,
  interfaceInSet,
  interfaceKey,
  interfaceName,
  interfacePrefix,
  noInputInterface,
  protocolFamily,
  translateByMap,
  transportProtocol,
  verdict,
} from "./match.ts";
import {
  type Chain,
  deleteChain,
  deleteRule,
  deleteTable,
  newChain,
  newRule,
  newTable,
  type Rule,
  type TableName,
} from "./objects.ts";
import { commitBatch, listChains, listElements, listRules, listSets, listTables, readGeneration } from "./ruleset.ts";
import {
  concatenation,
  deleteElements,
  deleteSet,
  newElements,
  newSet,
  type SetDefinition,
  type SetElement,
} from "./set.ts";

const table: TableName = { family: "inet", table: "tsd0" };
const hex = (message: Message, sequence: number): string => Buffer.from(message.finish(sequence)).toString("hex");

/** Four bytes a word, as strace prints what nft(8) sends. */
const words = (text: string): string => text.replace(/\s+/g, "");

describe("nf_tables messages are in the bytes that nft sends", () => {
  test("a table with a comment", () => {
    expect(hex(newTable({ ...table, comment: "of a test" }), 1)).toBe(
      words(`30000000 000a0104 01000000 00000000 01000000 09000100 74736430 00000000
             10000600 000a6f66 20612074 65737400`),
    );
  });

  test("a base chain", () => {
    const base = { type: "filter", hook: "forward", priority: 0, policy: "accept" } as const;
    const attributes = new Attributes(newChain({ ...table, chain: "forward", base }).finish(1), 20);
    const shown = attributes.entries.map(({ type, value }) => `${type} ${Buffer.from(value).toString("hex")}`);
    expect(shown.sort()).toEqual([
      "1 7473643000",
      "3 666f727761726400",
      "4 08000100000000020800020000000000",
      "5 00000001",
      "7 66696c74657200",
    ]);
  });

  test("a rule that matches two interfaces", () => {
    const expressions = [...interfaceName("iifname", "tsd0"), ...interfaceName("oifname", "tsd0"), verdict("accept")];
    expect(hex(newRule({ ...table, chain: "forward", expressions }), 8)).toBe(
      words(`18010000 060a010c 08000000 00000000 01000000 09000100 74736430 00000000
             0c000200 666f7277 61726400 ec000480
             24000180 09000100 6d657461 00000000 14000280 08000200 00000006 08000100 00000001
             38000180 08000100 636d7000 2c000280 08000100 00000001 08000200 00000000
             18000380 14000100 74736430 00000000 00000000 00000000
             24000180 09000100 6d657461 00000000 14000280 08000200 00000007 08000100 00000001
             38000180 08000100 636d7000 2c000280 08000100 00000001 08000200 00000000
             18000380 14000100 74736430 00000000 00000000 00000000
             30000180 0e000100 696d6d65 64696174 65000000 1c000280
             08000100 00000000 10000280 0c000280 08000100 00000001`),
    );
  });

  test("a rule on a set, with a comment", () => {
    const expressions = [...interfaceInSet("oifname", "bridges"), verdict("drop")];
    const message = newRule({ ...table, chain: "forward", expressions, comment: "unasked" });
    const rule = Buffer.from(message.finish(10)).toString("hex");
    expect(rule).toContain(words("0b000100 6c6f6f6b 75700000 18000280 08000200 00000001 0c000100 62726964 67657300"));
    expect(rule).toEndWith(words("0e000700 0008756e 61736b65 64000000"));
  });

  test("verdicts that jump", () => {
    const rule = hex(newRule({ ...table, chain: "forward", expressions: [verdict("jump", "sub")] }), 1);
    expect(rule).toEndWith(words("18000280 14000280 08000100 fffffffd 08000200 73756200"));
  });

  test("the state of connections", () => {
    const rule = hex(newRule({ ...table, chain: "forward", expressions: ctState("established", "related") }), 1);
    expect(rule).toContain(words("20000180 07000100 63740000 14000280 08000200 00000000 08000100 00000001"));
    expect(rule).toContain(words("0c000480 08000100 06000000 0c000580 08000100 00000000"));
    expect(rule).toEndWith(words("08000100 00000001 08000200 00000001 0c000380 08000100 00000000"));
  });

  test("a set of interface names and its elements", () => {
    const set = hex(newSet({ ...table, set: "bridges", key: ["ifname"] }, 1), 6);
    expect(set).toContain(words("0c000200 62726964 67657300 08000300 00000000 08000400 00000029 08000500 00000010"));
    expect(set).toEndWith(words("08000a00 00000001 0a000d00 00040100 00000000"));
    const [elements] = newElements({ ...table, set: "bridges" }, [{ key: interfaceKey("tsd0") }]);
    expect(hex(elements!, 7)).toEndWith(words("1c000180 18000180 14000100 74736430 00000000 00000000 00000000"));
  });

  test("a map from address, protocol and port to address and port, and an element of it", () => {
    const definition: SetDefinition = { ...table, set: "m", key: [...portKey], data: ["ipv4_addr", "inet_service"] };
    const set = hex(newSet(definition, 6), 6);
    expect(set).toContain(words("08000300 00000008 08000400 0000730d 08000500 0000000c 08000a00 00000006"));
    expect(set).toContain(words("08000600 000001cd 08000700 00000008 10000d00 00040000 00000104 00000000"));
    const [elements] = newElements({ ...table, set: "m" }, [published]);
    expect(hex(elements!, 7)).toEndWith(
      words(`2c000380 28000180 14000180 10000100 c0000202 06000000 1f900000
             10000280 0c000100 ac1c0002 00500000`),
    );
  });

  test("a translation by that map", () => {
    const expressions = [
      ...protocolFamily("ip"),
      ...translateByMap("ip", ["ip daddr", "l4proto", "th dport"], "published-ipv4"),
    ];
    const rule = hex(newRule({ ...table, chain: "published", expressions }), 1);
    expect(rule).toContain(words("08000200 00000010 08000100 00000009"));
    expect(rule).toContain(words("08000100 0000000a 08000200 00000002 08000300 00000002 08000400 00000002"));
    expect(rule).toEndWith(
      words(`30000180 08000100 6e617400 24000280
             08000100 00000001 08000200 00000002 08000300 00000001 08000500 00000009`),
    );
  });

  test("what the routing table says of an address", () => {
    const rule = hex(newRule({ ...table, chain: "input", expressions: fibTypeLocal(["daddr", "iif"], "neq") }), 1);
    expect(rule).toContain(words("08000100 66696200 1c000280 08000100 00000001 08000200 00000003 08000300 0000000a"));
    expect(rule).toEndWith(words("08000200 00000001 0c000380 08000100 02000000"));
  });

  test("an address is matched by prefix length", () => {
    const [, , , mask, compare] = address("source", new Uint8Array([172, 28, 63, 1]), 20);
    expect(mask).toMatchObject({ mask: new Uint8Array([255, 255, 240, 0]) });
    expect(compare).toMatchObject({ data: new Uint8Array([172, 28, 48, 0]) });
    const [, family, load] = address("destination", new Uint8Array(16), 64);
    expect(family).toMatchObject({ data: new Uint8Array([10]) });
    expect(load).toMatchObject({ offset: 24, length: 16 });
  });
});

const portKey = ["ipv4_addr", "inet_proto", "inet_service"] as const;
/** 192.0.2.2, TCP, 8080 to 172.28.0.2, 80. */
const published = {
  key: concatenation(new Uint8Array([192, 0, 2, 2]), new Uint8Array([6]), new Uint8Array([0x1f, 0x90])),
  data: concatenation(new Uint8Array([172, 28, 0, 2]), new Uint8Array([0, 80])),
};

/** One of each, for the way out and back. */
const everything: Expression[] = [
  ...interfaceName("iifname", "tsd0"),
  ...interfacePrefix("oifname", "br-"),
  ...address("source", new Uint8Array([10, 1, 0, 0]), 16),
  ...ctState("new"),
  ...ctDestinationNat(),
  { type: "immediate", to: 1, data: new Uint8Array([0x20, 0, 0, 0]) },
  { type: "meta set", key: "mark", from: 1 },
  ...interfaceInSet("oifname", "bridges", true),
  counter(),
  verdict("goto", "sub"),
];

test("every expression reads back as it was written, and unknown ones stay whole", () => {
  const message = newRule({ ...table, chain: "forward", expressions: everything });
  const written = new Attributes(message.finish(1), 20).nested(4)!;
  expect(decodeExpressions(written)).toEqual(everything);
  const other: Expression = { type: "other", name: "limit", data: new Uint8Array([8, 0, 1, 0, 0, 0, 0, 5]) };
  const shift: Expression = { type: "other", name: "bitwise", data: new Uint8Array([8, 0, 6, 0, 0, 0, 0, 1]) };
  const set: Expression = { type: "payload set", base: "transport", offset: 2, length: 2, from: 1, checksumOffset: 6 };
  for (const each of [set, other, shift]) {
    const rule = newRule({ ...table, chain: "forward", expressions: [each] });
    expect(decodeExpressions(new Attributes(rule.finish(1), 20).nested(4)!)).toEqual([each]);
  }
});

describe.skipIf(process.getuid?.() !== 0)("nf_tables in a namespace of its own", () => {
  let namespace: Fd;
  let socket: NetlinkSocket;

  beforeAll(() => {
    namespace = createNetworkNamespace();
    socket = inNetworkNamespace(namespace, () => new NetlinkSocket(NETLINK_NETFILTER));
  });
  afterAll(() => {
    socket.close();
    namespace.close();
  });

  function nft(...args: string[]): string {
    const result = inNetworkNamespace(namespace, () => spawnSync("nft", args, { encoding: "utf8" }));
    if (result.status !== 0) throw new Error(result.stderr);
    return result.stdout;
  }

  test("a whole table is what nft shows, and reads back as it was written", () => {
    const forward: Chain = {
      ...table,
      chain: "forward",
      base: { type: "filter", hook: "forward", priority: -5, policy: "accept" },
    };
    const postrouting: Chain = {
      ...table,
      chain: "postrouting",
      base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" },
    };
    const masquerade: Expression[] = [
      ...address("source", new Uint8Array([172, 28, 0, 0]), 16),
      ...interfaceName("oifname", "tsd0", "neq"),
      { type: "masquerade" },
    ];
    const rules: Rule[] = [
      { ...table, chain: "forward", expressions: everything, comment: "one of each" },
      { ...table, chain: "postrouting", expressions: masquerade },
    ];
    commitBatch(socket, [
      newTable({ ...table, comment: "of a test" }),
      newSet({ ...table, set: "bridges", key: ["ifname"] }, 1),
      ...newElements({ ...table, set: "bridges" }, [{ key: interfaceKey("tsd0") }, { key: interfaceKey("tsd1") }]),
      newSet({ ...table, set: "targets", key: ["ifname"], data: "verdict" }, 2),
      newChain(forward),
      newChain(postrouting),
      newChain({ ...table, chain: "sub" }),
      ...newElements({ ...table, set: "targets" }, [
        { key: interfaceKey("tsd0"), verdict: { verdict: "jump", chain: "sub" } },
        { key: interfaceKey("tsd1"), verdict: { verdict: "drop" } },
      ]),
      ...rules.map((rule) => newRule(rule)),
    ]);

    expect(nft("list", "table", "inet", "tsd0").replace(/\s+/g, " ").trim()).toBe(
      [
        'table inet tsd0 { comment "of a test"',
        'set bridges { type ifname elements = { "tsd0", "tsd1" } }',
        'map targets { type ifname : verdict elements = { "tsd0" : jump sub, "tsd1" : drop } }',
        "chain forward { type filter hook forward priority filter - 5; policy accept;",
        'iifname "tsd0" oifname "br-*" ip saddr 10.1.0.0/16 ct state new ct status dnat meta mark set 0x00000020',
        'oifname != @bridges counter packets 0 bytes 0 goto sub comment "one of each" }',
        "chain postrouting { type nat hook postrouting priority srcnat; policy accept;",
        'ip saddr 172.28.0.0/16 oifname != "tsd0" masquerade }',
        "chain sub { } }",
      ].join(" "),
    );

    expect(listTables(socket)).toEqual([{ ...table, comment: "of a test" }]);
    expect(listChains(socket)).toEqual([forward, postrouting, { ...table, chain: "sub" }]);
    expect(listRules(socket, table).map(({ handle, ...rule }) => rule)).toEqual(rules);
    expect(listRules(socket, table, "postrouting").length).toBe(1);
    expect(listSets(socket, table)).toEqual([
      { ...table, set: "bridges", key: ["ifname"] },
      { ...table, set: "targets", key: ["ifname"], data: "verdict" },
    ]);
    const elements = listElements(socket, { ...table, set: "bridges" });
    expect(elements.map(({ key }) => Buffer.from(key).toString("latin1").replaceAll("\0", "")).sort()).toEqual([
      "tsd0",
      "tsd1",
    ]);
  });

  test("maps, concatenations, translations and questions to the routing table are what nft shows, and read back", () => {
    const chain = { ...table, chain: "published" };
    const expressions: Expression[][] = [
      [...protocolFamily("ip"), ...translateByMap("ip", ["ip daddr", "l4proto", "th dport"], "published-ipv4")],
      [
        ...fibTypeLocal(["daddr"]),
        ...protocolFamily("ip6"),
        ...translateByMap("ip6", ["l4proto", "th dport"], "published-ipv6"),
      ],
    ];
    const filter: Expression[][] = [
      [...inSet(["iifname", "oifname"], "pairs"), ...noInputInterface(), verdict("drop")],
      [...inSet(["nfproto", "oifname"], "masquerade"), ...transportProtocol(132), verdict("accept")],
      [...fibTypeLocal(["daddr", "iif"], "neq"), verdict("accept")],
      [
        { type: "fib", result: "oif", flags: ["saddr", "iif", "present"], to: 1 },
        { type: "cmp", operator: "eq", from: 1, data: new Uint8Array([1, 0, 0, 0]) },
        verdict("accept"),
      ],
    ];
    const [tsd0, tsd1] = [interfaceKey("tsd0"), interfaceKey("tsd1")];
    const sets: (SetDefinition & { elements: SetElement[] })[] = [
      { ...table, set: "pairs", key: ["ifname", "ifname"], elements: [{ key: concatenation(tsd0, tsd1) }] },
      {
        ...table,
        set: "masquerade",
        key: ["nf_proto", "ifname"],
        elements: [{ key: concatenation(new Uint8Array([10]), tsd0) }],
      },
      { ...table, set: "published-ipv4", key: portKey, data: ["ipv4_addr", "inet_service"], elements: [published] },
      {
        ...table,
        set: "published-ipv6",
        key: ["inet_proto", "inet_service"],
        data: ["ipv6_addr", "inet_service"],
        elements: [
          {
            key: concatenation(new Uint8Array([17]), new Uint8Array([0, 53])),
            data: concatenation(
              Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? 0xfd : i)),
              new Uint8Array([0, 53]),
            ),
          },
        ],
      },
    ];
    commitBatch(socket, [
      newTable({ family: "inet", table: "many" }),
      ...sets.flatMap((set, i) => [
        newSet({ ...set, table: "many" }, i + 1),
        ...newElements({ ...set, table: "many" }, set.elements),
      ]),
      newChain({ ...chain, table: "many" }),
      newChain({
        ...chain,
        table: "many",
        chain: "input",
        base: { type: "filter", hook: "input", priority: 0, policy: "accept" },
      }),
      ...expressions.map((each) => newRule({ ...chain, table: "many", expressions: each })),
      ...filter.map((each) => newRule({ ...chain, table: "many", chain: "input", expressions: each })),
    ]);
    expect(nft("list", "table", "inet", "many").replace(/\s+/g, " ").trim()).toBe(
      [
        "table inet many {",
        'set pairs { type ifname . ifname elements = { "tsd0" . "tsd1" } }',
        'set masquerade { type nf_proto . ifname elements = { ipv6 . "tsd0" } }',
        "map published-ipv4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
        "elements = { 192.0.2.2 . tcp . 8080 : 172.28.0.2 . 80 } }",
        "map published-ipv6 { type inet_proto . inet_service : ipv6_addr . inet_service",
        "elements = { udp . 53 : fd01:203:405:607:809:a0b:c0d:e0f . 53 } }",
        "chain published {",
        "dnat ip to ip daddr . meta l4proto . th dport map @published-ipv4",
        "fib daddr type local meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @published-ipv6 }",
        "chain input { type filter hook input priority filter; policy accept;",
        "iifname . oifname @pairs iif 0 drop",
        "meta nfproto . oifname @masquerade meta l4proto sctp accept",
        "fib daddr . iif type != local accept",
        "fib saddr . iif oif exists accept } }",
      ].join(" "),
    );
    const maps: TableName = { family: "inet", table: "many" };
    expect(listSets(socket, maps)).toEqual(sets.map(({ elements, ...set }) => ({ ...set, table: "many" })));
    for (const { set, elements } of sets) expect(listElements(socket, { ...maps, set })).toEqual(elements);
    expect(listRules(socket, maps).map((rule) => rule.expressions)).toEqual([...expressions, ...filter]);
    // A map is told what a key leads to, and does not take another answer to it.
    const other = { key: published.key, data: concatenation(new Uint8Array([172, 28, 0, 3]), new Uint8Array([0, 80])) };
    expect(() => commitBatch(socket, newElements({ ...maps, set: "published-ipv4" }, [other]))).toThrow(/EEXIST|EBUSY/);
    commitBatch(socket, newElements({ ...maps, set: "published-ipv4" }, [published]));
    commitBatch(socket, [deleteTable(maps)]);
  });

  test("elements, rules, chains and sets go away one by one", () => {
    const [rule] = listRules(socket, table, "forward");
    commitBatch(socket, [
      ...deleteElements({ ...table, set: "bridges" }, [{ key: interfaceKey("tsd1") }]),
      deleteRule({ ...table, chain: "forward", handle: rule!.handle! }),
      deleteRule({ ...table, chain: "postrouting" }),
      deleteChain({ ...table, chain: "postrouting" }),
      deleteSet({ ...table, set: "targets" }),
      deleteChain({ ...table, chain: "sub" }),
    ]);
    expect(listChains(socket).map((chain) => chain.chain)).toEqual(["forward"]);
    expect(listRules(socket, table)).toEqual([]);
    expect(listElements(socket, { ...table, set: "bridges" })).toEqual([{ key: interfaceKey("tsd0") }]);
  });

  test("a batch that is refused changes nothing, and the error names what was refused", () => {
    const before = nft("list", "ruleset");
    const chain = { ...table, chain: "extra" };
    expect(() =>
      commitBatch(socket, [
        newChain(chain),
        newRule({ ...chain, expressions: [verdict("jump", "nowhere")] }),
        newRule({ ...chain, expressions: [verdict("accept")] }),
      ]),
    ).toThrow("NFT_MSG_NEWRULE inet tsd0 extra: ENOENT (no such file or directory)");
    expect(nft("list", "ruleset")).toBe(before);
  });

  test("a batch with more refusals than a socket holds is refused all the same, and the socket works on", () => {
    const chain = { ...table, chain: "nowhere" };
    const rules = Array.from({ length: 5000 }, () => newRule({ ...chain, expressions: [verdict("accept")] }));
    expect(() => commitBatch(socket, rules)).toThrow("NFT_MSG_NEWRULE inet tsd0 nowhere: ENOENT");
    expect(readGeneration(socket)).toBeGreaterThan(0);
    expect(() => commitBatch(socket, rules.slice(0, 1))).toThrow("ENOENT");
  });

  test("a batch for a generation that has passed is refused", () => {
    const generation = readGeneration(socket);
    nft("add", "table", "ip", "somebody_else");
    const chain = newChain({ ...table, chain: "late" });
    expect(() => commitBatch(socket, [chain], generation)).toThrow("ERESTART");
    commitBatch(socket, [newChain({ ...table, chain: "late" })], readGeneration(socket));
    expect(readGeneration(socket)).toBeGreaterThan(generation);
  });

  test("a thousand rules fit into one batch", () => {
    const chain = { ...table, chain: "many" };
    const rules = Array.from({ length: 1000 }, () => newRule({ ...chain, expressions: everything }));
    commitBatch(socket, [newChain({ ...table, chain: "sub" }), newChain(chain), ...rules]);
    expect(listRules(socket, table, "many").length).toBe(1000);
  });

  test("what iptables wrote is read: its chains, and its matches as they are", () => {
    const script = "iptables -P FORWARD DROP && iptables -A FORWARD -i tsd9 -m comment --comment x -j ACCEPT";
    const result = inNetworkNamespace(namespace, () => spawnSync("sh", ["-c", script], { encoding: "utf8" }));
    expect(result.stderr).toBe("");
    const filter: TableName = { family: "ip", table: "filter" };
    expect(listChains(socket)).toContainEqual({
      ...filter,
      chain: "FORWARD",
      base: { type: "filter", hook: "forward", priority: 0, policy: "drop" },
    });
    const [rule] = listRules(socket, filter, "FORWARD");
    expect(rule!.expressions.map((expression) => expression.type)).toEqual([
      "meta",
      "cmp",
      "match",
      "counter",
      "verdict",
    ]);
    expect(rule!.expressions[1]).toMatchObject({ data: new TextEncoder().encode("tsd9\0") });
  });

  test("deleting a table takes all of it, and deleting it twice is refused by name", () => {
    commitBatch(socket, [deleteTable(table)]);
    expect(listTables(socket)).not.toContainEqual(expect.objectContaining(table));
    expect(() => commitBatch(socket, [deleteTable(table)])).toThrow(
      "NFT_MSG_DELTABLE inet tsd0: ENOENT (no such file or directory)",
    );
  });
});
