import type { FlagTable } from "./flags.ts";

/**
 * Not runc's /run/runc: its state files have another shape, and two runtimes that list, and delete, each other's
 * containers would corrupt them. Callers that replace runc pass --root (podman, containerd and dockerd do).
 */
export const defaultRoot: string = "/run/tsd/runtime";

export const globalFlags = {
  debug: { kind: "boolean", usage: "write debug lines to the log" },
  log: { kind: "text", usage: "file to append the log to (default is '/dev/stderr')" },
  "log-format": { kind: "text", default: "text", usage: "'text' or 'json'" },
  root: {
    kind: "text",
    usage: `directory of the containers' state, best on a tmpfs (default is '${defaultRoot}', or below $XDG_RUNTIME_DIR)`,
  },
  "systemd-cgroup": {
    kind: "boolean",
    usage: 'make cgroups through systemd; cgroupsPath is then "slice:prefix:name", for example "system.slice:tsd:42"',
  },
  rootless: {
    kind: "text",
    default: "auto",
    usage: "go on without cgroups that may not be made: 'true', 'false' or 'auto'",
  },
  version: { kind: "boolean", alias: "v", usage: "print the version" },
} as const satisfies FlagTable;
