/** Taking sandboxes down, which the kernel does in its own time. */
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import { formatAddress, tryParseAddress } from "./address.ts";
import type { Endpoints } from "./endpoints.ts";
import type { NetworkNamespace } from "./namespace.ts";
import type { EndpointAddress, EndpointRecord, NetworkRecords, SandboxRecord } from "./records.ts";
import type { EndpointRequest } from "./sandbox.ts";

/** The kernel takes a namespace down in the background, as a rule in 2 to 20 ms. After the last wait its veth is deleted. */
const reapDelaysMs = [5, 20, 50, 150];

/** A sandbox that is being taken down. */
interface Leaving {
  /** Does not leave it to the kernel. */
  hurry(): void;
  gone: Promise<void>;
}

export class Reaper {
  readonly #records: NetworkRecords;
  readonly #endpoints: Endpoints;
  readonly #leaving = new Map<SandboxRecord, Leaving>();

  constructor(records: NetworkRecords, endpoints: Endpoints) {
    this.#records = records;
    this.#endpoints = endpoints;
  }

  /**
   * Lets go of a sandbox of this daemon's own life, whatever of it there is. The namespace is let go of at once; the
   * kernel takes it down in the background, and the addresses are free again when that is done.
   */
  discard(sandbox: SandboxRecord, namespace: NetworkNamespace | undefined): void {
    const onHost = sandbox.endpoints.filter((record) => this.#endpoints.device(record)?.hasHostInterface === true);
    const inside = sandbox.endpoints.filter((record) => !onHost.includes(record));
    // Nothing on the host shows when these are gone.
    const removed = inside.map((record) => this.#remove(record, namespace)).every(Boolean);
    namespace?.[Symbol.dispose]();
    if (onHost.length === 0 && removed) {
      this.#forget(sandbox, sandbox.containerId !== null);
      return;
    }
    this.#records.disown(sandbox.id);
    if (onHost.length === 0) return;
    const { promise: hurried, resolve: hurry } = Promise.withResolvers<true>();
    const gone = this.#reap(sandbox, onHost, hurried).finally(() => this.#leaving.delete(sandbox));
    this.#leaving.set(sandbox, { hurry: () => hurry(true), gone });
  }

  /**
   * Waits for those of the fixed addresses that a container which has just ended had, and makes haste with them: whoever
   * makes a container anew wants its address at once.
   * @returns undefined where there is nothing to wait for.
   */
  free(requests: readonly EndpointRequest[]): Promise<unknown> | undefined {
    const fixed = requests.filter(({ ipv4, ipv6, mac }) => [ipv4, ipv6, mac].some((each) => each !== undefined));
    if (fixed.length === 0) return undefined;
    const holders = [...this.#leaving].filter(([{ endpoints }]) =>
      endpoints.some((had) => fixed.some((wanted) => hasAddressOf(had, wanted))),
    );
    if (holders.length === 0) return undefined;
    for (const [, { hurry }] of holders) hurry();
    return Promise.all(holders.map(([, { gone }]) => gone));
  }

  /**
   * Waits until the kernel has taken the veths down, and frees the addresses then: until that moment the old namespace
   * answers for them. Another container may have joined the namespace and keep it: then the veths are deleted, as they
   * are when somebody is in a hurry.
   */
  async #reap(sandbox: SandboxRecord, onHost: readonly EndpointRecord[], hurried: Promise<true>): Promise<void> {
    try {
      for (const delayMs of reapDelaysMs) {
        if (!onHost.some((record) => this.#endpoints.isOnHost(record))) break;
        if ((await Promise.race([hurried, Bun.sleep(delayMs)])) === true) break;
      }
      for (const record of onHost) if (this.#endpoints.isOnHost(record)) this.#endpoints.remove(record, undefined);
      // A spare was nobody's.
      this.#forget(sandbox, sandbox.containerId !== null);
    } catch (error) {
      log("error", "an interface could not be removed; the next start of the daemon tries again", {
        interface: onHost.map(({ hostInterface }) => hostInterface).join(" "),
        error: errorMessage(error),
      });
    }
  }

  /** Removes a sandbox that an earlier daemon left, and nobody uses any more. */
  drop(sandbox: SandboxRecord): void {
    const removed = sandbox.endpoints.map((record) => this.#remove(record, undefined)).every(Boolean);
    if (removed) this.#forget(sandbox, true);
    else this.#records.disown(sandbox.id);
  }

  /** @returns false when it is still there: the record stays, too, and the next start of the daemon tries again. */
  #remove(record: EndpointRecord, namespace: NetworkNamespace | undefined): boolean {
    try {
      this.#endpoints.remove(record, namespace);
      return true;
    } catch (error) {
      const name = record.hostInterface ?? record.interface ?? "";
      log("error", "an interface could not be removed", { interface: name, error: errorMessage(error) });
      return false;
    }
  }

  #forget(sandbox: SandboxRecord, isUsed: boolean): void {
    this.#records.removeSandbox(sandbox.id);
    for (const record of sandbox.endpoints) this.#endpoints.release(record, isUsed);
  }

  /**
   * Resolves when what was let go of has left the network; others may come and go meanwhile. What could not be removed
   * before is tried once more, and stays on record if it still cannot be.
   */
  async settledOn(networkId: string): Promise<void> {
    const isOn = ({ endpoints }: SandboxRecord): boolean => endpoints.some((record) => record.networkId === networkId);
    await Promise.all([...this.#leaving].map(([sandbox, { gone }]) => (isOn(sandbox) ? gone : undefined)));
    if (!this.#records.endpointsOn(networkId).some(({ containerId }) => containerId === null)) return;
    const leaving = new Set([...this.#leaving.keys()].map(({ id }) => id));
    for (const sandbox of this.#records.sandboxes()) {
      if (sandbox.containerId === null && isOn(sandbox) && !leaving.has(sandbox.id)) this.drop(sandbox);
    }
  }

  /** Resolves when what was let go of is gone from the kernel and the database. */
  async settled(): Promise<void> {
    while (this.#leaving.size > 0) await Promise.all([...this.#leaving.values()].map(({ gone }) => gone));
  }
}

export function hasAddressOf({ networkId, ipv4, ipv6, mac }: EndpointRecord, wanted: EndpointRequest): boolean {
  const isSame = (had: EndpointAddress | undefined, text: string | undefined) => {
    const address = text === undefined ? undefined : tryParseAddress(text);
    return had !== undefined && address !== undefined && had.address === formatAddress(address);
  };
  const isSameMac = mac !== undefined && mac === wanted.mac?.toLowerCase();
  return networkId === wanted.networkId && (isSame(ipv4, wanted.ipv4) || isSame(ipv6, wanted.ipv6) || isSameMac);
}
