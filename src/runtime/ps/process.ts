/** A process, or one of its threads, as /proc has it: proc_pid_stat(5), proc_pid_status(5). Read when it is asked for. */
import { readFileSync, readlinkSync, readStartSync } from "../../../ffi/fs.ts";
import { decodeText } from "../../../ffi/text.ts";
import { isErrno } from "../../core/errors.ts";

/** USER_HZ, the unit of times in /proc; it is 100 on every Linux that tsd runs on. */
const ticksPerSecond = 100;

/** Fields of stat after the name in parentheses, by their numbers in proc_pid_stat(5). */
const firstField = 3;

export type IdKind = "real" | "effective" | "saved" | "fileSystem";

const idKinds: readonly IdKind[] = ["real", "effective", "saved", "fileSystem"];

export class PsProcess {
  readonly pid: number;
  /** Of the thread; the pid itself for a process as a whole. */
  readonly tid: number;
  /** The name in parentheses: 15 bytes, and whatever a thread of the kernel calls itself. */
  readonly name: string;
  readonly #directory: string;
  readonly #stat: string[];
  #status: Map<string, string> | undefined;

  /** @throws Error with ENOENT or ESRCH when it has ended. */
  constructor(pid: number, tid?: number) {
    this.pid = pid;
    this.tid = tid ?? pid;
    this.#directory = tid === undefined ? `/proc/${pid}` : `/proc/${pid}/task/${tid}`;
    const text = readFileSync(`${this.#directory}/stat`, "utf8");
    const end = text.lastIndexOf(")");
    this.name = printable(text.slice(text.indexOf("(") + 1, end));
    this.#stat = text.slice(end + 2).split(" ");
  }

  /** A field of stat by its number there: 4 is the parent. */
  field(number: number): number {
    return Number(this.#stat[number - firstField]);
  }

  /** As `field`, of those that a double does not hold. */
  bigField(number: number): bigint {
    return BigInt(this.#stat[number - firstField] ?? 0);
  }

  /** `R`, `S`, `D`, `Z`, … */
  get state(): string {
    return this.#stat[0]!;
  }

  get parent(): number {
    return this.field(4);
  }

  get threads(): number {
    return this.field(20);
  }

  /** Seconds of CPU time; with those of its children that it has waited for. */
  cpuSeconds(withChildren: boolean): number {
    const own = this.field(14) + this.field(15);
    return (own + (withChildren ? this.field(16) + this.field(17) : 0)) / ticksPerSecond;
  }

  /** Seconds from boot to its start. */
  get startSeconds(): number {
    return this.field(22) / ticksPerSecond;
  }

  get virtualBytes(): number {
    return this.field(23);
  }

  get residentKiB(): number {
    // Not field 24, which the kernel says to be inaccurate.
    return this.statusKiB("VmRSS");
  }

  get codeBytes(): number {
    return this.virtualBytes === 0 ? 0 : Number(this.bigField(27) - this.bigField(26));
  }

  /** A line of status; undefined where this process or kernel has none. */
  status(key: string): string | undefined {
    if (this.#status === undefined) {
      const lines = readFileSync(`${this.#directory}/status`, "utf8").split("\n");
      this.#status = new Map(
        lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
      );
    }
    return this.#status.get(key);
  }

  /** A line of status in kB; 0 for a process without memory. */
  statusKiB(key: string): number {
    return Number.parseInt(this.status(key) ?? "0", 10);
  }

  id(of: "Uid" | "Gid", kind: IdKind): number {
    return Number((this.status(of) ?? "").split("\t")[idKinds.indexOf(kind)]);
  }

  get supplementaryGroups(): number[] {
    return (this.status("Groups") ?? "").split(" ").filter(Boolean).map(Number);
  }

  /**
   * The words it was started with, as many of them as fit into so many bytes: a process can say anything there, and more
   * than there is memory (PR_SET_MM_MAP in prctl(2)). Undefined for a thread of the kernel and a process that has ended.
   */
  commandLine(bytesMax: number): string | undefined {
    return this.#words("cmdline", bytesMax);
  }

  environment(bytesMax: number): string | undefined {
    return this.#words("environ", bytesMax);
  }

  #words(file: string, bytesMax: number): string | undefined {
    const bytes = readStartSync(`/proc/${this.pid}/${file}`, bytesMax);
    const length = bytes.findLastIndex((byte) => byte !== 0) + 1;
    if (length === 0) return undefined;
    return printable(decodeText(bytes.subarray(0, length)).replaceAll("\0", " "));
  }

  /** The first line of one of its files; undefined where there is none or it may not be read. */
  optional(file: string): string | undefined {
    try {
      return printable(readFileSync(`${this.#directory}/${file}`, "utf8").replace(/\0/g, "").split("\n")[0]!.trim());
    } catch (error) {
      if (isErrno(error, "ENOENT", "EACCES", "EPERM", "EINVAL")) return undefined;
      throw error;
    }
  }

  /** All lines of /proc/<pid>/cgroup, as they stand. */
  get cgroups(): string[] {
    return printable(
      readFileSync(`${this.#directory}/cgroup`, "utf8").replace(/\n/g, "\0").replace(/\0$/, ""),
      "\0",
    ).split("\0");
  }

  link(name: string): string | undefined {
    try {
      return printable(readlinkSync(`${this.#directory}/${name}`));
    } catch (error) {
      // A process that has ended has no program any more.
      if (isErrno(error, "ENOENT", "EACCES", "EPERM")) return undefined;
      throw error;
    }
  }
}

/** The words are a container's: they must not move the cursor of whoever reads them. */
function printable(text: string, except = ""): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => (character === except ? character : "?"));
}

/** What is said of a process that is still there; undefined when it has ended meanwhile. */
export function unlessEnded<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
