/** Containers whose end was told, and who are about to give back what they had. */
import type { Container } from "./container.ts";

/**
 * Whoever was told that a container has ended may start another one in its place at once, with its ports and its
 * addresses, before it has left its networks. Such a start waits here; all others do not.
 */
export class Endings {
  readonly #pending = new Set<Promise<unknown>>();

  add(cleaned: Promise<unknown>): void {
    const settled: Promise<unknown> = cleaned.then(
      () => this.#pending.delete(settled),
      () => this.#pending.delete(settled),
    );
    this.#pending.add(settled);
  }

  /** To be called without the lock of a container that has run before: its own last end may be waiting for that. */
  async over({ definition }: Pick<Container, "definition">): Promise<void> {
    const { endpoints, hostConfig } = definition;
    const hasPorts = Object.keys(hostConfig.PortBindings ?? {}).length > 0;
    const hasAddress = Object.values(endpoints).some(({ IPAMConfig }) => IPAMConfig !== undefined);
    if (hasPorts || hasAddress) await Promise.all(this.#pending);
  }
}
