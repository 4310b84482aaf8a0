import { NetlinkError } from "../../../ffi/netlink/error.ts";
import type { Message } from "../../../ffi/netlink/message.ts";
import { deleteChain, deleteRule, deleteTable, type TableName } from "../../../ffi/netlink/nftables/objects.ts";
import { commitBatch, generationAfter, listTables, readGeneration } from "../../../ffi/netlink/nftables/ruleset.ts";
import { deleteElements, deleteSet, newElements, type SetElement } from "../../../ffi/netlink/nftables/set.ts";
import { TableWatch } from "../../../ffi/netlink/nftables/watch.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { EngineError, errorMessage, isErrno, isKernelError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { type Address, formatAddress } from "../address.ts";
import {
  bridgeElements,
  isOnLoopback,
  lookupsOf,
  type Placed,
  portElement,
  type SetName,
  tableContents,
  userChain,
} from "./contents.ts";
import { endFlowsTo, endStaleFlows, endUnmasqueraded, endUnshown } from "./flows.ts";
import { ForeignFirewalls } from "./foreign.ts";
import { setRouteLocalnet } from "./route-localnet.ts";
import type { BridgeRules, PortTranslation } from "./rules.ts";
import { changesTo, readTable } from "./table.ts";

/** How often the generation is looked at: a table that somebody flushed is back within twice this. */
const checkIntervalMs = 1_000;
const commitAttemptsMax = 5;
/** More changes than that in a second are not followed one by one. */
const generationsMissedMax = 1_000;
/** What tables say that an older tsd made, one for each bridge and named after it. */
const formerComment = "made by tsd, which puts it back when it is changed";

/** A port with the element that it is. */
interface Published {
  port: PortTranslation;
  placed: Placed;
}

/**
 * tsd's table of nf_tables: what may pass between bridges, host and elsewhere, and where published ports lead to.
 * contents.ts says what is in it.
 *
 * What is to be is kept here. A change is one batch that the kernel takes or refuses as a whole, with nothing in it but
 * the elements that come and go; where somebody else changed tables since the last look, what is there is read and
 * made right first. Every call is synchronous, and an error leaves everything as it was.
 */
export class Firewall implements Disposable {
  readonly #name: TableName;
  readonly #socket: NetlinkSocket;
  readonly #foreign: ForeignFirewalls;
  readonly #news: TableWatch;
  readonly #bridges = new Map<string, BridgeRules>();
  /** By the element that each is. */
  readonly #ports = new Map<string, Published>();
  /** How many of a bridge's ports are reached at 127.0.0.1. */
  readonly #onLoopback = new Map<string, number>();
  /** The generation of all tables when tsd's was last known to be right. */
  #generation: number | undefined;
  #logged: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastFault: string | undefined;

  /** Nothing is made before the first bridge. @throws SyscallError when there is no netfilter. */
  constructor(table: string) {
    this.#name = { family: "inet", table };
    this.#socket = new NetlinkSocket(NETLINK_NETFILTER);
    this.#foreign = new ForeignFirewalls(this.#socket, table);
    this.#news = new TableWatch();
  }

  /** Makes a bridge known, or changes what is to be done for it. @throws NetlinkError */
  setBridge(rules: BridgeRules): void {
    const before = this.#bridges.get(rules.bridge);
    this.#bridges.set(rules.bridge, rules);
    try {
      this.#change(before === undefined ? [] : bridgeElements(before), bridgeElements(rules));
      this.#passForeign(rules);
      // An interface that was made anew has forgotten it.
      if (this.#onLoopback.has(rules.bridge)) setRouteLocalnet(rules.bridge, true);
    } catch (error) {
      if (before === undefined) this.#bridges.delete(rules.bridge);
      else this.#bridges.set(rules.bridge, before);
      this.#generation = undefined;
      throw error;
    }
    this.#watch();
  }

  /** The interface was made anew: what goes with it, and not with the table, is set again. @throws an error of the file's */
  bridgeRemade(name: string): void {
    if (this.#onLoopback.has(name)) setRouteLocalnet(name, true);
  }

  /** Forgets a bridge, and whatever is published to it; one that is not known is no error. @throws NetlinkError */
  removeBridge(name: string): void {
    const rules = this.#bridges.get(name);
    if (rules === undefined) return;
    const published = [...this.#ports].filter(([, { port }]) => port.bridge === name);
    this.#bridges.delete(name);
    for (const [key] of published) this.#ports.delete(key);
    try {
      this.#change([...published.map(([, { placed }]) => placed), ...bridgeElements(rules)], []);
      this.#generation = this.#foreign.remove(name, this.#generation);
    } catch (error) {
      this.#bridges.set(name, rules);
      for (const [key, each] of published) this.#ports.set(key, each);
      this.#generation = undefined;
      throw error;
    }
    if (this.#onLoopback.delete(name)) setRouteLocalnet(name, false);
    const ports = published.map(([, { port }]) => port);
    this.#endFlows(() => endFlowsTo(this.#socket, ports));
  }

  /**
   * Translates ports, all or none.
   * @throws EngineError conflict when one is taken already, not_found for a bridge that is not known; NetlinkError.
   */
  publish(ports: readonly PortTranslation[]): void {
    const added = this.#newPorts(ports);
    for (const [key, each] of added) this.#ports.set(key, each);
    const opened: string[] = [];
    try {
      for (const port of ports) if (this.#countLoopback(port, 1) === 1) opened.push(port.bridge);
      // Before the bridge takes such packets, the rule that drops foreign ones is there.
      if (opened.length > 0) this.check();
      for (const bridge of opened) setRouteLocalnet(bridge, true);
      this.#change(
        [],
        [...added.values()].map(({ placed }) => placed),
      );
    } catch (error) {
      for (const key of added.keys()) this.#ports.delete(key);
      for (const port of ports) this.#countLoopback(port, -1);
      for (const bridge of opened) setRouteLocalnet(bridge, false);
      throw error;
    }
    this.#endFlows(() => endStaleFlows(this.#socket, ports, this.#translate));
  }

  #newPorts(ports: readonly PortTranslation[]): Map<string, Published> {
    const added = new Map<string, Published>();
    for (const port of ports) {
      const placed = portElement(port);
      const key = keyOf(placed.set, placed.element.key);
      const other = this.#ports.get(key) ?? added.get(key);
      if (other !== undefined) {
        throw new EngineError("conflict", `${describePort(port)}: translated already to ${describeTarget(other.port)}`);
      }
      if (!this.#bridges.has(port.bridge)) {
        throw new EngineError("not_found", `${describePort(port)}: no bridge ${port.bridge}`);
      }
      added.set(key, { port, placed });
    }
    return added;
  }

  /** Withdraws ports; those that are not published are no error. @throws NetlinkError */
  unpublish(ports: readonly PortTranslation[]): void {
    const gone = new Map<string, Published>();
    for (const port of ports) {
      const { set, element } = portElement(port);
      const key = keyOf(set, element.key);
      const published = this.#ports.get(key);
      if (published !== undefined) gone.set(key, published);
    }
    if (gone.size === 0) return;
    for (const key of gone.keys()) this.#ports.delete(key);
    try {
      this.#change(
        [...gone.values()].map(({ placed }) => placed),
        [],
      );
    } catch (error) {
      for (const [key, each] of gone) this.#ports.set(key, each);
      throw error;
    }
    const withdrawn = [...gone.values()].map(({ port }) => port);
    for (const port of withdrawn) if (this.#countLoopback(port, -1) === 0) setRouteLocalnet(port.bridge, false);
    this.#endFlows(() => endFlowsTo(this.#socket, withdrawn));
  }

  /** New flows go right whatever becomes of the old ones: that these could not be ended undoes nothing. */
  #endFlows(end: () => void): void {
    try {
      end();
    } catch (error) {
      if (!isKernelError(error)) throw error;
      log("warn", "flows that began before could not be ended", { error: errorMessage(error) });
    }
  }

  readonly #translate = (protocol: number, destination: Address, port: number): PortTranslation | undefined => {
    for (const { set, key } of lookupsOf(destination, protocol, port)) {
      const found = this.#ports.get(keyOf(set, key));
      if (found !== undefined) return found.port;
    }
    return undefined;
  };

  #countLoopback(port: PortTranslation, by: 1 | -1): number | undefined {
    if (!isOnLoopback(port)) return undefined;
    const count = (this.#onLoopback.get(port.bridge) ?? 0) + by;
    if (count > 0) this.#onLoopback.set(port.bridge, count);
    else this.#onLoopback.delete(port.bridge);
    return count;
  }

  /**
   * After a restart: all that there is to be. What the kernel has and what is right is not touched; the tables that an
   * older tsd made for these bridges go.
   * @throws EngineError, NetlinkError; what was known before is kept then.
   */
  replace({ bridges, ports }: { bridges: readonly BridgeRules[]; ports: readonly PortTranslation[] }): void {
    const before = { bridges: [...this.#bridges.values()], ports: this.#allPorts() };
    try {
      this.#remember(bridges, ports);
      this.#restoreAndMend();
      for (const { bridge } of bridges) setRouteLocalnet(bridge, this.#onLoopback.has(bridge));
    } catch (error) {
      this.#remember(before.bridges, before.ports);
      this.#generation = undefined;
      throw error;
    }
    if (this.#bridges.size > 0) this.#watch();
  }

  #remember(bridges: readonly BridgeRules[], ports: readonly PortTranslation[]): void {
    for (const map of [this.#bridges, this.#ports, this.#onLoopback]) map.clear();
    for (const rules of bridges) this.#bridges.set(rules.bridge, rules);
    for (const [key, each] of this.#newPorts(ports)) this.#ports.set(key, each);
    for (const port of ports) this.#countLoopback(port, 1);
  }

  #allPorts(): PortTranslation[] {
    return [...this.#ports.values()].map(({ port }) => port);
  }

  /**
   * Puts the table back when somebody changed or flushed it, and looks at others' firewalls again. Costs one question
   * to the kernel when nobody changed any table since the last look, and little more when only others' were changed.
   * @throws NetlinkError
   */
  check(): void {
    if (this.#bridges.size === 0 || this.#catchUp()) return;
    const known = this.#generation !== undefined;
    if (this.#restoreAndMend() && known) {
      log("warn", "firewall table was changed and put back", { table: this.#name.table });
    }
  }

  /** Whether tsd's table is known to be right now; reads none of it. Others' firewalls are looked at if need be. */
  #catchUp(): boolean {
    if (this.#generation === undefined) return false;
    const now = readGeneration(this.#socket);
    const missed = generationsBetween(this.#generation, now);
    const changes = missed && this.#news.changes(missed);
    if (changes === undefined) return missed?.length === 0;
    const { family, table } = this.#name;
    if (changes.some((change) => change.family === family && change.table === table)) return false;
    this.#generation = now;
    if (!changes.some(({ kind }) => kind === "structure")) return true;
    const { from, to } = this.#foreign.look(this.#bridges.values());
    this.#logWarnings();
    if (from !== now) return this.#catchUp();
    this.#generation = to;
    return true;
  }

  /** What began while the table was not right stays wrong, unless it is ended. */
  #restoreAndMend(): boolean {
    const changed = this.#restore();
    if (changed) {
      this.#endFlows(() => {
        endStaleFlows(this.#socket, this.#allPorts(), this.#translate);
        endUnmasqueraded(this.#socket, [...this.#bridges.values()]);
        endUnshown(this.#socket, [...this.#bridges.values()]);
      });
    }
    return changed;
  }

  /** What the administrator should know: whose firewall will drop containers' packets, and how to let them pass. */
  warnings(): string[] {
    return this.#foreign.warnings();
  }

  /** Takes the table away, but for what the administrator has in it. Nobody uses it any more. @throws NetlinkError */
  tearDown(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const bridge of this.#bridges.keys()) this.#foreign.remove(bridge, undefined);
    this.#remember([], []);
    this.#commitAgainstWhatIsThere(() => {
      const actual = readTable(this.#socket, this.#name);
      if (actual === undefined) return [];
      const own = tableContents(this.#name.table, [], []);
      const isOwn = (name: string): boolean => name !== userChain && own.chains.some((chain) => chain.name === name);
      const chains = actual.chains.filter(({ chain }) => isOwn(chain));
      const sets = actual.sets.filter(({ set }) => own.sets.some(({ name }) => name === set));
      const foreign = actual.rules.some(({ chain }) => !isOwn(chain)) || sets.length < actual.sets.length;
      if (!foreign) return [deleteTable(this.#name)];
      return [...chains.map(deleteRule), ...chains.map(deleteChain), ...sets.map(deleteSet)];
    });
    // There is no table now: the next bridge is not an element that is added to one.
    this.#generation = undefined;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#news[Symbol.dispose]();
    this.#socket.close();
  }

  /** Takes elements out and puts others in; what both have stays. */
  #change(removed: readonly Placed[], added: readonly Placed[]): void {
    const before = new Set(removed.map(textOf));
    const after = new Set(added.map(textOf));
    const messages = [
      ...grouped(removed.filter((each) => !after.has(textOf(each)))).flatMap(([set, elements]) =>
        deleteElements({ ...this.#name, set }, elements),
      ),
      ...grouped(added.filter((each) => !before.has(textOf(each)))).flatMap(([set, elements]) =>
        newElements({ ...this.#name, set }, elements),
      ),
    ];
    if (messages.length === 0) {
      this.check();
      return;
    }
    try {
      if (this.#generation === undefined) this.#restore();
      else if (!this.#commitNow(messages)) this.#restoreAndMend();
    } catch (error) {
      // The caller takes back what it wanted: the next look makes the kernel's table agree.
      this.#generation = undefined;
      throw error;
    }
  }

  /** False when the table is not what it should be. */
  #commitNow(messages: Message[]): boolean {
    for (let attempt = 1; attempt <= commitAttemptsMax; attempt++) {
      if (this.#generation === undefined) return false;
      if (this.#commitOnto(this.#generation, messages)) return true;
      if (!this.#catchUp()) return false;
    }
    return false;
  }

  /** False when somebody changed tables since that generation. */
  #commitOnto(generation: number, messages: Message[]): boolean {
    try {
      commitBatch(this.#socket, messages, generation);
    } catch (error) {
      if (isErrno(error, "ERESTART")) return false;
      throw explained(error);
    }
    this.#generation = generationAfter(generation);
    return true;
  }

  /** Reads what is there, and makes it right. @returns whether anything had to be done. */
  #restore(): boolean {
    const changed = this.#commitAgainstWhatIsThere(() => {
      const actual = readTable(this.#socket, this.#name);
      if (actual === undefined && this.#bridges.size === 0) return [];
      const wanted = tableContents(this.#name.table, this.#bridges.values(), this.#allPorts());
      return [...this.#formerTables().map(deleteTable), ...changesTo(actual, wanted)];
    });
    const { from, to } = this.#foreign.look(this.#bridges.values());
    // Somebody changed tables between the two looks, or there is no table yet: the next one reads them again.
    this.#generation = from === this.#generation && this.#bridges.size > 0 ? to : undefined;
    this.#logWarnings();
    return changed;
  }

  #formerTables(): TableName[] {
    return listTables(this.#socket).filter(
      ({ family, table, comment }) =>
        family === this.#name.family &&
        table !== this.#name.table &&
        comment === formerComment &&
        this.#bridges.has(table),
    );
  }

  /** Commits what `messages` finds to be done, unless somebody changed tables meanwhile: then it looks again. */
  #commitAgainstWhatIsThere(messages: () => Message[]): boolean {
    for (let attempt = 1; ; attempt++) {
      const generation = readGeneration(this.#socket);
      const batch = messages();
      if (batch.length === 0) {
        this.#generation = generation;
        return false;
      }
      if (this.#commitOnto(generation, batch)) return true;
      if (attempt === commitAttemptsMax) {
        const text = `table ${this.#name.table}: others kept changing nf_tables during ${commitAttemptsMax} attempts`;
        throw new EngineError("unavailable", text);
      }
    }
  }

  /** Others' firewalls, for a bridge that is new. What is written there is tsd's own change, and no reason to look. */
  #passForeign(bridge: BridgeRules): void {
    const next = this.#generation === undefined ? undefined : this.#foreign.add(bridge, this.#generation);
    this.#generation = next;
    if (next === undefined) this.#restore();
    else this.#logWarnings();
  }

  #logWarnings(): void {
    const warnings = this.#foreign.warnings();
    for (const warning of warnings) if (!this.#logged.includes(warning)) log("warn", warning);
    this.#logged = warnings;
  }

  #watch(): void {
    this.#timer ??= setInterval(() => this.#look(), checkIntervalMs).unref();
  }

  /** Nobody is there to catch what the timer finds: it is logged, once as long as it stays the same. */
  #look(): void {
    try {
      this.check();
      this.#lastFault = undefined;
    } catch (error) {
      const text = errorMessage(error);
      if (text !== this.#lastFault) log("error", "firewall table could not be checked", { error: text });
      this.#lastFault = text;
    }
  }
}

/** The generations after the one up to the other, in which nobody can have missed much; undefined for too many. */
function generationsBetween(before: number, now: number): number[] | undefined {
  const generations: number[] = [];
  for (let each = before; each !== now; ) {
    each = generationAfter(each);
    if (generations.push(each) > generationsMissedMax) return undefined;
  }
  return generations;
}

/** What a kernel says that was built without a part of nf_tables, or cannot load it. */
function explained(error: unknown): unknown {
  if (!(error instanceof NetlinkError) || !isErrno(error, "ENOENT", "EOPNOTSUPP", "EAFNOSUPPORT")) return error;
  if (!/NEW(TABLE|CHAIN|RULE|SET)$/.test(error.syscall)) return error;
  return new EngineError("unsupported", `the kernel refuses tsd's firewall table: ${error.message}`, {
    hint: "modprobe nf_tables nft_chain_nat nft_ct nft_fib_inet nft_masq nft_nat",
    cause: error,
  });
}

function textOf({ set, element: { key, data } }: Placed): string {
  return `${set} ${hex(key)} ${data === undefined ? "" : hex(data)}`;
}

function keyOf(set: SetName, key: Uint8Array): string {
  return `${set} ${hex(key)}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

function grouped(placed: readonly Placed[]): [string, SetElement[]][] {
  const bySet = new Map<string, SetElement[]>();
  for (const { set, element } of placed) {
    const elements = bySet.get(set);
    if (elements === undefined) bySet.set(set, [element]);
    else elements.push(element);
  }
  return [...bySet];
}

function describePort({ hostAddress, hostPort, transport, direct, target, targetPort }: PortTranslation): string {
  if (direct === true) return `port ${targetPort}/${transport} of ${formatAddress(target)}`;
  const address = hostAddress === undefined ? "every address" : formatAddress(hostAddress);
  return `port ${hostPort}/${transport} of ${address}`;
}

function describeTarget({ target, targetPort }: PortTranslation): string {
  return `port ${targetPort} of ${formatAddress(target)}`;
}
