/** What others' chains do with packets that they have no rule for. */
import { readFileSync } from "node:fs";
import type { Chain, Rule } from "../../../ffi/netlink/nftables/objects.ts";
import { listElements } from "../../../ffi/netlink/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { type LegacyForward, readLegacyForward } from "../../../ffi/xtables.ts";
import { isErrno } from "../../core/errors.ts";

/** A policy of drop, or a last rule that takes everything that came so far and refuses it. */
export function reasonToDrop(chain: Chain, rules: readonly Rule[]): string | undefined {
  if (chain.base?.policy === "drop") return "its policy is drop";
  const last = rules.at(-1)?.expressions.filter((expression) => expression.type !== "counter") ?? [];
  const [only] = last;
  if (last.length !== 1 || only === undefined) return undefined;
  const refuses = only.type === "verdict" ? only.verdict === "drop" : only.type === "other" && only.name === "reject";
  return refuses ? "its last rule refuses what no other rule took" : undefined;
}

/** The interfaces that rules name, alone or in sets; a beginning of a name ends in `*`. */
export function interfacesOf(socket: NetlinkSocket, rules: readonly Rule[]): Set<string> {
  const names = new Set<string>();
  for (const rule of rules) {
    for (const [i, expression] of rule.expressions.entries()) {
      const before = rule.expressions[i - 1];
      if (before?.type !== "meta" || (before.key !== "iifname" && before.key !== "oifname")) continue;
      if (expression.type === "cmp") names.add(nameIn(expression.data));
      if (expression.type !== "lookup") continue;
      const { family, table } = rule;
      for (const { key } of listElements(socket, { family, table, set: expression.set })) names.add(nameIn(key));
    }
  }
  return names;
}

/** With its NUL a name is compared in full. */
function nameIn(data: Uint8Array): string {
  const end = data.indexOf(0);
  return Buffer.from(end < 0 ? data : data.subarray(0, end)).toString() + (end < 0 ? "*" : "");
}

export function legacyForward(): LegacyForward | undefined {
  try {
    // Asking the kernel for a table makes it: only those that are there already are read.
    const names = readFileSync("/proc/net/ip_tables_names", "utf8").split("\n");
    return names.includes("filter") ? readLegacyForward() : undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
