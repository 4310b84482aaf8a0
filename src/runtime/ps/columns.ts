/** The columns of ps(1), "Standard format specifiers", by their names there. */
import { EngineError } from "../../core/errors.ts";
import { formatStart, formatTerminal, formatTime } from "../process-table.ts";
import type { IdKind, PsProcess } from "./process.ts";

/** What a value depends on beside its process. */
export interface PsSurroundings {
  now: Date;
  /** Seconds since the epoch. */
  bootSeconds: number;
  uptimeSeconds: number;
  memoryKiB: number;
  userName(uid: number): string | undefined;
  groupName(gid: number): string | undefined;
  /** BSD's `S`: with the time of children that have ended. */
  cumulative: boolean;
  /** BSD's `c`: the name of the program in place of its words. */
  trueName: boolean;
  /** BSD's `e`: the environment after the words. */
  environment: boolean;
  /** What is read of the words of each process, and of its environment. */
  wordsBytesMax: number;
  /** BSD's `n` and SysV's numbers in place of names. */
  numeric: boolean;
}

export interface PsColumn {
  heading: string;
  value(process: PsProcess, around: PsSurroundings): string;
  /** Characters beyond which a name ends in a plus, as with ps; absent: it is never cut. */
  width?: number;
  /** It is cut without a plus: the place in the kernel. */
  plainCut?: boolean;
}

type Value = PsColumn["value"];

const classes = ["TS", "FF", "RR", "B", "ISO", "IDL", "DLN"];

const signalMask =
  (key: string): Value =>
  (process) =>
    (process.status(key) ?? "").padStart(16, "0");
const number =
  (field: number): Value =>
  (process) =>
    String(process.field(field));
const id =
  (of: "Uid" | "Gid", kind: IdKind): Value =>
  (process) =>
    String(process.id(of, kind));
const user =
  (kind: IdKind): Value =>
  (process, around) => {
    const uid = process.id("Uid", kind);
    return (around.numeric ? undefined : around.userName(uid)) ?? String(uid);
  };
const group =
  (kind: IdKind): Value =>
  (process, around) => {
    const gid = process.id("Gid", kind);
    return (around.numeric ? undefined : around.groupName(gid)) ?? String(gid);
  };
const namespace =
  (name: string): Value =>
  (process) =>
    /\[(\d+)\]/.exec(process.link(`ns/${name}`) ?? "")?.[1] ?? "-";

function lived(process: PsProcess, { uptimeSeconds }: PsSurroundings): number {
  return Math.max(0, Math.floor(uptimeSeconds - process.startSeconds));
}

function started(process: PsProcess, { bootSeconds }: PsSurroundings): Date {
  return new Date((bootSeconds + process.startSeconds) * 1000);
}

/** Thousandths of one CPU over the process's life. */
function cpuThousandths(process: PsProcess, around: PsSurroundings): number {
  const seconds = lived(process, around);
  return seconds === 0 ? 0 : Math.floor((process.cpuSeconds(around.cumulative) * 1000) / seconds);
}

function percent(thousandths: number): string {
  return thousandths > 999 ? String(Math.floor(thousandths / 10)) : (thousandths / 10).toFixed(1);
}

/** `Ss+`: the letters of ps(1), "Process state codes". */
function stat(process: PsProcess): string {
  const nice = process.field(19);
  return (
    process.state +
    (nice < 0 ? "<" : nice > 0 ? "N" : "") +
    (process.statusKiB("VmLck") > 0 ? "L" : "") +
    (process.field(6) === process.tid ? "s" : "") +
    (process.threads > 1 ? "l" : "") +
    (process.field(8) === process.field(5) ? "+" : "")
  );
}

const name: Value = (process) => process.name;

function words(process: PsProcess, around: PsSurroundings): string {
  const command = around.trueName ? undefined : process.commandLine(around.wordsBytesMax);
  if (command === undefined) return around.trueName ? process.name : bracketed(process);
  const environment = around.environment ? process.environment(around.wordsBytesMax) : undefined;
  return environment === undefined ? command : `${command} ${environment}`;
}

function bracketed(process: PsProcess): string {
  return process.state === "Z" ? `[${process.name}] <defunct>` : `[${process.name}]`;
}

/** Real-time processes have no niceness. */
const nice: Value = (process) => ([0, 3].includes(process.field(41)) ? String(process.field(19)) : "-");
const priority =
  (from: (kernel: number) => number): Value =>
  (process) =>
    String(from(process.field(18)));

function days(process: PsProcess, around: PsSurroundings): string {
  const [start, sinceSeconds] = [started(process, around), lived(process, around)];
  const [, month = "", day = "", time = ""] = localTime(start).split(/ +/);
  return sinceSeconds > 86_400 ? `${month} ${day}` : time;
}

/** ctime(3): `Sun Nov  2 08:48:13 2026`. */
function localTime(date: Date): string {
  const [weekday, month, day, year] = date.toDateString().split(" ");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time.join(":")} ${year}`;
}

/** `[[dd-]hh:]mm:ss` */
function elapsed(seconds: number): string {
  const text = formatTime(seconds);
  return text.startsWith("00:") ? text.slice(3) : text;
}

const terminal: Value = (process) => formatTerminal(process.field(7));

/** Names that mean the same stand together. */
const table: [names: string, heading: string, value: Value, width?: number][] = [
  ["pid tgid", "PID", (process) => String(process.pid)],
  ["ppid", "PPID", number(4)],
  ["pgid pgrp", "PGID", number(5)],
  ["sid sess session", "SID", number(6)],
  ["tpgid", "TPGID", number(8)],
  ["lwp", "LWP", (process) => String(process.tid)],
  ["spid", "SPID", (process) => String(process.tid)],
  ["tid", "TID", (process) => String(process.tid)],
  ["nlwp", "NLWP", number(20)],
  ["thcount", "THCNT", number(20)],
  ["uid euid", "UID", id("Uid", "effective")],
  ["ruid", "RUID", id("Uid", "real")],
  ["suid svuid", "SUID", id("Uid", "saved")],
  ["fsuid fuid", "FSUID", id("Uid", "fileSystem")],
  ["gid egid", "GID", id("Gid", "effective")],
  ["rgid", "RGID", id("Gid", "real")],
  ["sgid svgid", "SGID", id("Gid", "saved")],
  ["fsgid fgid", "FSGID", id("Gid", "fileSystem")],
  ["user uname euser", "USER", user("effective"), 8],
  ["uid_hack", "UID", user("effective"), 8],
  ["ruser", "RUSER", user("real"), 8],
  ["suser svuser", "SUSER", user("saved"), 8],
  ["fsuser fuser", "FSUSER", user("fileSystem"), 8],
  ["group egroup", "GROUP", group("effective"), 8],
  ["rgroup", "RGROUP", group("real"), 8],
  ["sgroup svgroup", "SGROUP", group("saved"), 8],
  ["fsgroup fgroup", "FSGROUP", group("fileSystem"), 8],
  ["supgid", "SUPGID", ({ supplementaryGroups }) => supplementaryGroups.join(",") || "-"],
  [
    "supgrp",
    "SUPGRP",
    ({ supplementaryGroups }, { groupName }) =>
      supplementaryGroups.map((gid) => groupName(gid) ?? String(gid)).join(",") || "-",
  ],
  ["%cpu pcpu", "%CPU", (process, around) => percent(cpuThousandths(process, around))],
  ["cp", "CP", (process, around) => String(Math.min(999, cpuThousandths(process, around)))],
  ["c", "C", (process, around) => String(Math.min(99, Math.floor(cpuThousandths(process, around) / 10)))],
  [
    "%mem pmem",
    "%MEM",
    (process, { memoryKiB }) => percent(Math.min(999, Math.floor((process.residentKiB * 1000) / memoryKiB))),
  ],
  ["vsz vsize", "VSZ", ({ virtualBytes }) => String(Math.floor(virtualBytes / 1024))],
  ["rss rssize rsz", "RSS", ({ residentKiB }) => String(residentKiB)],
  ["sz", "SZ", ({ virtualBytes }) => String(Math.floor(virtualBytes / 4096))],
  ["size", "SIZE", (process) => String(process.statusKiB("VmData") + process.statusKiB("VmStk"))],
  ["trs", "TRS", ({ codeBytes }) => String(Math.floor(codeBytes / 1024))],
  ["drs", "DRS", ({ virtualBytes, codeBytes }) => String(Math.floor((virtualBytes - codeBytes) / 1024))],
  ["majflt maj_flt pagein", "MAJFLT", number(12)],
  ["minflt min_flt", "MINFLT", number(10)],
  ["stat", "STAT", stat],
  ["s state", "S", ({ state }) => state],
  ["f flag flags", "F", (process) => ((process.field(9) >> 6) & 7).toString(8)],
  ["pri", "PRI", priority((kernel) => 39 - kernel)],
  ["opri intpri", "PRI", priority((kernel) => 60 + kernel)],
  ["priority", "PRI", priority((kernel) => kernel)],
  ["ni nice", "NI", nice],
  ["rtprio", "RTPRIO", (process) => (process.field(41) === 0 ? "-" : String(process.field(40)))],
  ["cls class", "CLS", (process) => classes[process.field(41)] ?? "?"],
  ["policy", "POL", (process) => classes[process.field(41)] ?? "?"],
  ["sched", "SCH", number(41)],
  ["psr", "PSR", number(39)],
  ["cpuid", "CPUID", number(39)],
  ["sgi_p", "P", (process) => (process.state === "R" ? String(process.field(39)) : "*")],
  ["addr", "ADDR", () => "-"],
  ["wchan wname nwchan", "WCHAN", (process) => process.optional("wchan")?.replace(/^0$/, "-") ?? "-", 6],
  ["tname tty8", "TTY", terminal],
  ["tt tty", "TT", terminal],
  ["tty4", "TTY", (process, around) => terminal(process, around).replace(/^tty/, "")],
  ["stime", "STIME", (process, around) => formatStart(started(process, around), around.now)],
  ["start_time", "START", (process, around) => formatStart(started(process, around), around.now)],
  ["start", "STARTED", days],
  ["bsdstart", "START", (process, around) => days(process, around).replace(/:\d\d$/, "")],
  ["lstart", "STARTED", (process, around) => localTime(started(process, around))],
  ["time cputime atime", "TIME", (process, { cumulative }) => formatTime(process.cpuSeconds(cumulative))],
  ["times cputimes", "TIME", (process, { cumulative }) => String(Math.floor(process.cpuSeconds(cumulative)))],
  ["bsdtime", "TIME", (process, { cumulative }) => minutes(process.cpuSeconds(cumulative))],
  ["etime", "ELAPSED", (process, around) => elapsed(lived(process, around))],
  ["etimes", "ELAPSED", (process, around) => String(lived(process, around))],
  ["args command", "COMMAND", words],
  ["cmd", "CMD", words],
  ["comm ucomm", "COMMAND", name],
  ["ucmd", "CMD", name],
  ["fname", "COMMAND", (process) => process.name.slice(0, 8)],
  ["exe", "EXE", (process) => process.link("exe") ?? "-"],
  ["sig pending sig_pend", "PENDING", signalMask("ShdPnd")],
  ["tsig", "PENDING", signalMask("SigPnd")],
  ["blocked sigmask sig_block", "BLOCKED", signalMask("SigBlk")],
  ["ignored sigignore sig_ignore", "IGNORED", signalMask("SigIgn")],
  ["caught sigcatch sig_catch", "CAUGHT", signalMask("SigCgt")],
  ["label context", "LABEL", (process) => process.optional("attr/current") || "-"],
  ["cgroup", "CGROUP", ({ cgroups }) => cgroups.join(",") || "-"],
  [
    "cgname",
    "CGNAME",
    ({ cgroups }) => /^\d+:name=(.*)$/.exec(cgroups.find((line) => line.includes(":name=")) ?? "")?.[1] ?? "-",
  ],
  ["oom", "OOM", (process) => process.optional("oom_score") ?? "-"],
  ["oomadj", "OOMADJ", (process) => process.optional("oom_score_adj") ?? "-"],
  ["cgroupns", "CGROUPNS", namespace("cgroup")],
  ["ipcns", "IPCNS", namespace("ipc")],
  ["mntns", "MNTNS", namespace("mnt")],
  ["netns", "NETNS", namespace("net")],
  ["pidns", "PIDNS", namespace("pid")],
  ["timens", "TIMENS", namespace("time")],
  ["userns", "USERNS", namespace("user")],
  ["utsns", "UTSNS", namespace("uts")],
];

/** What ps heads a column with when it is asked for by a name that is not the first of its kind. */
const otherHeadings: Record<string, string> = {
  tgid: "TGID",
  pgrp: "PGRP",
  sess: "SESS",
  session: "SESS",
  euid: "EUID",
  euser: "EUSER",
  egid: "EGID",
  egroup: "EGROUP",
  svuid: "SVUID",
  svgid: "SVGID",
  svuser: "SVUSER",
  svgroup: "SVGROUP",
  fuid: "FUID",
  fgid: "FGID",
  fuser: "FUSER",
  fgroup: "FGROUP",
  maj_flt: "MAJFL",
  min_flt: "MINFL",
  pagein: "PAGEIN",
  context: "CONTEXT",
  sig_catch: "CATCHED",
  sig_pend: "SIGNAL",
};

function minutes(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

const columns = new Map<string, PsColumn>(
  table.flatMap(([names, heading, value, width]) =>
    names.split(" ").map((word) => [
      word,
      {
        heading: otherHeadings[word] ?? heading,
        value,
        ...(width !== undefined && { width }),
        ...(heading === "WCHAN" && { plainCut: true }),
      },
    ]),
  ),
);

/** @throws EngineError invalid_argument in ps's words for a name that is none. */
export function column(word: string): PsColumn {
  const found = columns.get(word);
  if (found !== undefined) return found;
  throw new EngineError(
    "invalid_argument",
    `ps: error: unknown user-defined format specifier ${JSON.stringify(word)}`,
    {
      stage: "ps",
      hint: 'the names are those of ps(1), "Standard format specifiers", as pid, user, args, etime, rss',
    },
  );
}
