import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import type { Fd } from "../../fd.ts";
import { createNetworkNamespace, inNetworkNamespace } from "../../namespace.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../socket.ts";
import { newTable } from "./objects.ts";
import { commitBatch, generationAfter, readGeneration } from "./ruleset.ts";
import { newElements, newSet } from "./set.ts";
import { TableWatch } from "./watch.ts";

describe.skipIf(process.getuid?.() !== 0)("changes of nf_tables", () => {
  let namespace: Fd;
  let socket: NetlinkSocket;
  let watch: TableWatch;
  beforeAll(() => {
    namespace = createNetworkNamespace();
    inNetworkNamespace(namespace, () => {
      socket = new NetlinkSocket(NETLINK_NETFILTER);
      watch = new TableWatch();
    });
  });
  afterAll(() => {
    watch[Symbol.dispose]();
    socket.close();
    namespace.close();
  });

  function nft(...args: string[]): void {
    const result = inNetworkNamespace(namespace, () => spawnSync("nft", args, { encoding: "utf8" }));
    expect(result.stderr).toBe("");
  }

  test("are told by the generation that they made, with their table and whether elements alone changed", () => {
    const first = generationAfter(readGeneration(socket));
    nft("add", "table", "inet", "a");
    nft("add", "set", "inet", "a", "s", "{ type mark ; }");
    nft("add", "element", "inet", "a", "s", "{ 1, 2 }");
    nft("add table ip b; add chain ip b c");
    const generations = [first, first + 1, first + 2, first + 3];
    expect(readGeneration(socket)).toBe(first + 3);
    const changes = watch.changes(generations)!;
    const kinds = changes.filter(({ table }) => table === "a").map(({ kind }) => kind);
    // The set, and each of its elements.
    expect(kinds).toEqual(["structure", "elements", "elements", "elements"]);
    expect(changes.filter(({ table }) => table === "b")).toContainEqual({
      family: "ip",
      table: "b",
      kind: "structure",
    });
  });

  test("are asked for once, and not known when they were not heard of", () => {
    nft("add", "table", "inet", "c");
    const now = readGeneration(socket);
    expect(watch.changes([now])?.length).toBe(1);
    expect(watch.changes([])).toEqual([]);
    expect(watch.changes([now])).toBeUndefined();
    expect(watch.changes([generationAfter(now)])).toBeUndefined();
    nft("add", "table", "inet", "d");
    expect(watch.changes([generationAfter(now)])).toEqual([{ family: "inet", table: "d", kind: "structure" }]);
  });

  test("that were too many to be kept are not known, and later ones are", () => {
    const name = { family: "inet", table: "many", set: "s" } as const;
    const elements = Array.from({ length: 60_000 }, (_, i) => ({ key: new Uint8Array(new Uint32Array([i]).buffer) }));
    commitBatch(socket, [newTable(name), newSet({ ...name, key: ["mark"] }, 1), ...newElements(name, elements)]);
    expect(watch.changes([readGeneration(socket)])).toBeUndefined();
    nft("add", "table", "inet", "e");
    expect(watch.changes([readGeneration(socket)])).toEqual([{ family: "inet", table: "e", kind: "structure" }]);
  }, 30_000);
});
