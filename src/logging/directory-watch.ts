/**
 * Watches directories for changes of their files, all with one descriptor of the kernel's, which the event loop waits
 * for: however many are watched, nothing is done while nothing changes. (Bun's fs.watch has a thread for it, and drops
 * what happens to a file within a millisecond.)
 */
import { F_DUPFD_CLOEXEC } from "../../ffi/constants/open.ts";
import { Fd } from "../../ffi/fd.ts";
import { fcntl } from "../../ffi/files.ts";
import {
  addWatch,
  IN_CREATE,
  IN_IGNORED,
  IN_MODIFY,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  inotify,
  readEvents,
  removeWatch,
} from "../../ffi/inotify.ts";
import { DescriptorReader } from "../../ffi/stream.ts";
import { errorMessage, isErrno } from "../core/errors.ts";
import { log } from "../core/log.ts";

/** Hears the name of the file that has changed, or that has come; undefined when any may have. */
type Listener = (name: string | undefined) => void;

class Watches {
  readonly #events: Fd;
  readonly #reader: DescriptorReader;
  readonly #listeners = new Map<number, Set<Listener>>();

  constructor() {
    const events = inotify();
    this.#events = new Fd(fcntl(events, F_DUPFD_CLOEXEC, 3));
    this.#reader = new DescriptorReader(events);
    void this.#read();
  }

  add(directory: string, listener: Listener): Disposable {
    const watch = addWatch(this.#events, directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    const listeners = this.#listeners.get(watch) ?? new Set();
    this.#listeners.set(watch, listeners.add(listener));
    return { [Symbol.dispose]: () => this.#remove(watch, listeners, listener) };
  }

  #remove(watch: number, listeners: Set<Listener>, listener: Listener): void {
    listeners.delete(listener);
    if (listeners.size === 0 && this.#listeners.get(watch) === listeners) {
      this.#listeners.delete(watch);
      try {
        removeWatch(this.#events, watch);
      } catch (error) {
        // Gone with its directory: that is on its way to be read.
        if (!isErrno(error, "EINVAL")) throw error;
      }
    }
    this.closeUnused();
  }

  closeUnused(): void {
    if (this.#listeners.size > 0 || current !== this) return;
    current = undefined;
    this.#events.close();
    void this.#reader.close();
  }

  async #read(): Promise<void> {
    try {
      for (let bytes = await this.#reader.read(); bytes !== undefined; bytes = await this.#reader.read()) {
        readEvents(bytes, (watch, mask, name) => this.#tell(watch, mask, name));
      }
    } catch (error) {
      // Nothing is known that makes the kernel refuse it. Who waits is told, once, to look for himself.
      log("error", `watch directories: ${errorMessage(error)}`);
      this.#tell(-1, IN_Q_OVERFLOW, "");
    }
  }

  #tell(watch: number, mask: number, name: string): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      for (const listeners of this.#listeners.values()) for (const listener of [...listeners]) listener(undefined);
      return;
    }
    const listeners = this.#listeners.get(watch);
    if (listeners === undefined) return;
    if ((mask & IN_IGNORED) !== 0) this.#listeners.delete(watch);
    for (const listener of [...listeners]) listener((mask & IN_IGNORED) === 0 ? name : undefined);
  }
}

let current: Watches | undefined;

/** To be disposed of. @throws SyscallError ENOENT, or ENOSPC where the machine has no more watches. */
export function watchDirectory(directory: string, listener: Listener): Disposable {
  current ??= new Watches();
  try {
    return current.add(directory, listener);
  } catch (error) {
    current.closeUnused();
    throw error;
  }
}
