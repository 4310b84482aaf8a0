/** Published ports: chooses them, has the host's sockets held and the kernel translate, and keeps the record of it. */
import type { Database } from "bun:sqlite";
import { readFileSync } from "node:fs";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { parseAddress } from "../../core/ip-address.ts";
import { log } from "../../core/log.ts";
import type { PortTranslation } from "../firewall/rules.ts";
import { EphemeralPorts, type PortOwner, PortTable } from "./allocation.ts";
import { bindingOf, type PublishDefaults, type PublishTarget, socketOf, translationOf } from "./binding.ts";
import { choosePorts } from "./choose.ts";
import { HeldSockets, type ProxyOptions } from "./held-sockets.ts";
import type { PortRequest, PublishedPort, PublishMode } from "./port.ts";
import { type HostSocket, type SocketGroup, socketName } from "./proxy/protocol.ts";
import { type PortsRecord, PortsRecords } from "./records.ts";

/** What the ports need of the firewall. */
export interface PortFirewall {
  /** All or nothing. */
  publish(ports: readonly PortTranslation[]): void;
  unpublish(ports: readonly PortTranslation[]): void;
}

export interface PortsOptions {
  /** The metadata database, with `portsSchema`. */
  database: Database;
  firewall: PortFirewall;
  proxy: ProxyOptions;
  /** How ports are published that do not say it. */
  mode: PublishMode;
  /** Where ports are published that do not say it; absent: on all addresses. */
  hostAddress?: string | undefined;
}

interface Published extends PortsRecord {
  groups: SocketGroup[];
}

/**
 * A port is on record from when its sockets are held; whatever has none at the next start is let go of then. The proxy
 * and the firewall are told the whole truth at that time.
 */
export class Ports {
  readonly #records: PortsRecords;
  readonly #firewall: PortFirewall;
  readonly #held: HeldSockets;
  readonly #table = new PortTable();
  readonly #ephemeral = new EphemeralPorts();
  readonly #mode: PublishMode;
  readonly #hostAddress: string | undefined;
  readonly #published = new Map<string, Published>();
  /** Containers whose ports are being chosen. */
  readonly #choosing = new Set<string>();

  /** @throws EngineError invalid_argument for a wrong address. */
  constructor(options: PortsOptions) {
    if (options.hostAddress !== undefined) parseAddress(options.hostAddress);
    this.#records = new PortsRecords(options.database);
    this.#firewall = options.firewall;
    this.#held = new HeldSockets(options.proxy);
    this.#mode = options.mode;
    this.#hostAddress = options.hostAddress;
  }

  /**
   * Publishes a container's ports: all of them, or nothing is left of it.
   * @returns for each request a port on each of its addresses.
   * @throws EngineError conflict with who has the port; invalid_argument, unsupported for what cannot be.
   */
  async publish(owner: PortOwner, requests: readonly PortRequest[], target: PublishTarget): Promise<PublishedPort[]> {
    if (requests.length === 0) return [];
    const { containerId, containerName } = owner;
    if (this.#published.has(containerId) || this.#choosing.has(containerId)) {
      throw new EngineError("conflict", `container ${shortId(containerId)} has its ports already`);
    }
    const defaults = this.#defaults();
    const bindings = requests.map((request) => bindingOf(request, target, defaults));
    this.#choosing.add(containerId);
    try {
      const [table, ephemeral, held] = [this.#table, this.#ephemeral, this.#held];
      const chosen = await choosePorts(bindings, { owner, target, table, ephemeral, held });
      const ports = chosen.flatMap(({ published }) => published);
      const record = { containerId, containerName, target, ports };
      this.#published.set(containerId, { ...record, groups: chosen.map(({ sockets }) => sockets) });
      try {
        this.#records.put(record);
        this.#firewall.publish(translationsOf(record));
      } catch (error) {
        await this.#forget(containerId);
        throw error;
      }
      return ports;
    } finally {
      this.#choosing.delete(containerId);
    }
  }

  /**
   * Clients are seen otherwise from now on, for the container's networks have changed beside the one that its ports are
   * reached by (`isSameWay`). Whoever is connected stays so.
   */
  async show(containerId: string, target: PublishTarget): Promise<void> {
    const published = this.#published.get(containerId);
    if (published === undefined) return;
    published.target = target;
    this.#records.put(published);
    const sockets = new Map<string, HostSocket>();
    for (const port of published.ports) {
      const socket = socketOf(port, target);
      if (socket !== undefined) sockets.set(socketName(socket), socket);
    }
    for (const group of published.groups) {
      for (const [place, socket] of group.entries()) group[place] = sockets.get(socketName(socket)) ?? socket;
    }
    await this.#held.update(published.groups);
  }

  /** For whoever finds one of its ports taken. */
  rename(containerId: string, containerName: string): void {
    const published = this.#published.get(containerId);
    if (published === undefined) return;
    this.#records.put({ ...published, containerName });
    published.containerName = containerName;
    for (const { transport, hostPort, hostAddress } of ofHost(published)) {
      const addresses = [parseAddress(hostAddress)];
      this.#table.release(transport, hostPort, addresses);
      this.#table.take(transport, hostPort, addresses, published);
    }
  }

  /** Takes a container's ports back; nothing happens when it has none. */
  async release(containerId: string): Promise<void> {
    const published = this.#published.get(containerId);
    if (published === undefined) return;
    try {
      this.#firewall.unpublish(translationsOf(published));
    } finally {
      await this.#forget(containerId);
    }
  }

  async #forget(containerId: string): Promise<void> {
    const published = this.#published.get(containerId);
    if (published === undefined) return;
    this.#published.delete(containerId);
    this.#records.remove(containerId);
    for (const { transport, hostPort, hostAddress } of ofHost(published)) {
      this.#table.release(transport, hostPort, [parseAddress(hostAddress)]);
    }
    await this.#held.drop(published.groups);
  }

  /**
   * After a restart: takes over what the containers that live on have published, and drops all else. The firewall is
   * told by whoever tells it of the bridges: `translations`.
   */
  async restore(live: { has(containerId: string): boolean }): Promise<void> {
    for (const record of this.#records.all()) {
      if (!live.has(record.containerId)) {
        this.#records.remove(record.containerId);
        continue;
      }
      const groups = record.ports.flatMap((port): SocketGroup[] => {
        const socket = socketOf(port, record.target);
        return socket === undefined ? [] : [[socket]];
      });
      for (const { transport, hostPort, hostAddress } of ofHost(record)) {
        this.#table.take(transport, hostPort, [parseAddress(hostAddress)], record);
      }
      this.#published.set(record.containerId, { ...record, groups });
    }
    try {
      await this.#held.restore([...this.#published.values()].flatMap(({ groups }) => groups));
    } catch (error) {
      // What the kernel translates goes on, and the proxy is started again and again.
      log("error", "the sockets of published ports could not be checked", { error: errorMessage(error) });
    }
  }

  /** All that the kernel is to translate. */
  translations(): PortTranslation[] {
    return [...this.#published.values()].flatMap(translationsOf);
  }

  /** What a container has published. */
  of(containerId: string): PublishedPort[] {
    return this.#published.get(containerId)?.ports ?? [];
  }

  /** Where a container's ports lead to; undefined for one that has none. */
  targetOf(containerId: string): PublishTarget | undefined {
    return this.#published.get(containerId)?.target;
  }

  /** Of all containers. */
  list(): PortsRecord[] {
    return [...this.#published.values()].map(({ groups: _, ...record }) => record);
  }

  /** The daemon ends: what is published stays. */
  close(): void {
    this.#held.close();
  }

  #defaults(): PublishDefaults {
    return {
      mode: this.#mode,
      ...(this.#hostAddress !== undefined && { hostAddress: this.#hostAddress }),
      ipv6: hostHasIpv6(),
    };
  }
}

function translationsOf({ ports, target }: PortsRecord): PortTranslation[] {
  const translations = ports.flatMap((port) => translationOf(port, target) ?? []);
  // A routed port is the same one, however many ports of the host's were asked for.
  const opened = new Set<string>();
  return translations.filter(({ direct, family, transport, targetPort }) => {
    if (!direct) return true;
    const key = `${family} ${transport} ${targetPort}`;
    const isFirst = !opened.has(key);
    opened.add(key);
    return isFirst;
  });
}

/** Those that take a port of the host's. */
function ofHost({ ports }: PortsRecord): PublishedPort[] {
  return ports.filter(({ mode }) => mode !== "routed");
}

/** Some interface has an IPv6 address, the loopback too: without any nothing can be bound to it. */
function hostHasIpv6(): boolean {
  try {
    return readFileSync("/proc/thread-self/net/if_inet6", "utf8") !== "";
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
