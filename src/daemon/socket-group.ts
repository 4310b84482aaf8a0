import { readFileSync } from "node:fs";
import { EngineError } from "../core/errors.ts";

/** Who may use the socket beside root, in order of preference. */
const defaultGroups = ["tsd", "docker"];

/**
 * The group of the daemon's socket by group(5): the one that was asked for, else `tsd`, else `docker`, else root's.
 * @param asked a name or a number.
 * @throws EngineError not_found for a group that was asked for and is not there.
 */
export function socketGroup(asked: string | undefined, groupFile = "/etc/group"): number {
  const groups = new Map<string, number>();
  for (const line of readFileSync(groupFile, "utf8").split("\n")) {
    const [name, , gid] = line.split(":");
    if (name && gid && /^\d+$/.test(gid)) groups.set(name, Number(gid));
  }
  if (asked === undefined) {
    const found = defaultGroups.find((name) => groups.has(name));
    return found === undefined ? 0 : groups.get(found)!;
  }
  const gid = groups.get(asked) ?? (/^\d+$/.test(asked) ? Number(asked) : undefined);
  if (gid === undefined) throw new EngineError("not_found", `group ${asked} not found`, { hint: `groupadd ${asked}` });
  return gid;
}
