/** What is mounted in the directories of local volumes: by the kernel's own list, which outlives every daemon. */
import { readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { umount2InBackground } from "../../../ffi/background-mount.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../../../ffi/constants/mount.ts";
import { unescapeMountPath } from "../../../ffi/text.ts";
import { EngineError, isErrno } from "../../core/errors.ts";

/** Whether something is mounted at the directory itself. */
export async function isMounted(directory: string): Promise<boolean> {
  const place = await placeOf(directory);
  return place !== undefined && (await mountPoints()).includes(place);
}

/** Mount points at the directory and in it, in the order in which they were mounted. None where it is not there. */
export async function mountPointsIn(directory: string): Promise<string[]> {
  const place = await placeOf(directory);
  if (place === undefined) return [];
  return (await mountPoints()).filter((each) => each === place || each.startsWith(`${place}/`));
}

/**
 * As the kernel names it. It is not looked into: where a server is away, whoever asks for anything of what is mounted
 * there may wait for ever. Undefined where what it is to be in is not there.
 */
async function placeOf(directory: string): Promise<string | undefined> {
  try {
    return join(await realpath(dirname(directory)), basename(directory));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Takes away all that is mounted at the directory and in it. Whoever still has a file open there keeps it.
 * @throws EngineError conflict when something stays.
 */
export async function unmountAllIn(directory: string): Promise<void> {
  for (const place of (await mountPointsIn(directory)).reverse()) {
    try {
      await umount2InBackground(place, MNT_DETACH | UMOUNT_NOFOLLOW);
    } catch (error) {
      // It went with what it was mounted on, or somebody else was faster.
      if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
    }
  }
  const [left] = await mountPointsIn(directory);
  if (left !== undefined) throw new EngineError("conflict", `something is still mounted on ${left}`, { path: left });
}

/** proc_pid_mountinfo(5): the fifth field. */
async function mountPoints(): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table.split("\n").flatMap((line) => (line === "" ? [] : [unescapeMountPath(line.split(" ", 5)[4]!)]));
}
