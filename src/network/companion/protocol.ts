/**
 * What a companion and the daemon say to each other: lines of JSON over a Unix socket. The requests of a connection are
 * answered in their order. `hello` and `end` are the same in every version, so that one can always be replaced.
 */
import type { WireError } from "../../core/wire-error.ts";

/** The two processes beside the daemon; each is a mode of the executable: `tsd proxy`, `tsd resolver`. */
export type CompanionMode = "proxy" | "resolver";

/** Of one line. A thousand ports take a tenth of a megabyte. */
export const lineBytesMax: number = 64 * 2 ** 20;

export interface CompanionRequest {
  id: number;
  request: string;
  arguments: unknown;
}

export interface CompanionHello {
  mode: CompanionMode;
  protocol: number;
  /** Of tsd. */
  version: string;
  pid: number;
}

export type CompanionAnswer = { id: number; ok: true; result: unknown } | { id: number; ok: false; error: WireError };
