/**
 * What is left to do for a freshly unpacked layer by somebody who sees the layers below and may set trusted
 * attributes: the child that unpacked it had neither.
 */

import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { S_IFCHR } from "../../../ffi/constants/stat.ts";
import { copyOwnerAndMode, copyXattrs } from "../../../ffi/copy-file.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { mknodat, open, openat, readDirectory, utimensat } from "../../../ffi/files.ts";
import { isDirectory, setXattr, statx } from "../../../ffi/stat.ts";
import { isErrno } from "../../core/errors.ts";
import type { ApplyReport } from "../unpack/applier.ts";
import { directoriesAbove, look, opaqueAttribute, openBeneath } from "./look.ts";
import { linkToLower } from "./lower-links.ts";

const opaqueValue = Uint8Array.of("y".charCodeAt(0));
/** The event loop gets a turn after so many paths. */
const pathsPerTurn = 100;

/**
 * Makes hard links to files of the layers below, marks opaque directories, and gives directories that the archive did
 * not describe the owner, mode, attributes and time that they have in the layers below: in overlayfs the topmost
 * directory's count, so a layer that adds `tmp/x` alone would otherwise take the sticky bit from /tmp.
 *
 * @param layer the unpacked `fs` directory. @param lower the `fs` directories below, top first.
 * @returns the bytes of files that had to be copied from the layers below.
 * @throws EngineError invalid_argument for a hard link to a file that no layer has.
 */
export async function settleLayer(layer: string, lower: readonly string[], report: ApplyReport): Promise<number> {
  using root = open(layer, O_RDONLY | O_DIRECTORY);
  const lowerRoots: Fd[] = [];
  let copied = 0;
  try {
    for (const path of lower) lowerRoots.push(open(path, O_RDONLY | O_DIRECTORY));
    let done = 0;
    const turn = async () => {
      if (++done % pathsPerTurn === 0) await new Promise(setImmediate);
    };
    const opaque = new Set(report.opaque);
    copied = await linkToLower(root, report.lowerLinks, lowerRoots, opaque);
    for (const path of report.implicit) {
      // Under an opaque directory of this layer nothing of the layers below shows, attributes neither.
      if (directoriesAbove(path).some((above) => opaque.has(above))) continue;
      inheritAttributes(root, path, lowerRoots);
      await turn();
    }
    // overlayfs merges the layers' roots whatever their attributes say: every name below is hidden by itself.
    const hidden = report.opaque.includes("") ? lowerRoots.flatMap((below) => hideNames(root, below)) : [];
    for (const path of [...report.opaque.filter((path) => path !== ""), ...hidden]) {
      using directory = openBeneath(root, path, O_RDONLY | O_DIRECTORY);
      if (directory) setXattr(directory, opaqueAttribute, opaqueValue);
      await turn();
    }
  } finally {
    for (const fd of lowerRoots) fd.close();
  }
  return copied;
}

/** Whites out what a lower root has and this layer has not. @returns the directories that both have. */
function hideNames(root: Fd, below: Fd): string[] {
  const both: string[] = [];
  using names = openat(below, ".", O_RDONLY | O_DIRECTORY);
  for (const { bytes } of readDirectory(names)) {
    try {
      mknodat(root, bytes, S_IFCHR, 0);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      if (isDirectory(statx(root, bytes))) both.push(Buffer.from(bytes).toString("latin1"));
    }
  }
  return both;
}

function inheritAttributes(root: Fd, path: string, lower: readonly Fd[]): void {
  using directory = openBeneath(root, path, O_RDONLY | O_DIRECTORY);
  if (!directory) return;
  for (const below of lower) {
    const seen = look(below, path);
    if (seen.directory) {
      using found = seen.directory;
      copyOwnerAndMode(directory, seen.status);
      copyXattrs(found, directory, /^trusted\./);
      utimensat(directory, "", seen.status.modified, seen.status.modified);
      return;
    }
    if (seen.hides) return;
  }
}
