/** What checkpoint and restore have in common on the command line. */
import { resolve } from "../../../ffi/path.ts";
import type { CriuSettings } from "../criu/settings.ts";
import type { CommandContext } from "./command.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const criuFlags = {
  "image-path": { kind: "text", default: "", usage: "directory of criu's image files (default: ./checkpoint)" },
  "work-path": {
    kind: "text",
    default: "",
    usage: "directory of criu's work files and logs (default: the image path)",
  },
  "tcp-established": { kind: "boolean", usage: "allow open tcp connections" },
  "ext-unix-sk": { kind: "boolean", usage: "allow unix sockets whose other end is outside of the container" },
  "shell-job": { kind: "boolean", usage: "allow processes of the caller's terminal" },
  "file-locks": { kind: "boolean", usage: "handle file locks, for safety" },
  "manage-cgroups-mode": {
    kind: "text",
    default: "",
    usage: "which cgroups are restored: soft, full, strict or ignore (default: soft)",
  },
  "empty-ns": { kind: "texts", usage: "make a namespace, but do not restore what is in it: network" },
  "auto-dedup": { kind: "boolean", usage: "remove from older images the memory that newer ones have" },
  "lazy-pages": { kind: "boolean", usage: "restore memory when it is touched, by userfaultfd" },
} as const satisfies FlagTable;

const cgroupModes = ["soft", "full", "strict", "ignore"] as const;

export function criuSettings(flags: FlagValues<typeof criuFlags>): CriuSettings {
  const mode = flags["manage-cgroups-mode"];
  const cgroupMode = cgroupModes.find((known) => known === mode);
  if (mode !== "" && cgroupMode === undefined) {
    throw new Error(`invalid manage-cgroups-mode value: ${mode}; use soft, full, strict or ignore`);
  }
  for (const name of flags["empty-ns"]) {
    // The network's is always made empty: interfaces are not the runtime's.
    if (name !== "network") throw new Error(`namespace ${JSON.stringify(name)} is not supported`);
  }
  const workPath = flags["work-path"];
  return {
    imagePath: resolve(flags["image-path"] || "checkpoint"),
    ...(workPath !== "" && { workPath: resolve(workPath) }),
    ...(cgroupMode && { cgroupMode }),
    tcpEstablished: flags["tcp-established"],
    extUnixSk: flags["ext-unix-sk"],
    shellJob: flags["shell-job"],
    fileLocks: flags["file-locks"],
    autoDedup: flags["auto-dedup"],
    lazyPages: flags["lazy-pages"],
  };
}

/** criu refuses what it cannot do; that it often cannot is worth knowing. */
export function warnUnprivileged({ program, log }: CommandContext, verb: string): void {
  if (process.geteuid?.() !== 0) log.warn(`${program} ${verb} is untested with rootless containers`);
}
