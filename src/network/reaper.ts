/** Taking sandboxes down, which the kernel does in its own time. */
import { errorMessage } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { Endpoints } from "./endpoints.ts";
import type { NetworkNamespace } from "./namespace.ts";
import type { EndpointRecord, NetworkRecords, SandboxRecord } from "./records.ts";

/** The kernel takes a namespace down in the background, as a rule in 2 to 20 ms. After the last wait its veth is deleted. */
const reapDelaysMs = [5, 20, 50, 150];

export class Reaper {
  readonly #records: NetworkRecords;
  readonly #endpoints: Endpoints;
  readonly #reaping = new Set<Promise<void>>();

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
      this.#forget(sandbox);
      return;
    }
    this.#records.disown(sandbox.id);
    if (onHost.length === 0) return;
    const reaping = this.#reap(sandbox, onHost);
    this.#reaping.add(reaping);
    void reaping.finally(() => this.#reaping.delete(reaping));
  }

  /**
   * Waits until the kernel has taken the veths down, and frees the addresses then: until that moment the old namespace
   * answers for them. Another container may have joined the namespace and keep it: then the veths are deleted.
   */
  async #reap(sandbox: SandboxRecord, onHost: readonly EndpointRecord[]): Promise<void> {
    try {
      for (const delayMs of reapDelaysMs) {
        if (!onHost.some((record) => this.#endpoints.isOnHost(record))) break;
        await Bun.sleep(delayMs);
      }
      for (const record of onHost) if (this.#endpoints.isOnHost(record)) this.#endpoints.remove(record, undefined);
      this.#forget(sandbox);
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
    if (removed) this.#forget(sandbox);
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

  #forget(sandbox: SandboxRecord): void {
    this.#records.removeSandbox(sandbox.id);
    for (const record of sandbox.endpoints) this.#endpoints.release(record);
  }

  /** Resolves when what was let go of is gone from the kernel and the database. */
  async settled(): Promise<void> {
    while (this.#reaping.size > 0) await Promise.all(this.#reaping);
  }
}
