/** What the parts of a plan share: the builder, descriptors that stay open for a while, and walks inside the root. */

import {
  AT_FDCWD,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_NOCTTY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  openFlags,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  resolveFlags,
} from "../../../ffi/constants/open.ts";
import { S_IFREG } from "../../../ffi/constants/stat.ts";
import { resolve } from "../../../ffi/path.ts";
import type { CallOptions, PlanBuilder } from "../../../ffi/plan/builder.ts";
import type { Label } from "../../../ffi/plan/records.ts";
import { type Argument, constant, flags, octal, type Ref, str, struct } from "../../../ffi/plan/values.ts";
import { EngineError } from "../../core/errors.ts";

/** "the current directory" for the `at` calls. */
export const here = constant(AT_FDCWD, { AT_FDCWD });

export function invalid(field: string, reason: string): EngineError {
  return new EngineError("invalid_argument", `${field}: ${reason}`);
}

export function unsupported(field: string, reason: string): EngineError {
  return new EngineError("unsupported", `${field}: ${reason}`);
}

/** A path without `.`, `..`, doubled and trailing slashes; always absolute. It is text only: symlinks are not looked at. */
export function cleanPath(path: string): string {
  return resolve("/", path);
}

interface OpenOptions extends CallOptions {
  mode?: number;
  /** No symlink anywhere on the way, not even one that stays inside. */
  noSymlinks?: boolean;
}

/**
 * openat2(2) of a path inside the root: symlinks, `..` and absolute paths cannot leave it, and there are no magic
 * links. A rename that races with it answers EAGAIN, which is tried again a bounded number of times.
 */
export function openInRoot(
  plan: PlanBuilder,
  root: Argument,
  path: string,
  openBits: number,
  options: OpenOptions = {},
): Ref {
  const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (options.noSymlinks ? RESOLVE_NO_SYMLINKS : 0);
  const how = struct({
    flags: flags(openBits | O_CLOEXEC, openFlags),
    mode: octal(options.mode ?? 0),
    resolve: flags(resolve, resolveFlags),
  });
  const retry = { errnos: ["EAGAIN", "EINTR"], times: 128 } as const;
  return plan.call("openat2", [root, str(path), how, 24], { what: path, retry, ...options });
}

const mountPointMode = 0o755;

/**
 * Opens a path inside the root as a place to mount on, made if it is missing: directories, and at its end a file if
 * that is what `tree` (what is mounted there) is. Without `tree` it is a directory.
 *
 * @param options.onError where to go when it can neither be opened nor made, instead of ending the plan.
 * @param options.whenMade where to go when it had to be made, instead of on.
 */
export function openMountPoint(
  plan: PlanBuilder,
  root: Argument,
  path: string,
  options: { tree?: Ref; noSymlinks?: boolean; onError?: Label; whenMade?: Label } = {},
): Ref {
  const { tree, noSymlinks = false, onError, whenMade } = options;
  const directory = tree === undefined ? O_DIRECTORY : 0;
  const missing = plan.label(`${path} is missing`);
  const found = plan.label(`${path} is open`);
  const result = openInRoot(plan, root, path, O_PATH | directory, { onError: missing, noSymlinks });
  plan.place(found);
  plan.defer(() => {
    plan.place(missing);
    const failure = onError === undefined ? {} : { onError };
    const names = cleanPath(path).split("/").slice(1);
    names.forEach((name, index) => {
      const parent =
        index === 0
          ? undefined
          : openInRoot(plan, root, `/${names.slice(0, index).join("/")}`, O_PATH | O_DIRECTORY, failure);
      const where = parent ?? root;
      if (index < names.length - 1 || tree === undefined) makeDirectory(plan, where, name, failure);
      else makeLike(plan, tree, { root, path, parent: where, name }, failure);
      if (parent !== undefined) plan.close(parent);
    });
    openInRoot(plan, root, path, O_PATH | directory, { into: result, next: whenMade ?? found, noSymlinks, ...failure });
  });
  return result;
}

/** mkdirat of one name in an open directory: a symlink of that name is EEXIST, and never followed. */
function makeDirectory(plan: PlanBuilder, parent: Argument, name: string, failure: CallOptions): void {
  plan.call("mkdirat", [parent, str(name), octal(mountPointMode)], { ignore: ["EEXIST"], what: name, ...failure });
}

interface NewPlace {
  root: Argument;
  path: string;
  /** The directory of the last name, and that name. */
  parent: Argument;
  name: string;
}

/**
 * Makes a directory or an empty file, as the tree is one or the other. Where the last name is a symlink that leads to
 * nothing, as many an image's /etc/resolv.conf, the file is made where it leads to inside the root, if it can be.
 */
function makeLike(plan: PlanBuilder, tree: Ref, { root, path, parent, name }: NewPlace, failure: CallOptions): void {
  const [file, done] = [plan.label(`${name} is a file`), plan.label(`${name} is made`)];
  const probe = plan.call("openat", [tree, str("."), flags(O_PATH | O_DIRECTORY | O_CLOEXEC, openFlags), 0], {
    onError: file,
  });
  plan.close(probe);
  makeDirectory(plan, parent, name, failure);
  plan.jump(done);
  plan.place(file);
  const exists = plan.label(`${name} exists`);
  plan.call("mknodat", [parent, str(name), octal(S_IFREG | mountPointMode), 0], { what: name, onError: exists });
  plan.place(done);
  plan.defer(() => {
    plan.place(exists);
    // Should somebody put a fifo or a terminal there meanwhile, it is neither waited for nor taken.
    const bits = O_RDONLY | O_CREAT | O_NONBLOCK | O_NOCTTY;
    plan.close(openInRoot(plan, root, path, bits, { mode: mountPointMode, ...failure }));
    plan.jump(done);
  });
}

/**
 * Makes an empty file. Whatever has the name already is left alone and, above all, not opened: it may be a fifo, which
 * waits for a writer for ever, or a device that does something when it is opened.
 */
export function makeFile(plan: PlanBuilder, parent: Argument, name: string, options: CallOptions = {}): void {
  const mode = octal(S_IFREG | mountPointMode);
  plan.call("mknodat", [parent, str(name), mode, 0], { ignore: ["EEXIST"], what: name, ...options });
}
