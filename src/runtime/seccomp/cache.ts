/**
 * Compiled programs in files. Compiling Docker's profile takes 0.3 ms in a process that has done it before and 2 to
 * 3 ms in one that has just started, which is what the command line of an OCI runtime always is. crun keeps such a
 * cache too.
 */

import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { mkdirSync, readFileSync } from "../../../ffi/fs.ts";
import { join } from "../../../ffi/path.ts";
import { statx } from "../../../ffi/stat.ts";
import { decodeText, encodeText } from "../../../ffi/text.ts";
import { putFile } from "../../../ffi/whole-file.ts";
import { isErrno } from "../../core/errors.ts";
import type { LinuxSeccomp } from "../../oci/runtime.ts";
import { compileSeccompProgram, type SeccompProgram } from "./compile.ts";

/**
 * The program of a profile, from `directory` where it was compiled before by this same executable. The directory is
 * made for its owner alone; it must lie where nobody else can write, for what is in it is believed. A cache that cannot
 * be written costs time and nothing else. Errors as of compileSeccompProgram.
 */
export function cachedSeccompProgram(seccomp: LinuxSeccomp, directory: string): SeccompProgram {
  const key = keyOf(seccomp);
  if (key === undefined) return compileSeccompProgram(seccomp);
  const path = join(directory, key);
  const kept = read(path);
  if (kept !== undefined) return kept;
  const program = compileSeccompProgram(seccomp);
  write(directory, path, program);
  return program;
}

/** Undefined where the profile holds a number beyond 2^53, which JSON cannot say: rare enough to go without. */
function keyOf(seccomp: LinuxSeccomp): string | undefined {
  let text: string;
  try {
    text = JSON.stringify(seccomp);
  } catch {
    return undefined;
  }
  // Another build of tsd may compile the same profile in another way.
  // Not by its path: after an upgrade another file has that.
  const { inode, modified, size } = statx(AT_FDCWD, "/proc/self/exe", 0);
  const build = `${inode} ${modified.seconds}.${modified.nanoseconds} ${size} ${process.argv[1]}`;
  return new Bun.CryptoHasher("sha256").update(`${build} ${text}`).digest("hex");
}

/** A line of JSON, then the instructions. */
function read(path: string): SeccompProgram | undefined {
  let file: Uint8Array;
  try {
    file = readFileSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
  const end = file.indexOf(10);
  const bytes = file.slice(end + 1);
  if (end < 0 || bytes.length === 0 || bytes.length % 8 !== 0) return undefined;
  return { ...(JSON.parse(decodeText(file.subarray(0, end))) as Omit<SeccompProgram, "bytes">), bytes };
}

function write(directory: string, path: string, { bytes, ...rest }: SeccompProgram): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const line = encodeText(`${JSON.stringify(rest)}\n`);
    const file = new Uint8Array(line.length + bytes.length);
    file.set(line);
    file.set(bytes, line.length);
    putFile(path, file, 0o600);
  } catch (error) {
    if (!isErrno(error, "ENOSPC", "EROFS", "EACCES", "EDQUOT", "EEXIST", "ENOTDIR")) throw error;
  }
}
