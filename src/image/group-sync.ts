/** Waits for the disk for many at once: syncfs(2) takes hardly longer for ten layers than for one. */

import { statSync } from "node:fs";
import { syncfsInBackground } from "../../ffi/background-sync.ts";
import { O_DIRECTORY, O_RDONLY } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";

export class GroupSync {
  readonly #directories: readonly string[];
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param directories of the file systems that are meant; several may be of one. */
  constructor(directories: readonly string[]) {
    this.#directories = directories;
  }

  /** Resolves when everything that was written to the file systems before the call is on the disk. @throws SyscallError. */
  sync(): Promise<void> {
    // One that runs already may have passed what the caller wrote: its call is answered by the next.
    this.#next ??= this.#afterRunning();
    return this.#next;
  }

  async #afterRunning(): Promise<void> {
    // In a later turn at the earliest, so that whoever calls in this one takes part.
    await this.#running?.catch(() => undefined);
    this.#running = this.#run();
    this.#next = undefined;
    await this.#running;
  }

  async #run(): Promise<void> {
    const byDevice = new Map(this.#directories.map((directory) => [statSync(directory).dev, directory]));
    await Promise.all([...byDevice.values()].map(syncFileSystem));
  }
}

async function syncFileSystem(path: string): Promise<void> {
  using directory = open(path, O_RDONLY | O_DIRECTORY);
  await syncfsInBackground(directory, path);
}
