/**
 * Where a cgroup is and who is in it. What sets and reads its limits is in cgroup.ts: the verbs that look after
 * processes only, and are called most, do not load that.
 */
import { O_DIRECTORY, O_PATH, O_WRONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { existsSync } from "../../../ffi/fs.ts";
import { EngineError } from "../../core/errors.ts";
import type { CgroupHost } from "./hierarchy.ts";
import { type Place, Places } from "./place.ts";
import { isFrozen, killAll, processesOf, removeTree, setFrozen } from "./processes.ts";

/** A container's cgroup, in the one hierarchy of v2 or in each of v1's, as a group of processes. */
export interface CgroupMembers {
  /** 2 where v2 is all that the host has; a hybrid host counts as 1. */
  readonly version: 1 | 2;
  /** The path below the mount points, beginning with "/": what openCgroup takes to find the same cgroup again. */
  readonly path: string;
  /**
   * Absolute directories by controller: v1's names, `name=systemd` among them. On v2 there is one entry with the name
   * "". The v2 hierarchy of a hybrid host has no controllers and no entry; processes join it all the same.
   */
  readonly directories: Readonly<Record<string, string>>;

  /**
   * Opens a file of every hierarchy for writing "0": how a process with one thread moves itself in. The caller closes
   * them.
   * @param born whether the process was cloned into the directory of intoCgroupFd: what that covers is left out.
   */
  procsFds(born?: boolean): Fd[];
  /** The directory for CLONE_INTO_CGROUP: v2's, also where it has v1's hierarchies beside it. The caller closes it. */
  intoCgroupFd(): Fd | undefined;
  /** Every process of the cgroup and of those below it. */
  pids(): number[];
  /** Sends SIGKILL to all of them, also to those that fork meanwhile. Does not wait for their end. */
  kill(): void;
  /** Stops all processes and waits, bounded, until they stand. @throws EngineError timeout. */
  freeze(): void;
  thaw(): void;
  frozen(): boolean;
  exists(): boolean;
  /**
   * Removes the directories and those below. Killed processes leave when they are reaped: it waits for the last to go.
   * @throws EngineError conflict, with the processes that are still there, when the time is over.
   */
  remove(timeoutMs?: number): void;
}

export class HostCgroupMembers implements CgroupMembers {
  readonly version: 1 | 2;
  readonly path: string;
  readonly directories: Readonly<Record<string, string>>;
  protected readonly places: Places;

  constructor(path: string, host: CgroupHost) {
    this.version = host.version;
    this.path = path;
    this.places = new Places(host.hierarchies, path);
    const directories: Record<string, string> = {};
    for (const { version, directory, hierarchy } of this.places.all()) {
      if (version === 1) for (const controller of hierarchy.controllers) directories[controller] = directory;
      else if (host.version === 2) directories[""] = directory;
    }
    this.directories = directories;
  }

  procsFds(born = false): Fd[] {
    const opened: Fd[] = [];
    try {
      for (const { version, directory } of this.places.all()) {
        // A write to cgroup.procs locks out every fork and exit of the machine, which begins with waiting for an RCU
        // grace period, some 10 ms. Moving the current thread alone needs no lock, and to v1 that is the same thing.
        if (version === 1) opened.push(open(`${directory}/tasks`, O_WRONLY));
        else if (!born) opened.push(open(`${directory}/cgroup.procs`, O_WRONLY));
      }
      return opened;
    } catch (error) {
      for (const fd of opened) fd.close();
      throw error;
    }
  }

  intoCgroupFd(): Fd | undefined {
    const place = this.places.unified();
    return place && open(place.directory, O_PATH | O_DIRECTORY);
  }

  pids(): number[] {
    return processesOf(this.#members());
  }

  kill(): void {
    killAll(this.#members(), this.places.unified(), this.#existingFreezer());
  }

  freeze(): void {
    setFrozen(this.#freezer(), true);
  }

  thaw(): void {
    setFrozen(this.#freezer(), false);
  }

  frozen(): boolean {
    const freezer = this.#existingFreezer();
    return freezer !== undefined && isFrozen(freezer);
  }

  exists(): boolean {
    return this.places.all().some(({ directory }) => existsSync(directory));
  }

  remove(timeoutMs = 10_000): void {
    for (const { directory } of this.places.all()) removeTree(directory, timeoutMs);
  }

  /** Where to look for the processes: any hierarchy has them all, v2's knows those of threads too. */
  #members(): string {
    const places = this.places.all();
    const place = places.find(({ directory }) => existsSync(directory)) ?? places[0]!;
    return place.directory;
  }

  /** v2 freezes without a controller (since Linux 5.2); in v1 it is one. */
  #freezer(): Place {
    const place = this.places.find("freezer") ?? this.places.unified();
    if (place !== undefined) return place;
    throw new EngineError("unsupported", `freeze ${this.path}: the freezer controller is missing`);
  }

  #existingFreezer(): Place | undefined {
    const place = this.places.find("freezer") ?? this.places.unified();
    return place !== undefined && existsSync(place.directory) ? place : undefined;
  }
}
