/**
 * The host's paths that containers bind: there, or made, as Docker does for each syntax. They are looked for where a
 * server that does not answer holds up nobody else: each thread of the pool is one of few.
 */
import { mkdir } from "node:fs/promises";
import { O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../../../ffi/constants/open.ts";
import { fchownat, mkdirat, open, openat } from "../../../ffi/files.ts";
import { reach } from "../../../ffi/reach.ts";
import { advice } from "../../core/advice.ts";
import { EngineError, errorMessage, isErrno, wrapError } from "../../core/errors.ts";
import type { ContainerDefinition, ContainerMount } from "../container/definition.ts";
import { toHost } from "../userns/mapping.ts";

/** @throws EngineError invalid_argument in docker's words when there is nothing, or nothing that can be reached. */
export async function checkBindSource(path: string): Promise<void> {
  try {
    await reach(path);
  } catch (error) {
    const reason = isErrno(error, "ENOENT")
      ? `bind source path does not exist: ${path}`
      : `stat ${path}: ${reasonOf(error)}`;
    const hint = isErrno(error, "ENOENT") ? advice.bindSource : undefined;
    throw invalid(`invalid mount config for type "bind": ${reason}`, path, error, hint);
  }
}

/**
 * Before a container starts: what `-v` names comes into being, a directory; what `--mount` names is there or refused.
 * @throws EngineError invalid_argument.
 */
export async function prepareBindSources(definition: ContainerDefinition): Promise<void> {
  for (const mount of definition.mounts) {
    if (mount.Type !== "bind") continue;
    if (mount.createSource) await makeSource(mount, definition);
    else await checkBindSource(mount.Source);
  }
}

async function makeSource({ Source, idMapping }: ContainerMount, definition: ContainerDefinition): Promise<void> {
  try {
    if (await isThere(Source)) return;
    const owner = idMapping === undefined ? remappedRoot(definition) : undefined;
    if (owner === undefined) await mkdir(Source, { recursive: true, mode: 0o755 });
    else makeOwned(Source, owner);
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOTDIR", "EROFS", "ENOENT", "ELOOP")) {
      throw wrapError(error, `error while creating mount source path '${Source}'`, { stage: "mount" });
    }
    const reason = `mkdir ${Source}: ${reasonOf(error)}`;
    throw invalid(`error while creating mount source path '${Source}': ${reason}`, Source, error);
  }
}

interface Owner {
  uid: number;
  gid: number;
}

/** With --userns-remap what is made belongs to the container's root, so that it can write there. */
function remappedRoot({ userNamespace }: ContainerDefinition): Owner | undefined {
  if (userNamespace === undefined || userNamespace.mapsVolumes) return undefined;
  const [uid, gid] = [toHost(userNamespace.uids, 0), toHost(userNamespace.gids, 0)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/**
 * Makes the directories that are missing, and gives away what it has made and nothing else: a container that may write
 * to one above can put a symlink to a file of the host's in the place of a new directory at any moment.
 */
function makeOwned(path: string, { uid, gid }: Owner): void {
  using opened = new DisposableStack();
  let at = opened.use(open("/", O_PATH | O_DIRECTORY));
  for (const name of path.split("/").filter(Boolean)) {
    const parent = at;
    try {
      at = opened.use(openat(parent, name, O_PATH | O_DIRECTORY));
      continue;
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
    mkdirat(parent, name, 0o755);
    at = opened.use(openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    fchownat(at, ".", uid, gid);
  }
}

/** A file or a socket is a source as good as a directory; a symlink that leads nowhere is none. */
async function isThere(path: string): Promise<boolean> {
  try {
    await reach(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
    throw error;
  }
}

/** In Go's words. */
function reasonOf(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOENT: "no such file or directory",
    ENOTDIR: "not a directory",
    EEXIST: "file exists",
    ELOOP: "too many levels of symbolic links",
    EACCES: "permission denied",
    ENAMETOOLONG: "file name too long",
    EROFS: "read-only file system",
  };
  const found = Object.keys(reasons).find((name) => isErrno(error, name));
  return found === undefined ? errorMessage(error) : reasons[found]!;
}

function invalid(message: string, path: string, cause: unknown, hint?: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "mount", path, cause, ...(hint && { hint }) });
}
