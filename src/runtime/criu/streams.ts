/**
 * The standard streams of a container's first process: they lead out of it, and are given to it anew when it is
 * restored. descriptors.json beside the images says by which name criu knows each, in the format of runc.
 */
import { AT_FDCWD } from "../../../ffi/constants/open.ts";
import { readFileSync, readlinkSync, writeFileSync } from "../../../ffi/fs.ts";
import { join } from "../../../ffi/path.ts";
import { statx } from "../../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../../core/errors.ts";
import type { MountEntry } from "./mount-info.ts";

const fileName = "descriptors.json";

/** Majors of terminals: the console and tty, pseudo-terminals. criu deals with them itself (`--shell-job`). */
const isTerminalMajor = (major: number) => major === 4 || major === 5 || (major >= 136 && major <= 143);

/**
 * Names of the three streams: of a pipe or socket its own, of a file that is not in the container's mounts the one by
 * which criu takes it as external, and else just a path. A stream that is closed has an empty one.
 */
export function streamNames(pid: number, mounts: readonly MountEntry[]): string[] {
  const inside = new Set(mounts.map(({ id }) => id));
  return [0, 1, 2].map((number) => {
    const path = `/proc/${pid}/fd/${number}`;
    try {
      const name = readlinkSync(path);
      if (/^(pipe|socket):/.test(name)) return name;
      const id = Number(/^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${number}`, "utf8"))?.[1]);
      const { inode, specialMajor } = statx(AT_FDCWD, path, 0);
      const outside = !inside.has(id) && !isTerminalMajor(specialMajor);
      return outside ? `file[${id.toString(16)}:${inode.toString(16)}]` : name;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return "";
      throw error;
    }
  });
}

/** Those of the names that criu has to be told of as external when it saves. */
export function externalFiles(names: readonly string[]): string[] {
  return [...new Set(names.filter((name) => name.startsWith("file[")))];
}

export function writeStreamNames(images: string, names: readonly string[]): void {
  writeFileSync(join(images, fileName), JSON.stringify(names), { mode: 0o600 });
}

/** @throws EngineError not_found: nothing was saved there; corrupt. */
export function readStreamNames(images: string): string[] {
  const path = join(images, fileName);
  let names: unknown;
  try {
    names = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT")) {
      throw new EngineError("not_found", `--image-path: ${images} holds no checkpoint: no such file: ${fileName}`, {
        path,
      });
    }
    if (error instanceof SyntaxError) throw new EngineError("corrupt", `${path}: not JSON`, { path, cause: error });
    throw wrapError(error, "--image-path");
  }
  if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  throw new EngineError("corrupt", `${path}: not a list of names`, { path });
}

/**
 * Which of criu's descriptors take the places of the streams.
 * @param first the number that standard input has there; the others follow.
 */
export function inheritedStreams(names: readonly string[], first: number): { key: string; descriptor: number }[] {
  const inherited = new Map<string, number>();
  names.slice(0, 3).forEach((key, index) => {
    // A pipe that is two streams at once is given once.
    if (/^(pipe:|socket:|file\[)/.test(key) && !inherited.has(key)) inherited.set(key, first + index);
  });
  return [...inherited].map(([key, descriptor]) => ({ key, descriptor }));
}
