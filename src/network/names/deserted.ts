/** Network namespaces that no process is in any more. */
import { readdirSync, readlinkSync } from "node:fs";
import { isErrno } from "../../core/errors.ts";

/**
 * @param namespaces what /proc/<pid>/ns/net reads (`net:[4026531840]`), by ids of the caller's.
 * @returns the ids of those that are no process's.
 */
export function desertedNamespaces(namespaces: ReadonlyMap<string, string>): Set<string> {
  const deserted = new Set(namespaces.values());
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const namespace = namespaceOf(pid);
    if (namespace !== undefined) deserted.delete(namespace);
    if (deserted.size === 0) break;
  }
  return new Set([...namespaces].flatMap(([id, namespace]) => (deserted.has(namespace) ? [id] : [])));
}

/** @returns undefined for a process that has ended. */
function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
}
