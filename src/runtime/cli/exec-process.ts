import type { OciCapabilities, OciProcess, OciUser } from "../../oci/runtime.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const execFlags = {
  "console-socket": {
    kind: "text",
    usage: "path to an AF_UNIX socket that receives the master end of the process' pseudo-terminal",
  },
  cwd: { kind: "text", usage: "current working directory in the container" },
  env: { kind: "texts", alias: "e", usage: "set environment variables" },
  tty: { kind: "boolean", alias: "t", usage: "allocate a pseudo-TTY" },
  user: { kind: "text", alias: "u", usage: "UID (format: <uid>[:<gid>])" },
  "additional-gids": { kind: "integers", alias: "g", usage: "additional gids" },
  process: { kind: "text", alias: "p", usage: "path to the process.json" },
  detach: { kind: "boolean", alias: "d", usage: "detach from the container's process" },
  "pid-file": { kind: "text", usage: "file to write the process id to" },
  "process-label": { kind: "text", usage: "SELinux label of the process" },
  apparmor: { kind: "text", usage: "AppArmor profile of the process" },
  "no-new-privs": { kind: "boolean", usage: "set the no new privileges value for the process" },
  cap: { kind: "texts", alias: "c", usage: "add a capability to the bounding set for the process" },
  "preserve-fds": { kind: "integer", default: 0, usage: "pass N more file descriptors, from 3 on, to the process" },
  cgroup: {
    kind: "texts",
    usage: "run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>.",
  },
  "ignore-paused": { kind: "boolean", usage: "allow exec in a paused container" },
} as const satisfies FlagTable;
export type ExecFlagValues = FlagValues<typeof execFlags>;
/** The flags that say what the process is like, and not what becomes of it. */
export type ProcessFlagValues = Omit<
  ExecFlagValues,
  "console-socket" | "detach" | "pid-file" | "preserve-fds" | "cgroup" | "ignore-paused"
>;

/** The container's own process, with another command and what the flags change. */
export function execProcess(own: OciProcess, args: string[], flags: ProcessFlagValues): OciProcess {
  // The console's size belonged to the first process' terminal.
  const { consoleSize: _, ...process } = own;
  if (flags.cwd !== undefined && !flags.cwd.startsWith("/")) {
    throw new Error(`--cwd ${flags.cwd}: must be an absolute path`);
  }
  return {
    ...process,
    args,
    terminal: flags.tty,
    env: [...(own.env ?? []), ...flags.env],
    ...(flags.cwd !== undefined && { cwd: flags.cwd }),
    user: execUser(own.user ?? {}, flags.user, flags["additional-gids"]),
    ...(flags["process-label"] !== undefined && { selinuxLabel: flags["process-label"] }),
    ...(flags.apparmor !== undefined && { apparmorProfile: flags.apparmor }),
    ...(flags["no-new-privs"] && { noNewPrivileges: true }),
    ...(flags.cap.length > 0 && { capabilities: withCapabilities(own.capabilities ?? {}, flags.cap) }),
  };
}

/** The number after it means "unchanged" to the kernel: who asks for it would get root. */
const idMax = 0xfffffffe;

/** Digits only: a parser that takes a part of the text, or nothing, for an id runs the command as the wrong user. */
function execUser(own: OciUser, user: string | undefined, additionalGids: number[]): OciUser {
  const bad = additionalGids.find((gid) => gid < 0 || gid > idMax);
  if (bad !== undefined) throw new Error(`--additional-gids ${bad}: not a group id`);
  const groups = { additionalGids: [...(own.additionalGids ?? []), ...additionalGids] };
  if (user === undefined) return { ...own, ...groups };
  const match = /^(\d+)(?::(\d+))?$/.exec(user);
  const uid = Number(match?.[1]);
  const gid = match?.[2] === undefined ? own.gid : Number(match[2]);
  if (match === null || uid > idMax || (gid ?? 0) > idMax)
    throw new Error(`--user ${user}: not of the form <uid>[:<gid>]`);
  const { username: _, ...rest } = own;
  return { ...rest, uid, ...(gid !== undefined && { gid }), ...groups };
}

/** Not into the inheritable and ambient sets: those survive an execve of an unprivileged user. */
function withCapabilities(own: OciCapabilities, added: string[]): OciCapabilities {
  const add = (set: string[] | undefined) => [...new Set([...(set ?? []), ...added])];
  return { ...own, bounding: add(own.bounding), effective: add(own.effective), permitted: add(own.permitted) };
}
