/** `tsd copy`: the child that reads or writes files of one container. Nobody types it; protocol.ts says how it is called. */
import { AT_FDCWD, O_DIRECTORY, O_PATH } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open, read, readlinkBytes, write } from "../../../ffi/files.ts";
import { fstatfs, statx } from "../../../ffi/stat.ts";
import { EngineError } from "../../core/errors.ts";
import { inflate } from "../../tar/inflate.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { TreePacker } from "../../tar/tree-packer.ts";
import { TreeWriter } from "../../tar/tree-writer.ts";
import { childError } from "../unpack/child-error.ts";
import { sandboxTarget } from "../unpack/sandbox.ts";
import { assertCopyable, kernelMounts } from "./kernel-file-systems.ts";
import { absolutePath, findPlace, nameInArchive, openDirectory, statOf } from "./place.ts";
import type { CopyMessage, CopyReport, CopyRequest } from "./protocol.ts";

const [standardInput, standardOutput, standardError] = [0, 1, 2];
const readBytes = 2 ** 20;

export async function copyMain(args: string[]): Promise<number> {
  try {
    // Files get the modes that the archive says.
    process.umask(0);
    const request = JSON.parse(args[0] ?? "") as CopyRequest;
    send({ kind: "report", report: await copy(sandboxTarget, request, send) });
    return 0;
  } catch (error) {
    send(childError("copy", error));
    return 1;
  }
}

/** @throws EngineError not_found, invalid_argument, forbidden, no_space; it names the path. */
export async function copy(
  directory: string,
  request: CopyRequest,
  tell: (message: CopyMessage) => void,
): Promise<CopyReport> {
  using root = open(directory, O_PATH | O_DIRECTORY);
  const path = absolutePath(request.path);
  if (request.verb === "write") return await writeFiles(root, directory, path, request);
  using place = findPlace(root, path);
  tell({ kind: "stat", stat: statOf(root, place, path) });
  if (request.verb === "stat") return { entries: 0 };
  const packer = new TreePacker(root, { form: "tree", isLeftOut: kernelMounts(root, place.parent) });
  const name = Buffer.from(nameInArchive(path)).toString("latin1");
  for (const piece of packer.packOne(place.parent, place.name, name)) write(standardOutput, piece);
  return { entries: packer.entries };
}

async function writeFiles(
  root: Fd,
  directory: string,
  path: string,
  { keepsKinds, owner }: CopyRequest & { verb: "write" },
): Promise<CopyReport> {
  using target = openTarget(root, path);
  assertCopyable(target, path);
  assertWritable(root, target);
  if (statx(target).links === 0) throw new EngineError("not_found", `${path}: it was removed meanwhile`);
  // As it is without symlinks, which may be changed meanwhile; in bytes, for a name need not be UTF-8.
  const whole = readlinkBytes(AT_FDCWD, `/proc/self/fd/${target.number}`);
  const at = Buffer.from(whole).subarray(Buffer.byteLength(directory) + 1);
  using writer = new TreeWriter(root, {
    at: at.toString("latin1"),
    rootName: "",
    keepsKinds,
    owner: owner ?? "archive",
    isLeftOut: kernelMounts(root, target),
  });
  const reader = new TarReader(writer);
  for await (const piece of inflate(input(), "archive")) reader.write(piece);
  reader.end();
  writer.finish();
  return { entries: writer.entries };
}

function openTarget(root: Fd, path: string): Fd {
  try {
    return openDirectory(root, path);
  } catch (error) {
    const isNone = error instanceof EngineError && error.message.endsWith(": not a directory");
    throw isNone ? new EngineError("invalid_argument", "extraction point is not a directory") : error;
  }
}

/** In docker's words: the first write would fail with others. */
function assertWritable(root: Fd, target: Fd): void {
  const ST_RDONLY = 1;
  if ((fstatfs(target).flags & ST_RDONLY) === 0) return;
  const isRoot = statx(target).mountId === statx(root).mountId;
  const what = isRoot ? "container rootfs is marked read-only" : "mounted volume is marked read-only";
  throw new EngineError("forbidden", what);
}

/** It has nothing else to do than to wait for it. */
async function* input(): AsyncGenerator<Uint8Array, void, void> {
  const buffer = new Uint8Array(readBytes);
  for (;;) {
    const length = read(standardInput, buffer);
    if (length === 0) return;
    yield buffer.subarray(0, length);
  }
}

function send(message: CopyMessage): void {
  write(standardError, `${JSON.stringify(message)}\n`);
}
