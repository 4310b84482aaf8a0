/** Waiting for a cgroup to run out of memory. */

import { O_RDONLY } from "../../../ffi/constants/open.ts";
import { eventfd, takeEvents } from "../../../ffi/eventfd.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open, pread } from "../../../ffi/files.ts";
import { existsSync } from "../../../ffi/fs.ts";
import { POLLIN, POLLPRI } from "../../../ffi/poll.ts";
import { EngineError, isErrno } from "../../core/errors.ts";
import type { Cgroup } from "./cgroup.ts";
import { parseKeyed, writeCgroupFile } from "./files.ts";

/** What to wait for with poll(2), and then to ask. */
export interface OomWatch extends Disposable {
  readonly fd: Fd;
  /** POLL*. */
  readonly events: number;
  /** Whether the cgroup ran out of memory since the last question. */
  happened(): boolean;
}

/**
 * Waits from now on.
 * @throws EngineError unsupported without the memory controller, not_found when the cgroup is gone.
 */
export function watchOom(cgroup: Cgroup): OomWatch {
  const directory = cgroup.version === 2 ? cgroup.directories[""] : cgroup.directories.memory;
  const file = `${directory}/memory.${cgroup.version === 2 ? "events" : "oom_control"}`;
  if (directory === undefined || !existsSync(file)) {
    const code = directory !== undefined && !existsSync(directory) ? "not_found" : "unsupported";
    throw new EngineError(code, `watch ${cgroup.path} for want of memory: ${file}: no such file`, { path: file });
  }
  return cgroup.version === 2 ? watchV2(file) : watchV1(directory, file);
}

/**
 * A counter of cgroup v1: Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control". The kernel raises it at the
 * cgroup's removal, too.
 */
export function countOomV1(directory: string): Fd {
  const counter = eventfd();
  try {
    using control = open(`${directory}/memory.oom_control`, O_RDONLY);
    writeCgroupFile(`${directory}/cgroup.event_control`, `${counter.number} ${control.number}`);
    return counter;
  } catch (error) {
    counter.close();
    throw error;
  }
}

function watchV1(directory: string, file: string): OomWatch {
  const counter = countOomV1(directory);
  return {
    fd: counter,
    events: POLLIN,
    happened: () => takeEvents(counter) > 0 && existsSync(file),
    [Symbol.dispose]: () => counter.close(),
  };
}

/** Documentation/admin-guide/cgroup-v2.rst, "memory.events": a change wakes poll(2) until the descriptor is read. */
function watchV2(file: string): OomWatch {
  const fd = open(file, O_RDONLY);
  let known = countOf(fd);
  return {
    fd,
    events: POLLPRI,
    happened() {
      const count = countOf(fd);
      const more = count > known;
      known = count;
      return more;
    },
    [Symbol.dispose]: () => fd.close(),
  };
}

/** How often the limit was hit with no way out, and processes were killed for it; 0 when the cgroup is gone. */
function countOf(fd: Fd): number {
  const buffer = new Uint8Array(4096);
  try {
    const length = pread(fd, buffer, 0);
    const { oom = 0, oom_kill = 0 } = parseKeyed(Buffer.from(buffer.subarray(0, length)).toString());
    return oom + oom_kill;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return 0;
    throw error;
  }
}
