import { resolve } from "../../../ffi/path.ts";
import type { Bundle } from "../bundle.ts";
import type { CgroupDriver } from "../cgroup/driver.ts";
import type { ContainerStdio, CreateOptions } from "../options.ts";
import type { CommandContext } from "./command.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const idHelp = {
  heading: "",
  text: "<container-id> names this instance of the bundle. It is yours to choose, unique under the state root.",
};

/** What create and run have in common. */
export const createFlags = {
  bundle: {
    kind: "text",
    alias: "b",
    default: "",
    usage: "path to the root of the bundle directory, defaults to the current directory",
  },
  "console-socket": {
    kind: "text",
    usage: "path to an AF_UNIX socket that receives the master end of the container's pseudo-terminal",
  },
  "pid-file": { kind: "text", usage: "file to write the process id to" },
  "no-pivot": { kind: "boolean", usage: "move the root in place of pivot_root: for a rootfs on a ramdisk" },
  "no-new-keyring": { kind: "boolean", usage: "share the caller's session keyring with the container" },
  "preserve-fds": { kind: "integer", default: 0, usage: "pass N more file descriptors, from 3 on, to the container" },
} as const satisfies FlagTable;

/** What `--systemd-cgroup` asks for. */
export async function wantedDriver({ systemdCgroup }: CommandContext): Promise<CgroupDriver | undefined> {
  return systemdCgroup ? (await import("../systemd.ts")).loadSystemd() : undefined;
}

/** The part of CreateOptions that flags decide. */
export function createOptions(
  context: CommandContext,
  id: string,
  bundle: Bundle,
  flags: FlagValues<typeof createFlags>,
  stdio: ContainerStdio,
  cgroupDriver: CgroupDriver | undefined,
): Omit<CreateOptions, "start"> {
  return {
    id,
    root: context.root,
    bundle: bundle.path,
    config: bundle.config,
    stdio,
    ...(flags["pid-file"] !== undefined && { pidFile: resolve(flags["pid-file"]) }),
    noPivot: flags["no-pivot"],
    noNewKeyring: flags["no-new-keyring"],
    preserveFds: flags["preserve-fds"],
    ...(cgroupDriver && { cgroupDriver }),
    ignoreCgroupErrors: context.ignoreCgroupErrors,
    warn: (message) => context.log.warn(message),
  };
}

/**
 * Standard streams of a process that the runtime does not stay with.
 * @throws Error in runc's words: callers show them.
 */
export function detachedStdio(program: string, terminal: boolean, consoleSocket: string | undefined): ContainerStdio {
  if (terminal && consoleSocket === undefined) {
    throw new Error(`cannot allocate tty if ${program} will detach without setting console socket`);
  }
  if (!terminal && consoleSocket !== undefined) throw consoleSocketNotUsed(program);
  return consoleSocket === undefined ? { stdin: 0, stdout: 1, stderr: 2 } : { consoleSocket };
}

export function consoleSocketNotUsed(program: string): Error {
  return new Error(`cannot use console socket if ${program} will not detach or allocate tty`);
}
