/** What the kernel logs of processes that it ends for want of memory: /dev/kmsg, printk(8). */
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { errorMessage, isErrno } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { OomVictim } from "../container/end.ts";

/** PRINTK_MESSAGE_MAX: a read of less room fails. */
const recordBytesMax = 8192;
/** Others have their turn after so many records. */
const turnRecords = 400;

/**
 * The last process of a cgroup that the kernel has ended since then.
 * @param containerId part of the cgroup's path.
 * @param sinceMs since the epoch.
 * @returns undefined when the log does not say: it is a ring, is limited in rate, and may be closed to this process.
 */
export async function findOomVictim(containerId: string, sinceMs: number): Promise<OomVictim | undefined> {
  let fd: number;
  try {
    fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    log("debug", "the kernel's log cannot be read", { error: errorMessage(error) });
    return undefined;
  }
  try {
    return await lookFor(fd, containerId, Math.max(0, sinceMs - bootMs()));
  } finally {
    closeSync(fd);
  }
}

async function lookFor(fd: number, containerId: string, sinceUptimeMs: number): Promise<OomVictim | undefined> {
  const buffer = Buffer.alloc(recordBytesMax);
  let victim: OomVictim | undefined;
  for (let count = 1; ; count++) {
    const record = nextRecord(fd, buffer);
    if (record === undefined) return victim;
    victim = readOomRecord(record, { containerId, sinceUptimeMs, before: victim }) ?? victim;
    if (count % turnRecords === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

function nextRecord(fd: number, buffer: Buffer): string | undefined {
  for (;;) {
    try {
      return buffer.toString("utf8", 0, readSync(fd, buffer));
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return undefined;
      // It was overwritten meanwhile: the next read goes on with the oldest that is left.
      if (!isErrno(error, "EPIPE")) throw error;
    }
  }
}

/**
 * Two records belong to one end: `oom-kill:…,task_memcg=/tsd/ID,task=sh,pid=7,uid=0` names the cgroup, and `Killed process
 * 7 (sh) total-vm:…kB, anon-rss:…kB, …` the memory (mm/oom_kill.c).
 * @param look.before the victim so far.
 * @returns the victim that the record tells of, or tells more of.
 */
export function readOomRecord(
  record: string,
  look: { containerId: string; sinceUptimeMs: number; before: OomVictim | undefined },
): OomVictim | undefined {
  // Rounded as the time of the container's start is, which comes from another clock.
  const micros = Number(/^\d+,\d+,(\d+)/.exec(record)?.[1] ?? 0);
  if (micros / 1000 < look.sinceUptimeMs - 1000) return undefined;
  const [, cgroup = "", name = "", pid] = /oom-kill:.*,task_memcg=([^,]*),task=(.*),pid=(\d+),uid=/.exec(record) ?? [];
  if (pid !== undefined && cgroup.includes(look.containerId)) return { pid: Number(pid), name };
  const [, killed, kilobytes] = /Killed process (\d+) \(.*\) .*anon-rss:(\d+)kB/.exec(record) ?? [];
  if (killed === undefined || look.before?.pid !== Number(killed)) return undefined;
  return { ...look.before, anonymousBytes: Number(kilobytes) * 1024 };
}

/** Since the epoch; the clock of the kernel's log begins there. */
function bootMs(): number {
  return Date.now() - Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
}
