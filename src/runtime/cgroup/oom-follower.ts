/**
 * Hearing of cgroups that run out of memory, for a process that has other things to do: no thread waits, and nothing is
 * looked at that has not changed. cgroup v2 tells all by one descriptor; v1 needs one for each cgroup.
 */
import { F_DUPFD_CLOEXEC } from "../../../ffi/constants/open.ts";
import { Fd } from "../../../ffi/fd.ts";
import { fcntl } from "../../../ffi/files.ts";
import { addWatch, IN_IGNORED, IN_MODIFY, inotify, readEvents, removeWatch } from "../../../ffi/inotify.ts";
import { DescriptorReader } from "../../../ffi/stream.ts";
import { errorMessage, isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Cgroup } from "./cgroup.ts";
import { parseKeyed, readNumber, readOptional } from "./files.ts";
import { countOomV1 } from "./oom-watch.ts";

/** A cgroup that runs out of memory again and again is told of no more often. */
const restMs = 100;

interface Watched {
  file: string;
  /** How many processes were ended in it when that was last told. */
  known: number;
  onOom: () => void;
}

export class OomFollower {
  readonly #watched = new Map<number, Watched>();
  #inotify: Fd | undefined;

  /**
   * @param past tells at once of what was ended in it before.
   * @returns how to end that; undefined where nothing can be heard: without a memory controller, or in v1 without a limit.
   */
  follow(cgroup: Cgroup, onOom: () => void, { past }: { past: boolean }): (() => void) | undefined {
    const directory = cgroup.version === 2 ? cgroup.directories[""] : cgroup.directories.memory;
    if (directory === undefined) return undefined;
    return cgroup.version === 2
      ? this.#followV2(`${directory}/memory.events`, onOom, past)
      : followV1(directory, onOom, past);
  }

  #followV2(file: string, onOom: () => void, past: boolean): (() => void) | undefined {
    const before = killsIn(readOptional(file));
    if (before === undefined) return undefined;
    this.#inotify ??= this.#listen();
    const events = this.#inotify;
    const watch = addWatch(events, file, IN_MODIFY);
    const watched: Watched = { file, known: past ? 0 : before, onOom };
    this.#watched.set(watch, watched);
    look(watched);
    return () => {
      if (this.#watched.delete(watch)) remove(events, watch);
    };
  }

  #listen(): Fd {
    const events = inotify();
    // The reader has a number of its own: this one stays for what is watched later.
    const reader = new DescriptorReader(new Fd(fcntl(events, F_DUPFD_CLOEXEC, 3)));
    this.#read(reader).catch((error) => {
      log("error", "no longer hears of containers without memory", { error: errorMessage(error) });
    });
    return events;
  }

  async #read(reader: DescriptorReader): Promise<void> {
    for (let bytes = await reader.read(); bytes !== undefined; bytes = await reader.read()) {
      const changed = new Set<number>();
      readEvents(bytes, (watch, mask) => {
        if ((mask & IN_IGNORED) !== 0) this.#watched.delete(watch);
        else changed.add(watch);
      });
      for (const watch of changed) {
        const watched = this.#watched.get(watch);
        if (watched !== undefined) look(watched);
      }
      await Bun.sleep(restMs);
    }
  }
}

/** memory.events counts much else: only what was ended is told. */
function look(watched: Watched): void {
  const kills = killsIn(readOptional(watched.file)) ?? 0;
  if (kills > watched.known) watched.onOom();
  watched.known = kills;
}

/** Of memory.events, or memory.oom_control; undefined where the file is not there. */
function killsIn(text: string | undefined): number | undefined {
  return text === undefined ? undefined : (parseKeyed(text).oom_kill ?? 0);
}

function remove(events: Fd, watch: number): void {
  try {
    removeWatch(events, watch);
  } catch (error) {
    // It went by itself with its cgroup: that is on its way to be read.
    if (!isErrno(error, "EINVAL")) throw error;
  }
}

function followV1(directory: string, onOom: () => void, past: boolean): (() => void) | undefined {
  const before = killsIn(readOptional(`${directory}/memory.oom_control`));
  // Without a limit a cgroup of v1 hears of nothing.
  if (before === undefined || readNumber(`${directory}/memory.limit_in_bytes`) === undefined) return undefined;
  const reader = new DescriptorReader(countOomV1(directory));
  const watched: Watched = { file: `${directory}/memory.oom_control`, known: past ? 0 : before, onOom };
  look(watched);
  void readV1(reader, watched);
  return () => void reader.close();
}

/** The counter is raised by each allocation that waits for the kill, before it: only what was ended counts. */
async function readV1(reader: DescriptorReader, watched: Watched): Promise<void> {
  const { file, onOom } = watched;
  try {
    while ((await reader.read()) !== undefined) {
      const control = readOptional(file);
      // The removal of the cgroup raises the counter, too.
      if (control === undefined) return;
      // --oom-kill-disable: its processes stand still.
      if (parseKeyed(control).oom_kill_disable === 1) onOom();
      else look(watched);
      await Bun.sleep(restMs);
      if (!reader.closed) look(watched);
    }
  } catch (error) {
    log("error", "no longer hears of a cgroup without memory", { file, error: errorMessage(error) });
  } finally {
    await reader.close();
  }
}
