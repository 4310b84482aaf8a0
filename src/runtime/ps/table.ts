/**
 * The table that ps(1) prints of some processes, made of /proc: for `docker top`, whose daemon runs the host's ps. Here
 * there is one row for each process and one cell for each heading, so nothing is cut to a width or taken apart again.
 */
import { readdirSync, readFileSync } from "../../../ffi/fs.ts";
import { EngineError } from "../../core/errors.ts";
import { UserNames } from "../user-names.ts";
import { type ColumnRequest, type Listing, type PsRequest, parsePsArguments } from "./arguments.ts";
import { column, type PsColumn, type PsSurroundings } from "./columns.ts";
import { PsProcess, unlessEnded } from "./process.ts";

export interface PsTable {
  titles: string[];
  /** One cell for each title. */
  processes: string[][];
}

/** Of one process, as with ps; and of each that follows when the table has grown long. */
const wordsBytesMax = 128 << 10;
const wordsBytesLater = 4 << 10;
const longTableCharacters = 32 << 20;
/** The event loop is given back when reading took this long. */
const turnMs = 5;

/**
 * @param list tells the processes that are meant. It is asked again in the end: a pid that was given to a process of
 * somebody else's meanwhile is not among them any more.
 * @throws EngineError invalid_argument in the words of ps and docker.
 */
export async function psTable(
  words: readonly string[],
  list: () => readonly number[],
  now: Date = new Date(),
): Promise<PsTable> {
  refuseRenamedPid(words);
  const users = new UserNames();
  const request = parsePsArguments(words, { userExists: (name) => users.idOf(name) !== undefined });
  const columns = columnsOf(request).map((asked) => ({ ...column(asked.name), ...definedOf(asked) }));
  const titles = columns.map(({ heading }) => heading);
  if (request.informs || request.noHeadings || !titles.includes("PID")) {
    throw new EngineError("invalid_argument", "Couldn't find PID field in ps output", {
      stage: "ps",
      hint: "let the column pid be among them: -o pid,args",
    });
  }
  const pids = request.deselect ? [] : list();
  const around = surroundings(request, users, now);
  const lines: Line[] = [];
  let characters = 0;
  let begunMs = performance.now();
  for (const line of pids.values().flatMap((pid) => linesOf(pid, request, columns, around))) {
    lines.push(line);
    characters = line.cells.reduce((sum, { length }) => sum + length, characters);
    if (characters > longTableCharacters) around.wordsBytesMax = wordsBytesLater;
    if (performance.now() - begunMs < turnMs) continue;
    await new Promise<void>((resolve) => setImmediate(resolve));
    begunMs = performance.now();
  }
  const still = new Set(pids.length === 0 ? [] : list());
  const own = lines.filter(({ process }) => still.has(process.pid));
  const ordered = request.forest === undefined ? sorted(own, request, around) : forest(own, request.forest, columns);
  return { titles, processes: ordered.map(({ cells }) => cells) };
}

/** In docker's words: it looks for the processes below the heading PID. */
function refuseRenamedPid(words: readonly string[]): void {
  for (const [, name = "", heading] of ` ${words.join(" ")}`.matchAll(/\s(\S*)=\s*(PID\S*)/g)) {
    if (name === "pid") continue;
    throw new EngineError("invalid_argument", `specifying "${name}=${heading}" is not allowed`, { stage: "ps" });
  }
}

interface Line {
  process: PsProcess;
  cells: string[];
}

const definedOf = ({ heading, width }: ColumnRequest): Partial<PsColumn> => ({
  ...(heading !== undefined && { heading }),
  ...(width !== undefined && { width }),
});

/** By letter: SysV's `-f`, `-l`, `-j`, and BSD's `l`, `j`, `u`, `v`, `s`. */
const sysvListings: Partial<Record<Listing, string>> = {
  "": "pid SCHEDULER tname time ucmd",
  f: "uid_hack pid ppid C stime tname time cmd",
  F: "uid_hack pid ppid C sz rss psr stime tname time cmd",
  l: "f s uid pid ppid C opri ni addr sz wchan tname time ucmd",
  j: "pid pgid sid SCHEDULER tname time ucmd",
};
const sysvTogether: Record<string, string> = {
  fl: "f s uid_hack pid ppid C opri ni addr sz wchan stime tname time cmd",
  Fl: "f s uid_hack pid ppid C opri ni addr sz wchan rss psr stime tname time cmd",
  fj: "uid_hack pid ppid pgid sid C stime tname time cmd",
  Fj: "uid_hack pid ppid pgid sid C sz rss psr stime tname time cmd",
  jl: "f s uid pid ppid pgid sid C opri ni addr sz wchan tname time ucmd",
  fjl: "f s uid_hack pid ppid pgid sid C opri ni addr sz wchan stime tname time cmd",
};
const bsdListings: Partial<Record<Listing, string>> = {
  "": "pid tname stat bsdtime args",
  l: "f uid pid ppid priority ni vsz rss wchan stat tname bsdtime args",
  j: "ppid pid pgid sid tname tpgid stat uid bsdtime args",
  u: "user pid pcpu pmem vsz rss tname stat start_time bsdtime args",
  v: "pid tname stat bsdtime maj_flt trs drs rss pmem args",
  s: "uid pid pending blocked ignored caught stat tname bsdtime args",
};

function columnsOf(request: PsRequest): ColumnRequest[] {
  if (request.columns.length > 0) return request.columns;
  if (request.inserted.length > 0) {
    const named = (words: string): ColumnRequest[] => words.split(" ").map((name) => ({ name }));
    return [...named("pid"), ...request.inserted, ...named("state tname time command")];
  }
  const names = listed(request)
    .split(" ")
    .flatMap((name) => special(name, request));
  const first = names.indexOf("pid");
  if (request.threads === "T") names.splice(first + 1, 0, "spid");
  if (request.threads === "L" || request.threads === "H") {
    const at = names.indexOf("ppid");
    names.splice((at < 0 ? first : at) + 1, 0, "lwp");
    const processor = names.indexOf("c");
    if (processor >= 0) names.splice(processor + 1, 0, "nlwp");
  }
  if (request.label) names.unshift("label");
  return names.map((name) => ({ name }));
}

function listed({ bsd, listings }: PsRequest): string {
  const letters = [...listings].sort();
  if (letters.length <= 1) return (bsd ? bsdListings : sysvListings)[letters[0] ?? ""] ?? sysvListings[letters[0]!]!;
  // Of two that differ in how much they show the fuller one.
  const together = letters.filter((letter) => !(letter === "f" && listings.has("F"))).join("");
  const found = sysvTogether[together] ?? (together.length === 1 ? sysvListings[together as Listing] : undefined);
  if (found !== undefined) return found;
  throw new EngineError("invalid_argument", "ps: error: conflicting format options", { stage: "ps" });
}

/** What `-c` and `-y` have in place of other columns. */
function special(name: string, { scheduler, resident }: PsRequest): string[] {
  if (name === "SCHEDULER") return scheduler ? ["class", "pri"] : [];
  if (name === "C") return scheduler ? ["class", "pri"] : ["c"];
  if (scheduler && (name === "opri" || name === "ni")) return [];
  if (resident && name === "f") return [];
  return [resident && name === "addr" ? "rss" : name];
}

function surroundings(request: PsRequest, users: UserNames, now: Date): PsSurroundings {
  const uptimeSeconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  return {
    now,
    bootSeconds: Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]),
    uptimeSeconds,
    memoryKiB: Number(/^MemTotal:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]),
    userName: (uid) => users.nameOf(uid),
    groupName: (gid) => users.groupOf(gid),
    cumulative: request.cumulative,
    trueName: request.trueName,
    environment: request.environment,
    numeric: request.numeric,
    wordsBytesMax,
  };
}

function* linesOf(pid: number, request: PsRequest, columns: PsColumn[], around: PsSurroundings): Generator<Line> {
  const whole = lineOf(columns, around, pid);
  if (whole === undefined) return;
  if (request.threads === undefined) {
    yield whole;
    return;
  }
  const dashes = (line: Line, of: ReadonlySet<string>): Line => ({
    ...line,
    cells: line.cells.map((cell, index) => (of.has(columns[index]!.heading) ? "-" : cell)),
  });
  if (request.threads === "m") yield dashes(whole, threadHeadings);
  const tids = unlessEnded(() => readdirSync(`/proc/${pid}/task`).map(Number)) ?? [];
  for (const tid of tids.sort((a, b) => a - b)) {
    const line = lineOf(columns, around, pid, tid);
    if (line !== undefined) yield request.threads === "m" ? dashes(line, processHeadings) : line;
  }
}

/** Undefined of what has ended meanwhile. */
function lineOf(columns: PsColumn[], around: PsSurroundings, pid: number, tid?: number): Line | undefined {
  return unlessEnded(() => {
    const process = new PsProcess(pid, tid);
    return { process, cells: cellsOf(process, columns, around) };
  });
}

/** What `m` shows in one of the two kinds of lines only. */
const processHeadings = new Set([
  "PID",
  "PPID",
  "PGID",
  "SID",
  "TTY",
  "TT",
  "VSZ",
  "RSS",
  "%MEM",
  "SZ",
  "CMD",
  "COMMAND",
]);
const threadHeadings = new Set(["STAT", "S", "LWP", "SPID", "TID"]);

function cellsOf(process: PsProcess, columns: PsColumn[], around: PsSurroundings): string[] {
  return columns.map(({ value, width, plainCut }, index) => {
    const text = value(process, around);
    const fits = width === undefined || text.length <= width || index === columns.length - 1;
    return fits ? text : plainCut ? text.slice(0, width) : `${text.slice(0, width - 1)}+`;
  });
}

function sorted(lines: Line[], { sort }: PsRequest, around: PsSurroundings): Line[] {
  const keys = sort.map(({ name, descending }) => ({ value: column(name).value, descending }));
  if (keys.length === 0) return lines;
  const keyed = lines.flatMap(
    (line) => unlessEnded(() => ({ line, values: keys.map(({ value }) => value(line.process, around)) })) ?? [],
  );
  return keyed.sort((a, b) => compare(a.values, b.values, keys)).map(({ line }) => line);
}

function compare(a: string[], b: string[], keys: { descending: boolean }[]): number {
  for (const [index, { descending }] of keys.entries()) {
    const [left = "", right = ""] = [a[index], b[index]];
    const difference = Number(left) - Number(right);
    const order = Number.isNaN(difference) ? (left < right ? -1 : Number(left > right)) : difference;
    if (order !== 0) return descending ? -order : order;
  }
  return 0;
}

/** Children below their parents, with ps's lines or blanks before the command. */
function forest(lines: Line[], kind: "lines" | "blanks", columns: PsColumn[]): Line[] {
  const command = columns.findLastIndex(({ heading }) => heading === "CMD" || heading === "COMMAND");
  const pids = new Set(lines.map(({ process }) => process.pid));
  const below = Map.groupBy(lines, ({ process }) => (pids.has(process.parent) ? process.parent : 0));
  const ordered: Line[] = [];
  const add = (parent: number, above: string, depth: number): void => {
    const children = below.get(parent) ?? [];
    for (const [index, line] of children.entries()) {
      const isLast = index === children.length - 1;
      const before = kind === "blanks" ? "  ".repeat(depth) : depth === 0 ? "" : `${above} \\_ `;
      const cells = line.cells.map((cell, at) => (at === command ? before + cell : cell));
      ordered.push({ ...line, cells });
      add(line.process.pid, depth === 0 ? "" : above + (isLast ? "    " : " |  "), depth + 1);
    }
  };
  add(0, "", 0);
  return ordered;
}
