/** The mounts of a mount namespace as /proc/<pid>/mountinfo tells them: proc_pid_mountinfo(5). */
import { unescapeMountPath } from "../../../ffi/text.ts";
export interface MountEntry {
  id: number;
  /** What of the file system is mounted: `/` for all of it. */
  root: string;
  mountPoint: string;
  type: string;
}

export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [mount = "", fileSystem = ""] = line.split(" - ");
    const [id, , , root = "", mountPoint = ""] = mount.split(" ");
    entries.push({
      id: Number(id),
      root: unescapeMountPath(root),
      mountPoint: unescapeMountPath(mountPoint),
      type: fileSystem.split(" ")[0] ?? "",
    });
  }
  return entries;
}
