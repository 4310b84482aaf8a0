/**
 * The capsule: a static ELF of a few hundred bytes that holds the interpreter and nothing else. A container's first
 * process is this program until it becomes the container's own, so that it shares no memory with tsd, and so that
 * /proc/<pid>/exe never leads to tsd's executable (CVE-2019-5736).
 */
import { MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC } from "../constants/memory.ts";
import { MOUNT_ATTR_RDONLY } from "../constants/mount.ts";
import {
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
} from "../constants/open.ts";
import { SyscallError } from "../errno.ts";
import type { Fd } from "../fd.ts";
import { openat, write } from "../files.ts";
import { addSeals, memfd_create } from "../memory.ts";
import { fsmount, fsopen, mount_setattr } from "../mount.ts";
import { capsuleName } from "./capsule-name.ts";
import { executableImage } from "./elf.ts";
import { entryCode, interpreterCode } from "./interpreter.ts";

/** The executable file. */
export function capsuleImage(): Uint8Array {
  return executableImage(Uint8Array.fromHex(entryCode + interpreterCode));
}

let shared: Fd | undefined;

/** The capsule's descriptor: made once, immutable, of use to every plan. It is closed on execve. */
export function openCapsule(): Fd {
  shared ??= inMemory() ?? onPrivateFileSystem();
  return shared;
}

/** A sealed memfd, or undefined where vm.memfd_noexec=2 forbids executable ones. */
function inMemory(): Fd | undefined {
  const fd = createMemfd();
  if (fd === undefined) return undefined;
  try {
    write(fd, capsuleImage());
    addSeals(fd, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  } catch (error) {
    fd.close();
    throw error;
  }
  return fd;
}

function createMemfd(): Fd | undefined {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  try {
    return memfd_create(capsuleName, flags | MFD_EXEC);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.errno === "EACCES") return undefined;
    if (error.errno !== "EINVAL") throw error;
    // Before Linux 6.3 there is no such flag, and every memfd is executable.
    return memfd_create(capsuleName, flags);
  }
}

/** A file of a tmpfs that is mounted nowhere and read-only once the file is written: no path leads to it. */
export function onPrivateFileSystem(): Fd {
  using context = fsopen("tmpfs");
  using mount = fsmount(context);
  {
    using file = openat(mount, "tsd-init", O_WRONLY | O_CREAT | O_EXCL, 0o555);
    write(file, capsuleImage());
  }
  mount_setattr(mount, { set: MOUNT_ATTR_RDONLY });
  return openat(mount, "tsd-init", O_RDONLY);
}
