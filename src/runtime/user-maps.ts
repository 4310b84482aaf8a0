import { writeFileSync } from "../../ffi/fs.ts";
import { isErrno, wrapError } from "../core/errors.ts";
import type { LinuxIdMapping } from "../oci/runtime.ts";

/**
 * Writes the maps of a process' new user namespace, user_namespaces(7). An unprivileged user may map but his own ids:
 * for more the set-uid programs newuidmap(1) and newgidmap(1) are asked, which look into /etc/subuid and /etc/subgid.
 */
export function writeUserMaps(pid: number, uids: readonly LinuxIdMapping[], gids: readonly LinuxIdMapping[]): void {
  // Without privileges gid_map opens only once setgroups(2) is forbidden in the namespace (CVE-2014-8989).
  if (process.geteuid?.() !== 0 && isOwnIdAlone(gids, process.getegid?.())) {
    writeFileSync(`/proc/${pid}/setgroups`, "deny");
  }
  writeMap(pid, "uid_map", "newuidmap", uids);
  writeMap(pid, "gid_map", "newgidmap", gids);
}

function isOwnIdAlone(mappings: readonly LinuxIdMapping[], id: number | undefined): boolean {
  return mappings.length === 1 && mappings[0]?.size === 1 && mappings[0].hostID === id;
}

function writeMap(pid: number, file: string, program: string, mappings: readonly LinuxIdMapping[]): void {
  if (mappings.length === 0) return;
  const lines = mappings.map(({ containerID, hostID, size }) => [containerID, hostID, size]);
  try {
    writeFileSync(`/proc/${pid}/${file}`, lines.map((line) => `${line.join(" ")}\n`).join(""));
  } catch (error) {
    if (!isErrno(error, "EPERM") || process.geteuid?.() === 0) throw wrapError(error, `write ${file} of the container`);
    const words = [program, String(pid), ...lines.flat().map(String)];
    const result = Bun.spawnSync(words, { stdout: "ignore", stderr: "pipe" });
    if (!result.success) throw wrapError(new Error(result.stderr.toString().trim()), program);
  }
}
