/** Whether a file system can limit directories, and what is to be done where it cannot. */
import { readFileSync } from "node:fs";
import { O_DIRECTORY, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { projectAccounting, projectOf } from "../../ffi/quota.ts";
import { statx } from "../../ffi/stat.ts";
import type { LimitRefusal } from "../core/directory-limits.ts";
import { isErrno } from "../core/errors.ts";

/** Mount options that make project quotas limit, by the file system's type. */
const options: Readonly<Record<string, { option: string; hint: string }>> = {
  ext4: {
    option: "prjquota",
    hint: "unmount it, run tune2fs -O project,quota -Q prjquota on its device, and mount it with -o prjquota",
  },
  xfs: {
    option: "pquota",
    hint: "unmount it and mount it with -o pquota, which a remount cannot add; of a root file system by rootflags=pquota",
  },
  f2fs: { option: "prjquota", hint: "it has to be made with mkfs.f2fs -O extra_attr,project_quota,quota" },
};

/** Why the file system of a directory that is there cannot limit what is in it; undefined where it can. */
export function whyNoProjectQuota(directory: string): LimitRefusal | undefined {
  using opened = open(directory, O_RDONLY | O_DIRECTORY);
  const { limits } = projectAccounting(opened);
  if (limits && hasProjects(opened)) return undefined;
  const { type, source, target } = mountOf(opened);
  const place = `${source} (${type}, mounted on ${target})`;
  const known = options[type];
  if (known === undefined) return { reason: `${place} has no project quotas`, hint: "xfs and ext4 have them" };
  return { reason: `${place} is mounted without the option ${known.option}`, hint: known.hint };
}

/** ext4 may count projects of a file system whose inodes have no place for their number. */
function hasProjects(directory: Fd): boolean {
  try {
    projectOf(directory);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOTTY", "EOPNOTSUPP")) return false;
    throw error;
  }
}

/** Of the file system that the file is on: proc_pid_mountinfo(5). */
function mountOf(file: Fd): { type: string; source: string; target: string } {
  const id = String(statx(file).mountId);
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const line = lines.find((each) => each.startsWith(`${id} `));
  const fields = line?.split(" ");
  const separator = fields?.indexOf("-") ?? -1;
  if (fields === undefined || separator < 0) return { type: "unknown", source: "none", target: "?" };
  return { type: fields[separator + 1]!, source: unescaped(fields[separator + 2]!), target: unescaped(fields[4]!) };
}

function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
