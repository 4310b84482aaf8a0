import { readFileSync } from "../../ffi/fs.ts";

/**
 * A variable of the environment that the caller gave. process.env lacks those that begin with BUN_ and has a few of
 * tsd's own: the executable's entry (build/entry.ts) keeps them from Bun.
 */
export function callerVariable(name: string): string | undefined {
  if (!name.startsWith("BUN_")) return process.env[name];
  const entries = readFileSync("/proc/self/environ", "utf8").split("\0");
  return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}
