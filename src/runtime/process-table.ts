/** What `ps -ef` prints, made of /proc: for hosts without ps(1). proc_pid_stat(5). */
import { AT_FDCWD } from "../../ffi/constants/open.ts";
import { readFileSync } from "../../ffi/fs.ts";
import { statx } from "../../ffi/stat.ts";
import { isErrno } from "../core/errors.ts";
import { UserNames } from "./user-names.ts";

/** USER_HZ, the unit of times in /proc; it is 100 on every Linux that tsd runs on. */
const ticksPerSecond = 100;
const daySeconds = 86_400;

interface Process {
  pid: number;
  uid: number;
  parent: number;
  terminal: number;
  /** Seconds of CPU time. */
  cpuSeconds: number;
  /** Seconds from boot. */
  startSeconds: number;
  command: string;
}

/** The heading and a line for each process that is still there. */
export function processTable(pids: readonly number[], now: Date = new Date()): string[] {
  const users = new UserNames();
  const bootSeconds = Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]);
  const width = Math.max(5, readFileSync("/proc/sys/kernel/pid_max", "utf8").trim().length);
  const row = (...[uid, pid, parent, c, start, tty, time, command]: string[]): string =>
    `${uid!.padEnd(8)} ${pid!.padStart(width)} ${parent!.padStart(width)} ${c!.padStart(2)} ` +
    `${start!.padEnd(5)} ${tty!.padEnd(8)} ${time!.padStart(8)} ${command}`;
  const rows = pids
    .flatMap((pid) => readProcess(pid) ?? [])
    .map((process) => {
      const started = new Date((bootSeconds + process.startSeconds) * 1000);
      const lived = (now.getTime() - started.getTime()) / 1000;
      const name = users.nameOf(process.uid);
      return row(
        // A name that is too long for its column would be cut to somebody else's.
        name === undefined || name.length > 8 ? String(process.uid) : name,
        String(process.pid),
        String(process.parent),
        String(lived > 0 ? Math.min(99, Math.floor((process.cpuSeconds * 100) / lived)) : 0),
        formatStart(started, now),
        formatTerminal(process.terminal),
        formatTime(process.cpuSeconds),
        process.command,
      );
    });
  return [row("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"), ...rows];
}

function readProcess(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const nameEnd = stat.lastIndexOf(")");
    const fields = stat
      .slice(nameEnd + 2)
      .split(" ")
      .map(Number);
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/\0+$/, "").split("\0").join(" ");
    return {
      pid,
      uid: statx(AT_FDCWD, `/proc/${pid}`).uid,
      parent: fields[1]!,
      terminal: fields[4]!,
      cpuSeconds: (fields[11]! + fields[12]!) / ticksPerSecond,
      startSeconds: fields[19]! / ticksPerSecond,
      // A zombie, or the kernel's own, has no words.
      command: printable(words || `[${stat.slice(stat.indexOf("(") + 1, nameEnd)}]`),
    };
  } catch (error) {
    // It has ended.
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** The words are a container's: they must not move the cursor of whoever reads them. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The time of a day, the day of a year, or the year. */
export function formatStart(started: Date, now: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  if (started.toDateString() === now.toDateString()) return `${two(started.getHours())}:${two(started.getMinutes())}`;
  if (started.getFullYear() !== now.getFullYear()) return String(started.getFullYear());
  return `${months[started.getMonth()]}${two(started.getDate())}`;
}

/** `00:00:05`, and with days `1-02:03:04`. */
export function formatTime(seconds: number): string {
  const whole = Math.floor(seconds);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  const days = Math.floor(whole / daySeconds);
  const time = [(whole % daySeconds) / 3600, (whole % 3600) / 60, whole % 60].map(two).join(":");
  return days > 0 ? `${days}-${time}` : time;
}

/** A terminal by its device number: Documentation/admin-guide/devices.txt. */
export function formatTerminal(device: number): string {
  const major = (device >> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`;
  return major === 5 && minor === 1 ? "console" : "?";
}
