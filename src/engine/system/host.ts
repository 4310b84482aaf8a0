/** What `info` tells of the host. */
import { readdirSync, readFileSync } from "node:fs";
import { isErrno } from "../../core/errors.ts";

export interface OperatingSystem {
  /** `Debian GNU/Linux 13 (trixie)`. */
  name: string;
  version: string;
}

/** os-release(5). */
export function readOperatingSystem(): OperatingSystem {
  const text = readOptional("/etc/os-release") ?? readOptional("/usr/lib/os-release") ?? "";
  const fields = parseOsRelease(text);
  return { name: fields.PRETTY_NAME ?? "Linux", version: fields.VERSION_ID ?? "" };
}

/** Assignments in the shell's syntax: values may be quoted, with backslashes before `$`, quotes and backslashes. */
export function parseOsRelease(text: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const match = /^([A-Z0-9_]+)=(.*)$/.exec(line.trim());
    if (!match) continue;
    const raw = match[2]!;
    const quoted = /^(["'])(.*)\1$/.exec(raw);
    fields[match[1]!] = (quoted?.[2] ?? raw).replace(/\\(.)/g, "$1");
  }
  return fields;
}

/** Bytes of memory that the kernel has: proc_meminfo(5). */
export function readMemoryTotal(): number {
  const match = /^MemTotal:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}

export function readForwarding(): boolean {
  return readOptional("/proc/sys/net/ipv4/ip_forward")?.trim() === "1";
}

/** Descriptors and threads of this process. */
export function readUsage(): { descriptors: number; threads: number } {
  return { descriptors: readdirSync("/proc/self/fd").length, threads: readdirSync("/proc/self/task").length };
}

export function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "ENOTDIR")) return undefined;
    throw error;
  }
}
