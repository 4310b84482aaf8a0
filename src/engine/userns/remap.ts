/**
 * The daemon's `--userns-remap`: the user namespace of all containers that ask for none, from what /etc/subuid and
 * /etc/subgid set aside for a user (moby, daemon/daemon_unix.go, parseRemappedRoot).
 */
import { EngineError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { LinuxIdMapping } from "../../oci/runtime.ts";
import { ensureDefaultRanges, remapName } from "./default-ranges.ts";
import type { Account, HostFiles, SubordinateRange } from "./host-files.ts";
import type { UserNamespace } from "./mapping.ts";

/** `auto`: each container gets users and groups of its own. */
export type Remap = UserNamespace | "auto" | undefined;

/**
 * @param text `default`, `auto`, `user`, `user:group`, `uid` or `uid:gid`; empty for none.
 * @throws EngineError invalid_argument in docker's words.
 */
export function resolveRemap(text: string, files: HostFiles): Remap {
  if (text === "" || text === "auto") return text === "" ? undefined : "auto";
  const { user, group } = parse(text, files);
  if (user.name === "root") {
    log("warn", "User namespaces: root cannot be remapped with itself; user namespaces are OFF");
    return undefined;
  }
  const uids = ownRanges(files.subordinate("subuid"), user);
  if (uids.length === 0) throw invalid(`no subuid ranges found for user "${user.name}" in ${files.directory}/subuid`);
  const subgid = files.subordinate("subgid");
  const ofGroup = group === undefined ? [] : ownRanges(subgid, group);
  const gids = ofGroup.length > 0 ? ofGroup : ownRanges(subgid, user);
  if (gids.length === 0) {
    const whom = group === undefined ? `user "${user.name}"` : `group "${group.name}"`;
    throw invalid(`no subgid ranges found for ${whom} in ${files.directory}/subgid`);
  }
  return { uids: inSequence(uids), gids: inSequence(gids) };
}

function parse(text: string, files: HostFiles): { user: Account; group: Account | undefined } {
  const parts = text.split(":");
  if (parts.length > 2) throw invalid(`Invalid user/group specification in --userns-remap: "${text}"`);
  const [userText = "", groupText] = parts;
  if (userText === "default" && groupText === undefined) {
    ensureDefaultRanges(files);
    return { user: { name: remapName, id: -1 }, group: undefined };
  }
  const user = find(files.users(), userText);
  if (user === undefined) {
    throw invalid(isId(userText) ? `Uid ${userText} has no entry in /etc/passwd` : lookupFailure("uid", userText));
  }
  if (groupText === undefined) return { user, group: undefined };
  const group = find(files.groups(), groupText);
  if (group === undefined) {
    throw invalid(isId(groupText) ? `Gid ${groupText} has no entry in /etc/group` : lookupFailure("gid", groupText));
  }
  return { user, group };
}

function lookupFailure(kind: "uid" | "gid", name: string): string {
  const [what, file] = kind === "uid" ? ["user", "passwd"] : ["group", "group"];
  return `Error during ${kind} lookup for "${name}": no matching entries in ${file} file: ${what} ${name} is not there`;
}

function find(accounts: readonly Account[], text: string): Account | undefined {
  return accounts.find(({ name, id }) => (isId(text) ? id === Number(text) : name === text));
}

function isId(text: string): boolean {
  return /^\d+$/.test(text);
}

function ownRanges(ranges: readonly SubordinateRange[], { name, id }: Account): SubordinateRange[] {
  return ranges.filter(({ owner, size }) => size > 0 && (owner === name || owner === String(id)));
}

/** The container's users are numbered through all ranges. */
function inSequence(ranges: readonly SubordinateRange[]): LinuxIdMapping[] {
  let containerID = 0;
  return ranges.map(({ start, size }) => {
    const mapping = { containerID, hostID: start, size };
    containerID += size;
    return mapping;
  });
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", `--userns-remap: ${message}`);
}
