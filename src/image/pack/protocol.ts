/**
 * What passes between the daemon and `tsd pack`, the child that archives a directory: the request as JSON on standard
 * input, the archive on standard output (a pipe, or a file), JSON lines on standard error: last a report or an error.
 * The child sees the tree read-only, and nothing else.
 */
import type { Digest } from "../../core/digest.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { PackForm } from "../../tar/tree-packer.ts";

export interface PackRequest {
  form: PackForm;
  compression: "none" | "gzip";
  /** Byte strings. */
  opaque?: string[];
  mountPoints?: string[];
  describesRoot?: boolean;
  /** Compute digests, and wait until a file on standard output is on the disk. */
  digests?: boolean;
}

export interface PackReport {
  entries: number;
  /** Sockets. */
  skipped: number;
  /** Bytes written, compressed where asked for. */
  size: number;
  /** With `digests`: of what was written, and of the archive before its compression. */
  digest?: Digest | undefined;
  diffId?: Digest | undefined;
}

export type PackMessage =
  | { kind: "report"; report: PackReport }
  | { kind: "error"; code: ErrorCode; message: string; details: Record<string, string> };
