/** A file on its way to its place: it gets its name when it is whole, and a process that is killed leaves nothing of it. */
import { randomBytes } from "node:crypto";
import { O_CREAT, O_EXCL, O_RDWR, O_TMPFILE } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { linkDescriptor, openat, renameat2, unlinkat } from "../../ffi/files.ts";
import { isErrno } from "../core/errors.ts";

export class PendingFile implements Disposable {
  readonly fd: Fd;
  readonly #parent: Fd;
  /** What it is called meanwhile on file systems without nameless files. */
  #temporary: Uint8Array | undefined;

  private constructor(fd: Fd, parent: Fd, temporary?: Uint8Array) {
    this.fd = fd;
    this.#parent = parent;
    this.#temporary = temporary;
  }

  /** For its owner alone. @param parent where it is going to be; it stays the caller's, and open. */
  static open(parent: Fd): PendingFile {
    try {
      return new PendingFile(openat(parent, ".", O_TMPFILE | O_RDWR, 0o600), parent);
    } catch (error) {
      // EISDIR is the answer of file systems that do not know the flag (open(2)): network file systems above all.
      if (!isErrno(error, "EOPNOTSUPP", "EISDIR")) throw error;
      return PendingFile.openNamed(parent);
    }
  }

  /** The same under a hidden name. */
  static openNamed(parent: Fd): PendingFile {
    const temporary = hiddenName();
    return new PendingFile(openat(parent, temporary, O_CREAT | O_EXCL | O_RDWR, 0o600), parent, temporary);
  }

  /** Gives it a name that nobody has. @throws SyscallError EEXIST where somebody has it. */
  name(name: Uint8Array): void {
    if (this.#temporary === undefined) {
      linkDescriptor(this.fd, this.#parent, name);
      return;
    }
    const RENAME_NOREPLACE = 1;
    try {
      renameat2(this.#parent, this.#temporary, this.#parent, name, RENAME_NOREPLACE);
    } catch (error) {
      // Not on this file system (rename(2)): whoever comes in between is replaced.
      if (!isErrno(error, "EINVAL")) throw error;
      renameat2(this.#parent, this.#temporary, this.#parent, name);
    }
    this.#temporary = undefined;
  }

  [Symbol.dispose](): void {
    const temporary = this.#temporary;
    this.#temporary = undefined;
    try {
      if (temporary !== undefined) unlinkat(this.#parent, temporary);
    } finally {
      this.fd.close();
    }
  }
}

function hiddenName(): Uint8Array {
  return Buffer.from(`.tsd-${randomBytes(8).toString("hex")}`);
}
