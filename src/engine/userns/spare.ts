/**
 * A user namespace that is made ahead of the next container, with what that one needs of the network, so that it starts
 * as fast as one in the host's: once a container has had users of its own, or the daemon's `--userns-remap`, the next
 * is likely to. It is known to this process alone, and gone with it.
 */
import type { Fd } from "../../../ffi/fd.ts";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { isSameMapping, rangesOf, type UserNamespace } from "./mapping.ts";
import type { UserRanges } from "./ranges.ts";

/** Not while the container whose start it follows is busy; as with spares of the network. */
const refillDelayMs = 25;

/** Who has the users of a spare, for the ranges. */
const holder = "spare";

export interface SpareOptions {
  ranges: UserRanges;
  /** @throws EngineError. */
  make: (users: UserNamespace) => Fd;
  /** Has the network make what a container in it will need: `isConnected` on the default network, else on none. */
  prepare: (namespace: Fd, isConnected: boolean) => void;
}

interface Made {
  users: UserNamespace;
  namespace: Fd;
  isConnected: boolean;
}

export class SpareUserNamespace {
  readonly #options: SpareOptions;
  #made: Made | undefined;
  /** Its users are promised to nobody yet. */
  #isFree = false;
  #timer: NodeJS.Timeout | undefined;
  #last: { users: UserNamespace; isConnected: boolean } | undefined;
  #closed = false;

  constructor(options: SpareOptions) {
    this.#options = options;
  }

  /** Users for a container that gets some of its own, those of the spare if they can be had. @throws as the ranges. */
  give(container: string, size: number): UserNamespace {
    const { ranges } = this.#options;
    const users = this.#made?.users;
    if (users !== undefined && this.#isFree && users.uids[0]!.size === size) {
      this.#release();
      for (const range of rangesOf(users)) ranges.hold(container, range);
      return users;
    }
    try {
      return own(ranges.take(container, size));
    } catch (error) {
      if (!this.#isFree) throw error;
      this.#drop();
      return own(ranges.take(container, size));
    }
  }

  /** The namespace with these users if it is the spare; the caller closes it. */
  take(users: UserNamespace): Fd | undefined {
    const made = this.#made;
    if (made === undefined || !isSameMapping(made.users, users)) return undefined;
    this.#made = undefined;
    this.#release();
    return made.namespace;
  }

  /** @param last the container that has just started. */
  refill(last: { users: UserNamespace; isConnected: boolean }): void {
    this.#last = last;
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#make(this.#last!);
      } catch (error) {
        log("debug", "no spare user namespace for the next container", { error: errorMessage(error) });
      }
    }, refillDelayMs);
    this.#timer.unref();
  }

  /** Drops what there is; nothing is made any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  #make({ users: last, isConnected }: { users: UserNamespace; isConnected: boolean }): void {
    const { size } = last.uids[0]!;
    const made = this.#made;
    if (made !== undefined && made.isConnected === isConnected) {
      const isSame = last.isOwn ? this.#isFree && made.users.uids[0]!.size === size : isSameMapping(made.users, last);
      if (isSame) return;
    }
    this.#drop();
    const { ranges, make, prepare } = this.#options;
    const users = last.isOwn ? own(ranges.take(holder, size)) : last;
    this.#isFree = last.isOwn ?? false;
    try {
      const namespace = make(users);
      this.#made = { users, namespace, isConnected };
      prepare(namespace, isConnected);
    } catch (error) {
      this.#drop();
      throw error;
    }
  }

  #drop(): void {
    this.#release();
    this.#made?.namespace.close();
    this.#made = undefined;
  }

  #release(): void {
    this.#isFree = false;
    this.#options.ranges.release(holder);
  }
}

function own({ start, size }: { start: number; size: number }): UserNamespace {
  const mapping = [{ containerID: 0, hostID: start, size }];
  return { uids: mapping, gids: mapping, isOwn: true, mapsVolumes: true };
}
