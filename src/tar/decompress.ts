/** Which compression a layer has, told by its first bytes: what its media type says is not always true. */

import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { EngineError } from "../core/errors.ts";

export type Compression = "none" | "gzip" | "zstd";

/** As many bytes as detectCompression wants to see. */
export const magicBytes = 6;

/** Inflated in pieces of this size on a thread of the pool, while this one hashes and writes the piece before. */
export const pieceBytes = 2 ** 20;

const unsupported: Record<string, string> = { fd377a585a00: "xz", "425a68": "bzip2", "04224d18": "lz4" };

/** @param what is compressed, for the error. @throws EngineError unsupported for a compression that layers do not have. */
export function detectCompression(start: Uint8Array, what = "layer"): Compression {
  const hex = Buffer.from(start).toString("hex");
  if (hex.startsWith("1f8b")) return "gzip";
  // RFC 8878: a frame, or a skippable frame of which there may be some in front.
  if (hex.startsWith("28b52ffd") || /^5.2a4d18/.test(hex)) return "zstd";
  for (const [magic, name] of Object.entries(unsupported)) {
    if (hex.startsWith(magic)) throw new EngineError("unsupported", `${what} compressed with ${name} is not supported`);
  }
  return "none";
}

/** A stream that inflates; several gzip members or zstd frames in a row are one. Undefined where there is nothing to do. */
export function decompressor(compression: Compression): Transform | undefined {
  switch (compression) {
    case "gzip":
      return createGunzip({ chunkSize: pieceBytes });
    case "zstd":
      return createZstdDecompress({ chunkSize: pieceBytes });
    case "none":
      return undefined;
  }
}
