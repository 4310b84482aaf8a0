/** How what is mounted below a bind, here or in the container, comes to be on the other side: mount_namespaces(7). */
import { readFileSync, realpathSync } from "node:fs";
import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { statx } from "../../../ffi/stat.ts";
import { EngineError } from "../../core/errors.ts";
import type { ContainerMount } from "../container/definition.ts";

/**
 * The propagation of a bind. As in Docker one that shows the daemon's root, where volumes are mounted, has to hear when
 * they are unmounted, or its container would keep them.
 * @param wanted "" where nothing is said.
 * @throws EngineError invalid_argument in docker's words.
 */
export function settlePropagation(wanted: string, source: string, root: string): string {
  if (!isRelated(source, root)) return wanted || "rprivate";
  if (wanted === "") return "rslave";
  if (wanted === "rslave" || wanted === "rshared") return wanted;
  throw new EngineError(
    "invalid_argument",
    'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon ' +
      `root, daemon root: ${JSON.stringify(root)}, bind mount source: ${JSON.stringify(source)}, ` +
      `propagation: ${JSON.stringify(wanted)}`,
  );
}

/**
 * A bind can be shared, or a slave, only of what is shared itself: else it would silently be private.
 * @param root the daemon's: a bind of it is a slave where it can be one.
 * @throws EngineError invalid_argument in docker's words.
 */
export function checkPropagation(mounts: readonly ContainerMount[], root: string): void {
  for (const { Source, Type, Propagation } of mounts) {
    const kind = Type === "bind" ? Propagation.replace(/^r/, "") : "";
    if (kind !== "shared" && kind !== "slave") continue;
    if (kind === "slave" && isRelated(Source, root)) continue;
    const { mountPoint, isShared, isSlave } = mountOf(Source);
    if (isShared || (kind === "slave" && isSlave)) continue;
    const wanted = kind === "shared" ? "shared" : "shared or slave";
    throw new EngineError(
      "invalid_argument",
      `path ${Source} is mounted on ${mountPoint} but it is not a ${wanted} mount`,
      { stage: "mount", path: Source },
    );
  }
}

/** Whether one of them is in the other. */
function isRelated(path: string, root: string): boolean {
  const within = (inner: string, outer: string) => `${inner}/`.startsWith(outer === "/" ? "/" : `${outer}/`);
  return within(path, root) || within(root, path);
}

/** The mount that a path is on, by proc_pid_mountinfo(5). */
function mountOf(path: string): { mountPoint: string; isShared: boolean; isSlave: boolean } {
  const id = String(statx(AT_FDCWD, realpathSync(path)).mountId);
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const fields = line.split(" ");
    if (fields[0] !== id) continue;
    const optional = fields.slice(6, fields.indexOf("-"));
    return {
      mountPoint: fields[4]!.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8))),
      isShared: optional.some((field) => field.startsWith("shared:")),
      isSlave: optional.some((field) => field.startsWith("master:")),
    };
  }
  throw new EngineError("internal", `mount ${id} of ${path} is not in /proc/self/mountinfo`, { stage: "mount" });
}
