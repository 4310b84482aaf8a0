/**
 * Flows of addresses that were given back. Connection tracking keeps them for as long as somebody goes on sending, and
 * whoever gets the address next would get what was meant for the one before, past all rules that are about new flows.
 *
 * To find them the kernel looks through its whole table, which nobody is made to wait for: it is done in the background,
 * once for all that come within half a minute. Only who gets such an address before that, a fixed one as a rule, waits.
 */
import { deleteFlows, type Flow, listFlows, listFlowsOf } from "../../../ffi/netlink/conntrack.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { errorMessage, isKernelError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { type Address, addressBytes, addressOf, formatAddress } from "../address.ts";

/**
 * However many containers come and go, the table is looked through once in this time: a kernel without preemption does
 * nothing else on that processor meanwhile.
 */
const delayMs = 30_000;

export class DepartedAddresses implements Disposable {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);
  /** For what takes its time. */
  readonly #background = new NetlinkSocket(NETLINK_NETFILTER);
  /** By their text. */
  readonly #departed = new Map<string, Address>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #lastFault: string | undefined;

  /** An address is nobody's any more. */
  add(address: Address): void {
    this.#departed.set(formatAddress(address), address);
    this.#later();
  }

  /** Somebody gets an address: from now on its flows are the new ones. */
  claim(address: Address): void {
    if (!this.#departed.delete(formatAddress(address))) return;
    const { family } = address;
    const source = addressBytes(address);
    this.#attempt(() => {
      for (const filter of [{ original: { source } }, { reply: { source } }]) {
        deleteFlows(this.#socket, listFlows(this.#socket, { family, ...filter }));
      }
    });
  }

  /** Resolves when the flows of all addresses that were given back have been ended. */
  async settled(): Promise<void> {
    while (this.#running !== undefined || this.#departed.size > 0) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      await this.#run();
    }
  }

  #later(): void {
    if (this.#timer !== undefined || this.#running !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#run();
    }, delayMs);
    this.#timer.unref();
  }

  #run(): Promise<void> {
    this.#running ??= this.#endAll().finally(() => {
      this.#running = undefined;
      if (this.#departed.size > 0) this.#later();
    });
    return this.#running;
  }

  async #endAll(): Promise<void> {
    const addresses = [...this.#departed.values()];
    for (const family of [4, 6] as const) {
      const those = addresses.filter((address) => address.family === family);
      if (those.length === 0) continue;
      try {
        const flows = await listFlowsOf(this.#background, family, those.map(addressBytes));
        // Not those of an address that somebody got meanwhile.
        this.#attempt(() =>
          deleteFlows(
            this.#socket,
            flows.filter((flow) => this.#isOfDeparted(flow, those)),
          ),
        );
      } catch (error) {
        this.#tell(error);
      }
      for (const address of those) {
        const text = formatAddress(address);
        // It may have been given out and come back: that is another one.
        if (this.#departed.get(text) === address) this.#departed.delete(text);
      }
    }
  }

  #isOfDeparted({ original, reply }: Flow, looked: readonly Address[]): boolean {
    return [original.source, reply.source].some((bytes) => {
      const there = this.#departed.get(formatAddress(addressOf(bytes)));
      return there !== undefined && looked.includes(there);
    });
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#tell(error);
    }
  }

  /** The address is given to others in any case. A kernel that cannot do it is told of once. */
  #tell(error: unknown): void {
    if (!isKernelError(error)) throw error;
    const text = errorMessage(error);
    if (text !== this.#lastFault)
      log("warn", "flows of addresses that were given back could not be ended", { error: text });
    this.#lastFault = text;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#background.close();
  }
}
