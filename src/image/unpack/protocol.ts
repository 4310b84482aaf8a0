/**
 * What passes between the daemon and `tsd unpack`, the child that turns one layer into files.
 *
 * Arguments in, as one JSON word; the layer on standard input, compressed or not; JSON lines out on standard
 * output: progress, and last a report or an error. The child is trusted with nothing but its target directory.
 *
 * A layer that is still being fetched is a file on descriptor 3 instead. Standard input then says in lines of decimal
 * digits how many of its bytes are there, and ends when that is all. Having read them the child says that it is hungry,
 * and waits for the next line.
 */

import type { Digest } from "../../core/digest.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { ApplyReport, WhiteoutForm } from "./applier.ts";

export interface UnpackRequest {
  /** Absolute path of the directory to unpack into. */
  target: string;
  form: WhiteoutForm;
  /** The digest that the inflated archive must have; absent where nobody knows yet what it is to be. */
  diffId?: Digest | undefined;
  limits: UnpackLimits;
  /** The layer is a file that grows, on descriptor 3. */
  isGrowing?: boolean;
}

export interface UnpackLimits {
  /** Bytes of the inflated archive, and of the files in it. */
  bytesMax: number;
  entriesMax: number;
}

/** The largest layers in use (models, CUDA) have some 50 GB; the most files a layer can sensibly have is a few millions. */
export const defaultUnpackLimits: UnpackLimits = { bytesMax: 128 * 2 ** 30, entriesMax: 10_000_000 };

export interface UnpackReport extends ApplyReport {
  /** Bytes of the inflated archive. */
  archiveBytes: number;
  /** Its digest. */
  diffId: Digest;
}

export type UnpackMessage =
  | { kind: "progress"; bytes: number }
  | { kind: "hungry" }
  | { kind: "report"; report: UnpackReport }
  | { kind: "error"; code: ErrorCode; message: string; details: Record<string, string> };
