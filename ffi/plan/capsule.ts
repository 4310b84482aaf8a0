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
import { entryCode, interpreterCode } from "./interpreter.ts";

const loadAddress = 0x400000;
const headerSize = 64;
const programHeaderSize = 56;

/** The executable file, elf(5). */
export function capsuleImage(): Uint8Array {
  const code = Uint8Array.fromHex(entryCode + interpreterCode);
  const codeOffset = headerSize + 2 * programHeaderSize;
  const size = codeOffset + code.length;
  const image = new Uint8Array(size);
  const view = new DataView(image.buffer);
  const u16 = (at: number, value: number) => view.setUint16(at, value, true);
  const u32 = (at: number, value: number) => view.setUint32(at, value, true);
  const u64 = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  // Elf64_Ehdr: 64-bit, little-endian, ET_EXEC, EM_X86_64.
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u16(16, 2);
  u16(18, 62);
  u32(20, 1);
  u64(24, loadAddress + codeOffset);
  u64(32, headerSize);
  u16(52, headerSize);
  u16(54, programHeaderSize);
  u16(56, 2);
  // PT_LOAD of the whole file, readable and executable.
  u32(64, 1);
  u32(68, 5);
  u64(80, loadAddress);
  u64(88, loadAddress);
  u64(96, size);
  u64(104, size);
  u64(112, 4096);
  // PT_GNU_STACK, readable and writable: without it the stack would be executable.
  u32(120, 0x6474e551);
  u32(124, 6);
  image.set(code, codeOffset);
  return image;
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
    return memfd_create("tsd-init", flags | MFD_EXEC);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.errno === "EACCES") return undefined;
    if (error.errno !== "EINVAL") throw error;
    // Before Linux 6.3 there is no such flag, and every memfd is executable.
    return memfd_create("tsd-init", flags);
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
