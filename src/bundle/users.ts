/**
 * Users and groups by the container's own /etc/passwd and /etc/group: what `--user` and `--group-add` mean.
 *
 * A name that consists of digits is a number, whatever the files say; a number needs no entry. Lines that are not as
 * passwd(5) and group(5) have them are no entries: to read a damaged number as 0 would make a user root.
 */
import { advice } from "../core/advice.ts";
import { EngineError } from "../core/errors.ts";
import type { BundleUser } from "./input.ts";
import { readRootFiles } from "./root-files.ts";

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

const idMax = 2 ** 31 - 1;
const fileBytesMax = 16 * 2 ** 20;

/**
 * Finds a user in a root file system that is mounted, or in the layers of one that is not.
 * @param layers directories, the topmost first, as overlayfs stacks them; a mounted root is a single one.
 * @param user `user[:group]`, names or numbers; "" is root.
 * @param groupAdd more groups, names or numbers.
 * @throws EngineError invalid_argument in docker's words: `unable to find user x: no matching entries in passwd file`.
 */
export function lookupUser(layers: readonly string[], user: string, groupAdd: readonly string[] = []): BundleUser {
  const [passwd = "", group = ""] = readRootFiles(layers, ["/etc/passwd", "/etc/group"], fileBytesMax);
  return resolveUser(user, groupAdd, { passwd, group });
}

/** As lookupUser, from the texts of the files. */
export function resolveUser(
  user: string,
  groupAdd: readonly string[],
  files: { passwd: string; group: string },
): BundleUser {
  const separator = user.indexOf(":");
  const userPart = separator < 0 ? user : user.slice(0, separator);
  const groupPart = separator < 0 ? "" : user.slice(separator + 1);
  const uid = userPart === "" ? 0 : parseId(userPart);
  const users = parsePasswd(files.passwd);
  const entry = users.find((candidate) => (uid === undefined ? candidate.name === userPart : candidate.uid === uid));
  if (entry === undefined && uid === undefined) throw notFound("user", userPart);
  const groups = parseGroup(files.group);
  const gid = groupPart === "" ? (entry?.gid ?? 0) : groupId(groupPart, groups);
  // Who names a group gives up those that the user is a member of.
  const memberships =
    groupPart === "" && entry !== undefined
      ? groups.filter((group) => group.members.includes(entry.name)).map((group) => group.gid)
      : [];
  const added = groupAdd.map((group) => groupId(group, groups));
  return {
    uid: entry?.uid ?? uid ?? 0,
    gid,
    additionalGids: [...new Set([gid, ...memberships, ...added])],
    home: entry?.home || "/",
  };
}

function groupId(group: string, groups: readonly GroupEntry[]): number {
  const gid = parseId(group);
  const entry = groups.find((candidate) => (gid === undefined ? candidate.name === group : candidate.gid === gid));
  if (entry === undefined && gid === undefined) throw notFound("group", group);
  return entry?.gid ?? gid ?? 0;
}

/** Undefined for what is a name. @throws EngineError for a number that no user can have. */
function parseId(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const id = Number(text);
  if (id >= 0 && id <= idMax) return id;
  throw new EngineError("invalid_argument", `uids and gids must be in range 0-${idMax}: ${text}`);
}

function notFound(kind: "user" | "group", name: string): EngineError {
  const file = kind === "user" ? "passwd" : "group";
  return new EngineError("invalid_argument", `unable to find ${kind} ${name}: no matching entries in ${file} file`, {
    hint: advice.user,
  });
}

/** passwd(5): name:password:uid:gid:gecos:home:shell. */
function parsePasswd(text: string): PasswdEntry[] {
  const entries: PasswdEntry[] = [];
  for (const fields of linesOf(text)) {
    const [name, , uid = "", gid = "", , home = ""] = fields;
    if (name && isNumber(uid) && isNumber(gid)) entries.push({ name, uid: Number(uid), gid: Number(gid), home });
  }
  return entries;
}

/** group(5): name:password:gid:members. */
function parseGroup(text: string): GroupEntry[] {
  const entries: GroupEntry[] = [];
  for (const fields of linesOf(text)) {
    const [name, , gid = "", members = ""] = fields;
    if (name && isNumber(gid)) entries.push({ name, gid: Number(gid), members: members.split(",") });
  }
  return entries;
}

function linesOf(text: string): string[][] {
  return text.split("\n").map((line) => line.trim().split(":"));
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32;
}
