/**
 * The interface of the host that macvlan and ipvlan stand on. It is the administrator's; or a VLAN on one of the
 * administrator's, or a dummy that leads nowhere, which are made where they are missing. What was made so is told from
 * what was there by its alias, which the kernel keeps with it, and which it gets in the same batch.
 */
import { deleteLink, findLink, type Link, setLink } from "../../../ffi/netlink/link.ts";
import type { Message } from "../../../ffi/netlink/message.ts";
import type { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { createDummy, createVlan } from "../../../ffi/netlink/stacked-link.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { log } from "../../core/log.ts";
import { ignoreRouters } from "../interface-ipv6.ts";
import type { Network } from "../network.ts";
import { parseVlan } from "./parent-options.ts";

export interface ParentOptions {
  network: Network;
  name: string;
  /** It leads nowhere, and is made by tsd alone. */
  isDummy: boolean;
  route: NetlinkSocket;
  /** The other networks on it that have containers now. */
  sharers: () => readonly Network[];
}

export class Parent {
  readonly #options: ParentOptions;
  #index: number | undefined;

  constructor(options: ParentOptions) {
    this.#options = options;
  }

  /** Of the interface, after `ensure`. */
  get index(): number {
    if (this.#index === undefined) throw new Error(`parent interface ${this.#options.name} is not ready`);
    return this.#index;
  }

  /** @returns true when it was made. @throws EngineError not_found, invalid_argument, unsupported, conflict */
  ensure(): boolean {
    const { name, route } = this.#options;
    const there = findLink(route, name);
    if (there !== undefined) this.#adopt(there);
    else this.#make();
    return there === undefined;
  }

  #adopt(link: Link): void {
    const { name, isDummy } = this.#options;
    if (isDummy && !this.#isOurs(link)) {
      throw new EngineError("conflict", `interface ${name} is there already, and is not this daemon's`, { path: name });
    }
    if (!link.up && this.#isOurs(link)) this.#bringUp();
    this.#index = link.index;
  }

  #bringUp(): void {
    const { name, route } = this.#options;
    ignoreRouters(name);
    route.execute(setLink(0, { name, up: true }, name));
  }

  #make(): void {
    const { name, route, isDummy, network } = this.#options;
    const create = isDummy ? createDummy(name) : this.#vlan();
    try {
      // One batch: nobody can end the daemon in the middle of it. One that is down is brought up by the next.
      route.execute(create, setLink(0, { name, alias: ownerOf(network) }, name));
      this.#bringUp();
    } catch (error) {
      const made = findLink(route, name);
      if (made !== undefined && (this.#isOurs(made) || !isErrno(error, "EEXIST"))) route.execute(deleteLink(name));
      throw this.#explain(error);
    }
    this.#index = findLink(route, name)!.index;
    log("info", "parent interface made", { network: network.name, interface: name });
  }

  #vlan(): Message {
    const { name, route, network } = this.#options;
    const { base, id } = parseVlan(network.name, name);
    const link = findLink(route, base);
    if (link === undefined) {
      const text = `network ${network.name}: -o parent interface was not found on the host: ${base}`;
      throw new EngineError("not_found", text);
    }
    return createVlan({ name, parent: link.index, id });
  }

  #explain(error: unknown): unknown {
    const { name, network, isDummy } = this.#options;
    const what = `network ${network.name}: parent interface ${name}`;
    if (isErrno(error, "EOPNOTSUPP")) {
      const kind = isDummy ? "dummy interfaces" : "VLANs (802.1q)";
      const hint = isDummy ? "give the network a parent: -o parent=eth0" : "modprobe 8021q";
      return new EngineError("unsupported", `${what}: this kernel has no ${kind}`, { cause: error, hint });
    }
    if (isErrno(error, "ENETDOWN")) {
      const { base } = parseVlan(network.name, name);
      const hint = `ip link set ${base} up`;
      return new EngineError("conflict", `${what}: interface ${base} is down`, { cause: error, hint });
    }
    return error;
  }

  #isOurs(link: Link): boolean {
    return link.alias === ownerOf(this.#options.network);
  }

  /** Takes away what was made. Containers of another network may be on it: then it is that network's from now on. */
  tearDown(): void {
    const { name, route, sharers } = this.#options;
    this.#index = undefined;
    const link = findLink(route, name);
    if (link === undefined || !this.#isOurs(link)) return;
    const [heir] = sharers();
    route.execute(heir === undefined ? deleteLink(name) : setLink(link.index, { alias: ownerOf(heir) }, name));
  }
}

function ownerOf({ id }: Network): string {
  return `tsd ${shortId(id)}`;
}
