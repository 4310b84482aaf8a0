/** Who changed what between two generations, as the kernel tells it. */
import { Attributes } from "../message.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../socket.ts";
import { decodeName, NFT_MSG, type TableName } from "./objects.ts";

const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFTA_GEN_ID = 1;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and so on are all 1. */
const NFTA_ANY_TABLE = 1;
const nfgenmsgLength = 4;

/** News of some ten thousand changes. Where more waits the kernel drops what comes, and says so. */
const bufferSize = 2 * 1024 * 1024;

/** A change of a table, its chains or its rules; what happens in sets is `elements`. */
export interface Change extends Partial<TableName> {
  kind: "structure" | "elements";
}

const structural: readonly number[] = [
  NFT_MSG.NEWTABLE,
  NFT_MSG.DELTABLE,
  NFT_MSG.NEWCHAIN,
  NFT_MSG.DELCHAIN,
  NFT_MSG.NEWRULE,
  NFT_MSG.DELRULE,
];

/** Listens to the changes of all tables of a network namespace: that of the thread when it is made. */
export class TableWatch implements Disposable {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);
  /** The changes of each generation that was heard of, until they are asked for. */
  readonly #byGeneration = new Map<number, Change[]>();
  #isWhole = true;

  /** @throws SyscallError */
  constructor() {
    try {
      this.#socket.join(NFNLGRP_NFTABLES, bufferSize);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /**
   * What made these generations; undefined when not all of it is known. What was before them is forgotten.
   */
  changes(generations: readonly number[]): Change[] | undefined {
    this.#read();
    const found = generations.map((generation) => this.#byGeneration.get(generation));
    const isWhole = this.#isWhole && !found.includes(undefined);
    this.#byGeneration.clear();
    this.#isWhole = true;
    return isWhole ? found.flatMap((changes) => changes ?? []) : undefined;
  }

  #read(): void {
    const news = this.#socket.news();
    if (news === undefined) {
      this.#isWhole = false;
      return;
    }
    let current: Change[] = [];
    for (const { type, body } of news) {
      if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
      const number = type & 0xff;
      const attributes = new Attributes(body, nfgenmsgLength);
      if (number === NFT_MSG.NEWGEN) {
        // Every batch ends with the generation that it made.
        const generation = attributes.u32be(NFTA_GEN_ID);
        if (generation !== undefined) this.#byGeneration.set(generation, current);
        current = [];
      } else {
        const name = decodeName({ type, flags: 0, sequence: 0, body }, attributes.string(NFTA_ANY_TABLE));
        current.push({ ...name, kind: structural.includes(number) ? "structure" : "elements" });
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
