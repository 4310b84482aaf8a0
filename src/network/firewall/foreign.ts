/**
 * Living with other people's firewalls.
 *
 * An accept in tsd's own table accepts for that table alone: a packet passes all chains that hang at the forward hook,
 * and one that drops has the last word. So nothing in a table of tsd's own can help where another table drops what it
 * has no rule for, as dockerd's does (it sets iptables' FORWARD policy to DROP), ufw's and firewalld's. A mark would
 * not help either: nobody's rules ask for it.
 *
 * What remains is to ask the owner. dockerd has a chain for that, DOCKER-USER, which is the administrator's and which
 * dockerd neither fills nor empties: tsd adds its own rules there, for each bridge, last, so that the administrator's
 * come first, each with a comment that says whose it is. Everywhere else it changes nothing and says what to do.
 */
import { type Chain, deleteRule, newRule, type TableName } from "../../../ffi/netlink/nftables/objects.ts";
import {
  commitBatch,
  generationAfter,
  listChains,
  listRules,
  readGeneration,
} from "../../../ffi/netlink/nftables/ruleset.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import {
  asksDockerUser,
  bridgeOfRule,
  dockerUser,
  dockerUserRules,
  isUnconditionalReturn,
  tableOfDocker,
} from "./docker-user.ts";
import { hintFor, legacyHint } from "./hints.ts";
import { interfacesOf, legacyForward, reasonToDrop } from "./inspect.ts";
import type { BridgeRules } from "./rules.ts";

const commitAttemptsMax = 5;

/** A chain that drops what it does not know. */
interface Dropping {
  /** `chain FORWARD of table ip filter`. */
  where: string;
  why: string;
  families: readonly (4 | 6)[];
  /** Interfaces that its table has rules for; one that ends in `*` stands for all that begin so. */
  knows: Set<string>;
  /** dockerd's, which has a chain for others' rules. */
  docker?: { table: TableName; before?: bigint };
  hint: (bridges: readonly string[]) => string;
  /** Bridges whose packets it drops. */
  drops: string[];
}

export class ForeignFirewalls {
  readonly #socket: NetlinkSocket;
  readonly #own: string;
  #dropping: Dropping[] = [];

  /** @param own the name of tsd's table, which is not looked at. */
  constructor(socket: NetlinkSocket, own: string) {
    this.#socket = socket;
    this.#own = own;
  }

  /**
   * Looks for what would drop bridges' packets, and lets them pass where dockerd has a chain for that.
   * @returns the generation of all tables that was read, and the one after tsd's own changes: what is known is true of it.
   * @throws NetlinkError, SyscallError, EngineError
   */
  look(bridges: Iterable<BridgeRules>): { from: number; to: number } {
    const all = [...bridges];
    for (let attempt = 1; attempt <= commitAttemptsMax; attempt++) {
      const from = readGeneration(this.#socket);
      this.#dropping = [...this.#inspect(), ...legacyDropping()];
      const to = this.#place(all, from);
      if (to !== undefined) return { from, to };
    }
    throw new EngineError("unavailable", `others kept changing nf_tables during ${commitAttemptsMax} attempts`);
  }

  /**
   * One more bridge, when nobody changed tables since the last look. Costs the same however many there are.
   * @param generation that of now. @returns the one after tsd's own changes; undefined: it was another one.
   */
  add(bridge: BridgeRules, generation: number): number | undefined {
    return this.#place([bridge], generation);
  }

  /**
   * Takes tsd's rules for a bridge out of DOCKER-USER.
   * @returns the generation afterwards; undefined when it is not known, or was not known before.
   */
  remove(bridge: string, generation: number | undefined): number | undefined {
    for (const dropping of this.#dropping) {
      dropping.drops = dropping.drops.filter((name) => name !== bridge);
      if (dropping.docker !== undefined) dropping.knows.delete(bridge);
    }
    const chains = listChains(this.#socket).filter(({ chain }) => chain === dockerUser);
    const mine = chains
      .flatMap((chain) => listRules(this.#socket, chain, dockerUser))
      .filter((rule) => bridgeOfRule(rule) === bridge);
    if (mine.length === 0) return generation;
    commitBatch(this.#socket, mine.map(deleteRule));
    const next = generation === undefined ? undefined : generationAfter(generation);
    return readGeneration(this.#socket) === next ? next : undefined;
  }

  /** What is still in the way, and how to let packets pass: one sentence for each chain. */
  warnings(): string[] {
    return this.#dropping
      .filter(({ drops }) => drops.length > 0)
      .map(({ where, why, drops, hint }) => {
        const names = drops.join(", ");
        return `${where} drops the packets of containers on ${names}: ${why}. To let them pass: ${hint(drops)}`;
      });
  }

  #inspect(): Dropping[] {
    const chains = listChains(this.#socket);
    const found: Dropping[] = [];
    for (const chain of chains) {
      const families = familiesOf(chain);
      if (chain.base?.hook !== "forward" || families === undefined || this.#isOwn(chain)) continue;
      const rules = listRules(this.#socket, chain);
      const own = rules.filter((rule) => rule.chain === chain.chain);
      const why = reasonToDrop(chain, own);
      if (why === undefined) continue;
      const table = tableOfDocker(chain, chains);
      const docker = table !== undefined && asksDockerUser(own) ? { docker: { table, ...lastReturn(rules) } } : {};
      found.push({
        where: `chain ${chain.chain} of table ${chain.family} ${chain.table}`,
        why,
        families,
        knows: interfacesOf(this.#socket, rules),
        ...docker,
        hint: (bridges) => hintFor(chain, bridges),
        drops: [],
      });
    }
    return found;
  }

  #isOwn({ family, table }: TableName): boolean {
    return family === "inet" && table === this.#own;
  }

  /**
   * Finds what each bridge's packets meet.
   * @returns the generation afterwards; undefined when somebody changed tables since this one.
   */
  #place(bridges: readonly BridgeRules[], generation: number): number | undefined {
    let current = generation;
    for (const dropping of this.#dropping) {
      const unknown = bridges
        .filter(({ subnets }) => subnets.some(({ family }) => dropping.families.includes(family)))
        .map(({ bridge }) => bridge)
        .filter((bridge) => !knowsInterface(dropping.knows, bridge));
      if (unknown.length === 0) continue;
      if (dropping.docker === undefined) {
        dropping.drops = [...new Set([...dropping.drops, ...unknown])];
        continue;
      }
      if (!this.#open(dropping.docker, unknown, current)) return undefined;
      current = generationAfter(current);
      for (const bridge of unknown) dropping.knows.add(bridge);
    }
    return current;
  }

  /** False when somebody changed tables since that generation. */
  #open(docker: NonNullable<Dropping["docker"]>, bridges: readonly string[], generation: number): boolean {
    const chain = { ...docker.table, chain: dockerUser };
    const rules = bridges.flatMap(dockerUserRules).map((expressions) => ({ ...chain, expressions }));
    try {
      commitBatch(
        this.#socket,
        rules.map((rule) => newRule(rule, docker.before)),
        generation,
      );
    } catch (error) {
      if (isErrno(error, "ERESTART")) return false;
      throw error;
    }
    return true;
  }
}

function familiesOf({ family }: Chain): readonly (4 | 6)[] | undefined {
  if (family === "inet") return [4, 6];
  if (family === "ip") return [4];
  return family === "ip6" ? [6] : undefined;
}

/** Older dockerds end DOCKER-USER with a return; what comes behind it is never asked. */
function lastReturn(rules: ReturnType<typeof listRules>): { before?: bigint } {
  const last = rules.filter((rule) => rule.chain === dockerUser).at(-1);
  return last?.handle !== undefined && isUnconditionalReturn(last) ? { before: last.handle } : {};
}

function knowsInterface(knows: ReadonlySet<string>, name: string): boolean {
  if (knows.has(name)) return true;
  return [...knows].some((pattern) => pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1)));
}

/** What iptables-legacy has is not in nf_tables, and can only be read. */
function legacyDropping(): Dropping[] {
  const forward = legacyForward();
  if (forward?.policy !== "drop") return [];
  return [
    {
      where: "chain FORWARD of iptables-legacy's table filter",
      why: "its policy is drop",
      families: [4],
      knows: new Set(forward.interfaces.map((name) => name.replace(/\+$/, "*"))),
      hint: legacyHint,
      drops: [],
    },
  ];
}
