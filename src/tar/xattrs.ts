/**
 * Extended attributes from an archive. Which of them are taken is a matter of safety: trusted.overlay.* would let an
 * image redirect overlayfs to any directory of a lower layer, so trusted.* is the engine's alone (containerd
 * refuses it too).
 */
import { O_DIRECTORY, O_PATH } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { setXattr, type XattrTarget } from "../../ffi/stat.ts";
import { call } from "../../ffi/syscall.ts";
import { isErrno } from "../core/errors.ts";

export class XattrWriter {
  readonly #skipped = new Set<string>();
  readonly #skipsCapabilities: boolean;

  /** @param skipsCapabilities of who may not set security.capability: it is skipped then, and no error. */
  constructor(skipsCapabilities = false) {
    this.#skipsCapabilities = skipsCapabilities;
  }

  /** Names that could not be set, once each. */
  get skipped(): string[] {
    return [...this.#skipped];
  }

  set(file: Fd, xattrs: ReadonlyMap<string, Uint8Array>): void {
    for (const [name, value] of xattrs) this.#setOne(file, name, value);
  }

  /**
   * For what cannot be opened: symlinks, devices, fifos. Before setxattrat (Linux 6.13) only paths reach them, so
   * the working directory is moved to the parent: a single component, which lsetxattr does not follow.
   */
  setByName(parent: Fd, name: Uint8Array, xattrs: ReadonlyMap<string, Uint8Array>): void {
    if (xattrs.size === 0) return;
    using before = open(".", O_PATH | O_DIRECTORY);
    call("fchdir", undefined, parent.number);
    try {
      for (const [attribute, value] of xattrs) this.#setOne({ path: name }, attribute, value);
    } finally {
      call("fchdir", undefined, before.number);
    }
  }

  #setOne(target: XattrTarget, name: string, value: Uint8Array): void {
    if (name.startsWith("trusted.")) {
      this.#skipped.add(name);
      return;
    }
    try {
      setXattr(target, Buffer.from(name, "latin1"), value);
    } catch (error) {
      // No attributes on this file system, none of this kind on this type of file, or a security module's own label.
      const isOptional = (this.#skipsCapabilities || name !== "security.capability") && isErrno(error, "EPERM");
      if (!isOptional && !isErrno(error, "EOPNOTSUPP")) throw error;
      this.#skipped.add(name);
    }
  }
}
