/** mmap(2), mprotect(2), memfd_create(2): include/uapi/asm-generic/mman-common.h, linux/memfd.h. */
import type { ConstantNames } from "./names.ts";

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;

export const MFD_CLOEXEC = 0x01;
export const MFD_ALLOW_SEALING = 0x02;
export const MFD_NOEXEC_SEAL = 0x08;
export const MFD_EXEC = 0x10;
export const memfdFlags: ConstantNames = { MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL, MFD_EXEC };
