/** The mounts of a mount namespace as /proc/<pid>/mountinfo tells them: proc_pid_mountinfo(5). */
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
      root: unescaped(root),
      mountPoint: unescaped(mountPoint),
      type: fileSystem.split(" ")[0] ?? "",
    });
  }
  return entries;
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
