import { AT_FDCWD } from "../../ffi/constants/open.ts";
import { join } from "../../ffi/path.ts";
import { statx } from "../../ffi/stat.ts";
import type { LinuxSeccomp } from "../oci/runtime.ts";
import type { SeccompFilter } from "./plan/context.ts";
import { cachedSeccompProgram } from "./seccomp/cache.ts";
import { compileSeccompProgram } from "./seccomp/compile.ts";

/**
 * Compiles a profile, or takes the program of an earlier container under the same root. What is cached is believed: a
 * root that others may write to holds no cache.
 */
export function seccompFilter(root: string, seccomp: LinuxSeccomp | undefined): SeccompFilter | undefined {
  if (seccomp === undefined) return undefined;
  const { uid, mode } = statx(AT_FDCWD, root, 0);
  const trusted = uid === process.geteuid?.() && (mode & 0o022) === 0;
  const { bytes, flags } = trusted
    ? cachedSeccompProgram(seccomp, join(root, ".seccomp"))
    : compileSeccompProgram(seccomp);
  return { program: bytes, flags };
}
