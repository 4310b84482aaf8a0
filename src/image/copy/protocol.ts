/**
 * What passes between the daemon and `tsd copy`, the child that reads or writes files of one container: the request as
 * JSON in its one argument; an archive on standard output or standard input; JSON lines on standard error: what a path
 * stands for, and last a report or an error. The child sees the container's tree, and nothing else.
 */
import type { ErrorCode } from "../../core/errors.ts";

export type CopyRequest =
  | { verb: "stat" | "read"; path: string }
  | {
      verb: "write";
      /** Of a directory. */
      path: string;
      /** A directory in the place of anything else, and the reverse, is an error. */
      keepsKinds: boolean;
      /** Absent: as the archive says. */
      owner?: { uid: number; gid: number };
    };

/** What a path of a container stands for. */
export interface PathStat {
  /** Its last part. */
  name: string;
  /** Bytes. */
  size: number;
  /** As stat(2) has it: file type and permissions. */
  mode: number;
  mtime: { seconds: number; nanoseconds: number };
  /** Of a symlink, followed to its end: an absolute path of the container. Else "". */
  linkTarget: string;
}

export interface CopyReport {
  entries: number;
}

export type CopyMessage =
  | { kind: "stat"; stat: PathStat }
  | { kind: "report"; report: CopyReport }
  | { kind: "error"; code: ErrorCode; message: string; details: Record<string, string> };
