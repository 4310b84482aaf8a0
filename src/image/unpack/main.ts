/** `tsd unpack`: the child that inflates, hashes and unpacks one layer. Nobody types it; protocol.ts says how it is called. */
import { createReadStream, writeSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { Digester, digestAlgorithm } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { inflate } from "../../tar/inflate.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { LayerApplier, tooManyBytes } from "./applier.ts";
import { childError } from "./child-error.ts";
import { growingFile } from "./growing-file.ts";
import type { UnpackMessage, UnpackReport, UnpackRequest } from "./protocol.ts";

const readBytes = 256 * 1024;
const progressIntervalMs = 100;
/** The daemon must answer while layers are unpacked: nice(2) by this much. */
const niceness = 5;

export async function unpackMain(args: string[]): Promise<number> {
  try {
    // Only downwards: a daemon that was itself started with less may not raise it (setpriority(2), EACCES).
    if (getPriority() < niceness) setPriority(niceness);
    // Files get the modes that the layer says.
    process.umask(0);
    const request = JSON.parse(args[0] ?? "") as UnpackRequest;
    const input = request.isGrowing
      ? growingFile(() => send({ kind: "hungry" }))
      : createReadStream("", { fd: 0, highWaterMark: readBytes });
    send({ kind: "report", report: await unpack(request, input) });
    return 0;
  } catch (error) {
    send(childError("unpack", error));
    return 1;
  }
}

/**
 * @throws EngineError corrupt for a damaged archive or another diff id than was asked for; invalid_argument for an
 * archive that means harm; no_space.
 */
export async function unpack(request: UnpackRequest, input: AsyncIterable<Uint8Array>): Promise<UnpackReport> {
  using root = open(request.target, O_RDONLY | O_DIRECTORY);
  using applier = new LayerApplier(root, request.form, request.limits);
  const reader = new TarReader(applier);
  const digester = new Digester(request.diffId && digestAlgorithm(request.diffId));
  for await (const piece of inflate(counted(input))) {
    digester.update(piece);
    if (digester.size > request.limits.bytesMax) {
      throw new EngineError("invalid_argument", `layer inflates to ${tooManyBytes(request.limits.bytesMax)}`);
    }
    reader.write(piece);
  }
  reader.end();
  const report = applier.finish();
  const diffId = digester.digest();
  if (request.diffId !== undefined && diffId !== request.diffId) {
    throw new EngineError("corrupt", `layer has diff id ${diffId}, the configuration says ${request.diffId}`);
  }
  return { ...report, archiveBytes: digester.size, diffId };
}

/** Says how much was read, now and then. */
async function* counted(input: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let bytes = 0;
  let saidAt = performance.now();
  for await (const piece of input) {
    bytes += piece.length;
    yield piece;
    if (performance.now() - saidAt < progressIntervalMs) continue;
    saidAt = performance.now();
    send({ kind: "progress", bytes });
  }
}

function send(message: UnpackMessage): void {
  // Not process.stdout: this must be out before the process ends, and the pipe may be smaller than the report.
  for (let rest = Buffer.from(`${JSON.stringify(message)}\n`); rest.length > 0; ) {
    rest = rest.subarray(writeSync(1, rest));
  }
}
