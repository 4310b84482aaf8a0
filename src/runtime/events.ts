import type { Fd } from "../../ffi/fd.ts";
import { POLLIN, PollSet } from "../../ffi/poll.ts";
import { openProcess } from "../../ffi/process.ts";
import { EngineError } from "../core/errors.ts";
import { type Cgroup, type CgroupStats, openCgroup } from "./cgroup/cgroup.ts";
import { watchOom } from "./cgroup/oom-watch.ts";
import { containerStatus } from "./status.ts";
import { readRecord } from "./store.ts";

/** What is told of a container while it runs. */
export interface ContainerWatcher {
  /** Milliseconds between two statistics; the first come after one of them. */
  intervalMs: number;
  stats(stats: CgroupStats): void;
  /** It ran out of memory. */
  oom(): void;
}

/** A container with processes, and where they are counted. */
interface Watched extends Disposable {
  cgroup: Cgroup;
  /** Of its first process. */
  pidfd: Fd;
}

/** What a container's cgroup counts at this moment. @throws EngineError not_found; conflict when it does not run. */
export function containerStats(root: string, id: string): { version: 1 | 2; stats: CgroupStats } {
  using watched = openWatched(root, id);
  return { version: watched.cgroup.version, stats: watched.cgroup.stats() };
}

/**
 * Tells of a container until its first process ends. The thread stands still meanwhile.
 * @throws EngineError not_found; conflict when it does not run; unsupported where memory is not counted.
 */
export function watchContainer(root: string, id: string, watcher: (version: 1 | 2) => ContainerWatcher): void {
  using watched = openWatched(root, id);
  const { cgroup, pidfd } = watched;
  const { intervalMs, stats, oom } = watcher(cgroup.version);
  using memory = watchOom(cgroup);
  const set = new PollSet(2);
  set.set(0, pidfd, POLLIN);
  set.set(1, memory.fd, memory.events);
  let next = performance.now() + intervalMs;
  for (;;) {
    set.wait(Math.max(0, next - performance.now()));
    // First of all: want of memory may be what has ended it.
    if (memory.happened()) oom();
    if (set.ready(0) !== 0) return;
    if (performance.now() < next) continue;
    stats(cgroup.stats());
    // Not faster than the clock after a stop of this program.
    next = Math.max(next + intervalMs, performance.now());
  }
}

function openWatched(root: string, id: string): Watched {
  const record = readRecord(root, id);
  const status = containerStatus(root, record);
  // Callers of runc look for "is not running".
  const ended = new EngineError("conflict", `container with id ${id} is not running: it is ${status.status}`);
  if (!("init" in status)) throw ended;
  if (record.cgroupPath === undefined) {
    throw new EngineError("unsupported", `container ${id} has no cgroup of its own, so nothing of it is counted`);
  }
  const cgroup = openCgroup(record.cgroupPath, record.cgroupHost);
  const pidfd = openProcess(status.init);
  if (pidfd === undefined) throw ended;
  return { cgroup, pidfd, [Symbol.dispose]: () => pidfd.close() };
}
