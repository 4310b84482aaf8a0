/**
 * A bridge that is there already and is not tsd's: a network stands on it as Docker's do, and leaves it as it was. What
 * tsd adds (the gateways' addresses that it lacks, IPv6 where it is off) is on record first. Ports, other addresses and
 * settings are the administrator's. An alternative name says whose it is: to the next daemon, to others, and to `ip
 * link`.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { addAddress, deleteAddress, type InterfaceAddress, listAddresses } from "../../../ffi/netlink/address.ts";
import {
  addAlternativeName,
  deleteAlternativeName,
  findLink,
  type Link,
  listLinks,
  macText,
  setLink,
} from "../../../ffi/netlink/link.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { log } from "../../core/log.ts";
import { type Address, addressBytes, addressOf, formatAddress, parseAddress, parseSubnet } from "../address.ts";
import type { OwnAddress } from "../existing-bridge.ts";
import type { Network } from "../network.ts";
import type { Adoption, DriverContext } from "./driver.ts";
import { isOwnBridgeName } from "./interface-name.ts";

const markPrefix = "tsd.";
const noAddress = "00:00:00:00:00:00";
const sysctlRoot = "/proc/sys/net";
const linkLocal = parseSubnet("fe80::/10");

/** The id of the network, of whichever daemon, that stands on the bridge. */
function userOf(link: Link): string | undefined {
  return link.alternativeNames?.find((name) => name.startsWith(markPrefix))?.slice(markPrefix.length);
}

/** Whether a network can be put on it that has none yet: a bridge that nobody's tsd has made or uses. */
export function isAdoptable(link: Link): boolean {
  return isOthers(link) && userOf(link) === undefined;
}

/** A bridge that nobody's tsd has made. */
export function isOthers({ name, kind, alias }: Link): boolean {
  return kind === "bridge" && !isOwnBridgeName(name) && alias?.startsWith("tsd ") !== true;
}

/** Without link-local ones. */
export function addressesOn(route: NetlinkSocket, { index }: Link): OwnAddress[] {
  return listAddresses(route)
    .filter((entry) => entry.interfaceIndex === index)
    .map(({ address, prefixLength }) => ({ address: addressOf(address), prefixLength }))
    .filter(({ address }) => address.family === 4 || address.value >> 118n !== linkLocal.base >> 118n);
}

export class AdoptedBridge {
  readonly #network: Network;
  readonly #device: string;
  readonly #route: NetlinkSocket;
  readonly #records: DriverContext["adoptions"];
  readonly #mark: string;

  constructor(network: Network, device: string, { route, adoptions }: DriverContext) {
    this.#network = network;
    this.#device = device;
    this.#route = route;
    this.#records = adoptions;
    this.#mark = `${markPrefix}${shortId(network.id)}`;
  }

  /** Whether the network stands on a bridge of that name which is not tsd's, or has stood on it until it was removed. */
  isOnRecord(): boolean {
    return this.#records.adoption(this.#network.id)?.device === this.#device;
  }

  #isMarked({ alternativeNames }: Link): boolean {
    return alternativeNames?.includes(this.#mark) === true;
  }

  /** @throws EngineError conflict for what is no bridge, or tsd's in another way, and names whose it is. */
  check(link: Link): void {
    const { name, kind, alias } = link;
    const isNamed = name === this.#device;
    if (isNamed && (this.#isMarked(link) || isAdoptable(link))) return;
    const user = userOf(link);
    const option = this.#network.isBuiltIn ? "--bridge" : "-o com.docker.network.bridge.name=NAME";
    const refuse = (what: string, remove = `ip link delete ${name}`): EngineError => {
      const hint = `choose another name with ${option}, or remove it: ${remove}`;
      return new EngineError("conflict", `interface ${name} is there already, and ${what}`, { path: name, hint });
    };
    if (!isNamed) throw refuse(`${this.#device} is another name of it`);
    if (kind !== "bridge") throw refuse(`is no bridge (${kind ?? "hardware"})`);
    if (alias?.startsWith("tsd ") === true) throw refuse(`is that of network ${alias.slice(4)} of another tsd daemon`);
    if (user !== undefined) {
      const unmark = `ip link property del dev ${name} altname ${markPrefix}${user}`;
      throw refuse(`network ${user} of another tsd daemon is on it`, unmark);
    }
    throw refuse("is not this daemon's");
  }

  /** Whether all that `take` does was done to it, and it was not made anew since. */
  isTaken(link: Link): boolean {
    return link.up && this.#isMarked(link);
  }

  /**
   * @param wanted the gateways.
   * @returns true when the network had not stood on it before. Of that nothing is left when it fails.
   */
  take(link: Link, wanted: readonly InterfaceAddress[]): boolean {
    const isKnown = this.#isMarked(link);
    const before = isKnown ? this.#records.adoption(this.#network.id) : undefined;
    const has = listAddresses(this.#route).filter((entry) => entry.interfaceIndex === link.index);
    const missing = wanted.filter((entry) => !has.some((each) => serves(each, entry)));
    const added = missing.map(({ address, prefixLength }) => ({
      address: formatAddress(addressOf(address)),
      prefixLength,
    }));
    const { changes, previous } = this.#settings();
    this.#records.recordAdoption(this.#network.id, {
      device: this.#device,
      addresses: [...(before?.addresses ?? []), ...added],
      settings: { ...previous, ...before?.settings },
    });
    try {
      if (!isKnown) this.#route.execute(addAlternativeName(link.index, this.#mark));
      this.#keepAddress(link);
      for (const [file, value] of Object.entries(changes)) write(file, value);
      this.#route.execute(setLink(link.index, { up: true }, this.#device), ...missing.map(addAddress));
    } catch (error) {
      if (!isKnown) this.leave();
      throw error;
    }
    if (!isKnown)
      log("info", "bridge taken", { bridge: this.#device, added: added.map(({ address }) => address).join(" ") });
    return !isKnown;
  }

  /** What is changed, and what is to be as it was. The firewall sets route_localnet. */
  #settings(): { changes: Record<string, string>; previous: Record<string, string> } {
    const localnet = `ipv4/conf/${this.#device}/route_localnet`;
    const ipv6 = `ipv6/conf/${this.#device}/disable_ipv6`;
    const changes = this.#network.enableIpv6 && read(ipv6) === "1" ? { [ipv6]: "0" } : {};
    const all = { [localnet]: read(localnet), ...(ipv6 in changes && { [ipv6]: "1" }) };
    const previous = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return { changes, previous: Object.fromEntries(previous) };
  }

  /**
   * A bridge that was given no MAC address has the lowest of its ports'. Where it has none of its own, that would be
   * another one with each container that comes or goes, and nobody would find the gateway for a while. A bridge that
   * has lost its last port has none at all.
   */
  #keepAddress({ index, address }: Link): void {
    if (address === undefined || listLinks(this.#route).some(({ master }) => master === index)) return;
    const kept = address === noAddress ? macText(Uint8Array.from([0x02, ...randomBytes(5)])) : address;
    this.#route.execute(setLink(index, { address: kept }, this.#device));
  }

  /** Takes away what was added, wherever that was; what is gone already is no error. */
  leave(): void {
    const adoption = this.#records.adoption(this.#network.id);
    if (adoption === undefined) return;
    const link = findLink(this.#route, adoption.device);
    // One that was made anew has nothing of tsd.
    if (link !== undefined && this.#isMarked(link)) {
      this.#undo(link, adoption);
      this.#route.execute(deleteAlternativeName(link.index, this.#mark));
    }
    // That it stands on a bridge which is not tsd's is true of a network as long as it is there.
    const { isBuiltIn, id } = this.#network;
    this.#records.recordAdoption(id, isBuiltIn ? undefined : { device: adoption.device, addresses: [], settings: {} });
  }

  #undo({ index }: Link, { addresses, settings }: Adoption): void {
    for (const { address, prefixLength } of addresses) {
      try {
        const bytes = addressBytes(parseAddress(address));
        this.#route.execute(deleteAddress({ interfaceIndex: index, address: bytes, prefixLength }));
      } catch (error) {
        if (!isErrno(error, "EADDRNOTAVAIL")) throw error;
      }
    }
    for (const [file, value] of Object.entries(settings)) if (read(file) !== value) write(file, value);
  }

  /** Those on the bridge that tsd has not added. */
  ownAddresses(link: Link): OwnAddress[] {
    const added = this.#isMarked(link) ? (this.#records.adoption(this.#network.id)?.addresses ?? []) : [];
    return addressesOn(this.#route, link).filter(
      ({ address }) => !added.some((each) => each.address === formatAddress(address)),
    );
  }

  hostAddresses(link: Link): Address[] {
    return addressesOn(this.#route, link).map(({ address }) => address);
  }
}

/** Whether an address that the bridge has does for the gateway: an IPv4 one may be there for a smaller subnet. */
function serves(has: InterfaceAddress, wanted: InterfaceAddress): boolean {
  if (!Buffer.from(has.address).equals(wanted.address)) return false;
  return wanted.address.length === 16 || has.prefixLength <= wanted.prefixLength;
}

/** Undefined where the kernel has no such setting, or the interface is gone. */
function read(file: string): string | undefined {
  try {
    return readFileSync(`${sysctlRoot}/${file}`, "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function write(file: string, value: string): void {
  writeFileSync(`${sysctlRoot}/${file}`, value);
}
