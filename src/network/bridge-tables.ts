/** The firewall of all bridges: a table of nf_tables for each, and what others' tables need so that packets pass. */
import { readGeneration } from "../../ffi/netlink/nftables/ruleset.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { log } from "../core/log.ts";
import type { BridgeRules } from "./firewall/rules.ts";
import { applyTable, removeTable } from "./firewall/table.ts";
import { bridgeTable } from "./firewall.ts";
import { type Blocker, closeDockerUser, passForeignFirewalls } from "./foreign-firewall.ts";

export class BridgeTables implements Disposable {
  readonly #netfilter = new NetlinkSocket(NETLINK_NETFILTER);
  readonly #bridges = new Map<string, { rules: BridgeRules; blockers: Blocker[] }>();
  /** The generation of all tables when they were last looked at. */
  #generation: number | undefined;

  setBridge(rules: BridgeRules): void {
    this.#bridges.set(rules.bridge, { rules, blockers: [] });
    this.#apply(rules.bridge);
    this.#generation = readGeneration(this.#netfilter);
  }

  removeBridge(bridge: string): void {
    this.#bridges.delete(bridge);
    closeDockerUser(this.#netfilter, bridge);
    removeTable(this.#netfilter, { family: "inet", table: bridge });
  }

  /**
   * Puts the tables back when they were changed or flushed, and looks at others' firewalls again. Costs one question to
   * the kernel when nobody changed any table since the last time.
   */
  check(): void {
    if (this.#generation !== undefined && readGeneration(this.#netfilter) === this.#generation) return;
    for (const bridge of this.#bridges.keys()) {
      if (this.#apply(bridge)) log("warn", "firewall table was changed and put back", { table: bridge });
    }
    this.#generation = readGeneration(this.#netfilter);
  }

  /** @returns whether the bridge's own table had to be changed. */
  #apply(bridge: string): boolean {
    const entry = this.#bridges.get(bridge)!;
    const { rules } = entry;
    const masqueraded = rules.subnets.filter(({ family }) => rules.masquerade[family === 4 ? "ipv4" : "ipv6"]);
    const changed = applyTable(this.#netfilter, bridgeTable({ bridge, subnets: masqueraded }));
    const before = JSON.stringify(entry.blockers);
    entry.blockers = passForeignFirewalls(this.#netfilter, bridge);
    if (JSON.stringify(entry.blockers) !== before) {
      for (const { where, why, hint } of entry.blockers)
        log("warn", `${where} drops containers' packets: ${why}`, { hint });
    }
    return changed;
  }

  /** What the administrator should know: whose firewall will drop containers' packets, and how to let them pass. */
  warnings(): string[] {
    return [...this.#bridges].flatMap(([bridge, { blockers }]) =>
      blockers.map(
        ({ where, why, hint }) =>
          `${where} drops the packets of containers on ${bridge}: ${why}. To let them pass: ${hint}`,
      ),
    );
  }

  [Symbol.dispose](): void {
    this.#netfilter.close();
  }
}
