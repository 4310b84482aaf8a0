/** `tsd pack`: the child that archives one directory. Nobody types it; protocol.ts says how it is called. */
import { readFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { createGzip } from "node:zlib";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { fsync, open, write } from "../../../ffi/files.ts";
import { Digester } from "../../core/digest.ts";
import { TreePacker } from "../../tar/tree-packer.ts";
import { childError } from "../unpack/child-error.ts";
import { sandboxTarget } from "../unpack/sandbox.ts";
import type { PackMessage, PackReport, PackRequest } from "./protocol.ts";

const standardInput = 0;
const standardOutput = 1;
const standardError = 2;
/** The daemon must answer meanwhile: nice(2) by this much. */
const niceness = 5;
/** As Go's default, which docker's layers have: 9 would take three times as long for one part in a hundred. */
const gzipLevel = 6;
const gzipPieceBytes = 2 ** 20;

export async function packMain(): Promise<number> {
  try {
    if (getPriority() < niceness) setPriority(niceness);
    const request = JSON.parse(readFileSync(standardInput, "utf8")) as PackRequest;
    const report = await pack(sandboxTarget, request, (piece) => write(standardOutput, piece));
    if (request.digests) syncOutput();
    send({ kind: "report", report });
    return 0;
  } catch (error) {
    send(childError("pack", error));
    return 1;
  }
}

/** @throws EngineError that names the file; no_space. */
export async function pack(
  directory: string,
  request: PackRequest,
  output: (piece: Uint8Array) => void,
): Promise<PackReport> {
  using root = open(directory, O_RDONLY | O_DIRECTORY);
  const packer = new TreePacker(root, {
    form: request.form,
    opaque: new Set(request.opaque),
    mountPoints: new Set(request.mountPoints),
    describesRoot: request.describesRoot ?? false,
  });
  const archive = request.digests ? new Digester() : undefined;
  const written = request.digests && request.compression !== "none" ? new Digester() : archive;
  let size = 0;
  const put = (piece: Uint8Array) => {
    size += piece.length;
    if (written !== archive) written?.update(piece);
    output(piece);
  };
  const pieces = digested(packer.pack(), archive);
  if (request.compression === "none") for (const piece of pieces) put(piece);
  else await compress(pieces, put);
  const diffId = archive?.digest();
  const digest = written === archive ? diffId : written?.digest();
  return { entries: packer.entries, skipped: packer.skipped, size, digest, diffId };
}

function* digested(pieces: Iterable<Uint8Array>, digester: Digester | undefined): Generator<Uint8Array> {
  for (const piece of pieces) {
    digester?.update(piece);
    yield piece;
  }
}

async function compress(pieces: Iterable<Uint8Array>, put: (piece: Uint8Array) => void): Promise<void> {
  const gzip = createGzip({ level: gzipLevel, chunkSize: gzipPieceBytes });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  gzip.on("data", (piece: Uint8Array) => {
    try {
      put(piece);
    } catch (error) {
      gzip.destroy(error as Error);
    }
  });
  gzip.on("end", resolve);
  gzip.on("error", reject);
  try {
    for (const piece of pieces) {
      // The packer writes the next piece into the same memory.
      if (gzip.write(Buffer.from(piece))) continue;
      await Promise.race([promise, new Promise<void>((drained) => gzip.once("drain", drained))]);
    }
    gzip.end();
  } catch (error) {
    gzip.destroy(error as Error);
  }
  await promise;
}

/** A pipe has nothing to wait for. */
function syncOutput(): void {
  try {
    fsync(standardOutput);
  } catch (error) {
    if ((error as { errno?: unknown }).errno !== "EINVAL") throw error;
  }
}

function send(message: PackMessage): void {
  write(standardError, `${JSON.stringify(message)}\n`);
}
