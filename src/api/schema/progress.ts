import type { ErrorBody } from "./error.ts";

/** One line of the streams that pull, push and build answer. Types only. */
export interface JsonMessage {
  stream?: string;
  /** `Downloading`, `Pull complete`, `Digest: sha256:…`. */
  status?: string;
  progressDetail?: ProgressDetail;
  /** What the line is about: a layer's short digest, or the tag. */
  id?: string;
  aux?: unknown;
  /** The last line of a stream that failed after its headers had been sent. */
  errorDetail?: { code?: number; message: string };
  error?: string;
  /** What tsd says of that error beside Docker's message. */
  details?: Omit<ErrorBody, "message">;
}

export interface ProgressDetail {
  current?: number;
  total?: number;
  start?: number;
  hidecounts?: boolean;
  units?: string;
}
