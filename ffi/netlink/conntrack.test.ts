import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Fd } from "../fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../namespace.ts";
import { deleteFlows, FlowTemplate, forgetFlow, listFlows, listFlowsOf, prolongFlow } from "./conntrack.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./socket.ts";

const UDP = 17;

describe.skipIf(process.getuid?.() !== 0)("flows that connection tracking knows", () => {
  let namespace: Fd;
  let socket: NetlinkSocket;

  beforeAll(() => {
    namespace = createNetworkNamespace();
    socket = inNetworkNamespace(namespace, () => new NetlinkSocket(NETLINK_NETFILTER));
    // A rule that asks for a connection's state switches tracking on; port 53 of 127.0.0.2 is translated.
    const rules = `table inet t {
      chain o { type filter hook output priority 0; ct state new counter; }
      chain d { type nat hook output priority -100; ip daddr 127.0.0.2 udp dport 53 dnat to 127.0.0.3:5353; }
    }`;
    const script = `ip link set lo up; echo '${rules}' | nft -f -`;
    const result = inNetworkNamespace(namespace, () => spawnSync("sh", ["-ec", script], { encoding: "utf8" }));
    expect(result.stderr).toBe("");
  });
  afterAll(() => {
    socket.close();
    namespace.close();
  });

  async function send(address: string, port: number, times = 1): Promise<void> {
    for (let i = 0; i < times; i++) {
      const client = await inNetworkNamespace(namespace, () =>
        Bun.udpSocket({
          hostname: address.includes(":") ? "::" : "0.0.0.0",
          connect: { hostname: address, port },
          socket: { error: () => undefined },
        }),
      );
      client.send("?");
      client.close();
    }
  }
  const table = (): string[] =>
    inNetworkNamespace(namespace, () => readFileSync("/proc/thread-self/net/nf_conntrack", "utf8"))
      .split("\n")
      .filter((line) => line.includes("udp"));
  const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

  test("are read as /proc shows them, with what they are translated to", async () => {
    await send("127.0.0.2", 53);
    const [flow, ...others] = listFlows(socket, { family: 4 });
    expect(others).toEqual([]);
    const port = Number(/sport=(\d+)/.exec(table()[0]!)![1]);
    expect(flow).toEqual({
      original: {
        source: bytes(127, 0, 0, 1),
        destination: bytes(127, 0, 0, 2),
        protocol: UDP,
        sourcePort: port,
        destinationPort: 53,
      },
      reply: {
        source: bytes(127, 0, 0, 3),
        destination: bytes(127, 0, 0, 1),
        protocol: UDP,
        sourcePort: 5353,
        destinationPort: port,
      },
      answered: false,
      id: flow!.id,
    });
    expect(table()[0]).toContain("src=127.0.0.3 dst=127.0.0.1 sport=5353");
  });

  test("are filtered by the kernel, by each part of both directions", async () => {
    await send("127.0.0.4", 53);
    await send("127.0.0.4", 54);
    await send("::1", 53);
    const found = (filter: Parameters<typeof listFlows>[1]): string[] =>
      listFlows(socket, filter)
        .map(({ original }) => `${original.destination.at(-1)}:${original.destinationPort}`)
        .sort();
    expect(found({ family: 4 })).toEqual(["2:53", "4:53", "4:54"]);
    expect(found({ family: 6 })).toEqual(["1:53"]);
    expect(found({ family: 4, original: { protocol: UDP, destinationPort: 53 } })).toEqual(["2:53", "4:53"]);
    expect(found({ family: 4, original: { protocol: 6 } })).toEqual([]);
    expect(found({ family: 4, original: { destination: bytes(127, 0, 0, 4) } })).toEqual(["4:53", "4:54"]);
    expect(found({ family: 4, original: { source: bytes(127, 0, 0, 4) } })).toEqual([]);
    expect(found({ family: 4, reply: { source: bytes(127, 0, 0, 3) } })).toEqual(["2:53"]);
    expect(found({ family: 4, reply: { protocol: UDP, sourcePort: 5353 } })).toEqual(["2:53"]);
    const local6 = Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? 1 : 0));
    expect(found({ family: 6, original: { source: local6, protocol: UDP } })).toEqual(["1:53"]);
    expect(found({ family: 6, reply: { source: local6 } })).toEqual(["1:53"]);
    expect(found({ family: 6, reply: { source: new Uint8Array(16) } })).toEqual([]);
    expect(found({ family: 4, answered: true })).toEqual([]);
    expect(found({ family: 4, answered: false })).toEqual(["2:53", "4:53", "4:54"]);
    const both = { original: { protocol: UDP, destinationPort: 53 }, reply: { source: bytes(127, 0, 0, 4) } };
    expect(found({ family: 4, ...both })).toEqual(["4:53"]);
  });

  test("are found in the background by whom they begin or end at, in both families", async () => {
    const found = async (family: 4 | 6, addresses: Uint8Array[]): Promise<string[]> =>
      (await listFlowsOf(socket, family, addresses))
        .map(({ original }) => `${original.destination.at(-1)}:${original.destinationPort}`)
        .sort();
    const translated = bytes(127, 0, 0, 3);
    expect(await found(4, [translated])).toEqual(["2:53"]);
    expect(await found(4, [bytes(127, 0, 0, 2)])).toEqual([]);
    expect(await found(4, [translated, bytes(127, 0, 0, 4), bytes(127, 0, 0, 9)])).toEqual(["2:53", "4:53", "4:54"]);
    // More than are searched for one by one.
    const many = Array.from({ length: 20 }, (_, i) => bytes(127, 0, 1, i));
    expect(await found(4, many)).toEqual([]);
    expect(await found(4, [...many, translated])).toEqual(["2:53"]);
    expect(await found(4, [bytes(127, 0, 0, 1)])).toEqual(["2:53", "4:53", "4:54"]);
    const local6 = Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? 1 : 0));
    expect(await found(6, [local6])).toEqual(["1:53"]);
    expect(await found(6, [local6.with(14, 1)])).toEqual([]);
    // The socket is as it was.
    expect(listFlows(socket, { family: 6 }).length).toBe(1);
  });

  test("are deleted one by one, hundreds in a row, and one that is gone is no error", async () => {
    await send("127.0.0.5", 55, 250);
    const flows = listFlows(socket, { family: 4, original: { destination: bytes(127, 0, 0, 5) } });
    // The kernel may choose the same port twice.
    expect(flows.length).toBeGreaterThan(200);
    const before = table().length;
    deleteFlows(socket, flows);
    expect(table().length).toBe(before - flows.length);
    deleteFlows(socket, flows);
    expect(table().length).toBe(before - flows.length);
  });

  test("are not deleted for a later one of the same addresses and ports", async () => {
    const [flow] = listFlows(socket, { family: 4, original: { destination: bytes(127, 0, 0, 2) } });
    const before = table().length;
    deleteFlows(socket, [{ ...flow!, id: (flow!.id + 1) >>> 0 }]);
    expect(table().length).toBe(before);
    deleteFlows(socket, [flow!, ...listFlows(socket, { family: 6 })]);
    expect(table().length).toBe(before - 2);
  });

  describe.each([4, 6] as const)("of IPv%d, told of before they begin,", (family) => {
    const address = (last: number): Uint8Array =>
      family === 4 ? bytes(127, 0, 0, last) : Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? last : 0));
    const path = { source: address(1), destination: address(7), protocol: UDP, destinationPort: 53, timeoutS: 50 };
    const original = {
      source: address(1),
      destination: address(7),
      protocol: UDP,
      sourcePort: 4000,
      destinationPort: 53,
    };
    const replies = (): string[] =>
      listFlows(socket, { family, original: { destination: address(7) } }).map(
        ({ reply }) => `${reply.destination.at(-1)}:${reply.destinationPort}`,
      );
    const EEXIST = 17;
    const ENOENT = 2;

    test("are translated as they are told, each once, or to any port that is free", () => {
      const [exact, any] = [new FlowTemplate(path, true), new FlowTemplate(path, false)];
      const client = { address: address(9), port: 5000 };
      expect(socket.try(exact.flow(4000, client))).toBe(0);
      expect(socket.try(exact.flow(4000, { ...client, port: 5001 }))).toBe(EEXIST);
      expect(socket.try(exact.flow(4001, client))).toBe(EEXIST);
      expect(socket.try(any.flow(4001, client))).toBe(0);
      expect(replies().sort()).toEqual(["9:4001", "9:5000"]);
      // Where its own is taken it gets another one.
      expect(socket.try(any.flow(5000, client))).toBe(0);
      expect(new Set(replies()).size).toBe(3);
    });

    test("last as long as is said, and are forgotten by where they come from and go to", () => {
      const left = (): number => Number(/ (\d+) src=\S+ dst=\S+ sport=4000 /.exec(table().find(isFirst)!)![1]);
      const isFirst = (line: string): boolean => line.includes("sport=4000 ") && line.startsWith(`ipv${family}`);
      expect(left()).toBeWithin(40, 51);
      expect(socket.try(prolongFlow(original, 90))).toBe(0);
      expect(left()).toBeWithin(80, 91);
      expect(socket.try(forgetFlow(original))).toBe(0);
      expect(replies()).toHaveLength(2);
      expect([socket.try(forgetFlow(original)), socket.try(prolongFlow(original, 90))]).toEqual([ENOENT, ENOENT]);
      deleteFlows(socket, listFlows(socket, { family, original: { destination: address(7) } }));
    });
  });
});
