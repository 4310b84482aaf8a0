/**
 * Which containers use which volume. It is derived from the containers' records when the daemon starts and kept
 * along with them, so that there is no count that a crash could leave wrong.
 */
export class VolumeUsers {
  readonly #users = new Map<string, Set<string>>();

  add(volume: string, containerId: string): void {
    const users = this.#users.get(volume);
    if (users === undefined) this.#users.set(volume, new Set([containerId]));
    else users.add(containerId);
  }

  delete(volume: string, containerId: string): void {
    const users = this.#users.get(volume);
    users?.delete(containerId);
    if (users?.size === 0) this.#users.delete(volume);
  }

  of(volume: string): string[] {
    return [...(this.#users.get(volume) ?? [])];
  }

  /** Whether any container but this one uses the volume. */
  others(volume: string, containerId: string): boolean {
    return this.of(volume).some((user) => user !== containerId);
  }
}
