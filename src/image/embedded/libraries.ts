/** Finds the loader and the libraries of an executable, as the dynamic loader does (ld.so(8)). */
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { EngineError, isErrno } from "../../core/errors.ts";
import { type ElfNeeds, readElf } from "./elf.ts";

export interface NeededFile {
  /** Where the loader expects it, and where it is on this host. */
  path: string;
}

/** Compiled into the loaders of the distributions; the last two are Debian's, by architecture. */
const defaultDirectories = [
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
  "/lib/x86_64-linux-gnu",
  "/usr/lib/x86_64-linux-gnu",
];
const configurationFile = "/etc/ld.so.conf";

/**
 * The loader first, then every library, those that libraries need included; each once.
 * @throws EngineError not_found for a library that is nowhere.
 */
export function neededFiles(executable: string): NeededFile[] {
  const program = readElf(executable);
  if (program.interpreter === undefined) return [];
  const configured = [...defaultDirectories, ...configuredDirectories()];
  const found = new Map<string, string>([[basename(program.interpreter), program.interpreter]]);
  const waiting: { needs: ElfNeeds; path: string }[] = [{ needs: program, path: executable }];
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    for (const name of next.needs.needed) {
      if (found.has(name)) continue;
      const path = find(name, next.needs, next.path, configured);
      found.set(name, path);
      waiting.push({ needs: readElf(path), path });
    }
  }
  return [...found.values()].map((path) => ({ path }));
}

/** Will a loader without a cache look there? */
export function isDefaultDirectory(path: string): boolean {
  return defaultDirectories.includes(path);
}

function find(name: string, needs: ElfNeeds, from: string, configured: readonly string[]): string {
  const origin = dirname(realpathSync(from));
  const own = needs.searchPath.map((part) => resolve(part.replace(/\$(?:ORIGIN|\{ORIGIN\})/g, origin)));
  for (const directory of [...own, ...configured]) {
    const path = join(directory, name);
    if (existsSync(path) && readElf(path).machine === needs.machine) return path;
  }
  throw new EngineError(
    "not_found",
    `${from} needs ${name}, which is in none of ${[...own, ...configured].join(", ")}`,
  );
}

/** The directories of ld.so.conf and what it includes, one level deep as everywhere. */
function configuredDirectories(): string[] {
  const lines = linesOf(configurationFile).flatMap((line) => {
    const pattern = /^include\s+(.*)$/.exec(line)?.[1];
    return pattern === undefined ? [line] : matching(pattern).flatMap(linesOf);
  });
  return lines.filter((line) => line.startsWith("/"));
}

function matching(pattern: string): string[] {
  const absolute = resolve(dirname(configurationFile), pattern);
  const [directory, name] = [dirname(absolute), basename(absolute)];
  if (!name.includes("*")) return [absolute];
  const expression = new RegExp(`^${name.split("*").map(RegExp.escape).join(".*")}$`);
  return existsSync(directory)
    ? readdirSync(directory)
        .filter((entry) => expression.test(entry))
        .sort()
        .map((entry) => join(directory, entry))
    : [];
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .map((line) => line.replace(/#.*/, "").trim());
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
