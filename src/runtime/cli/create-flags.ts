import { resolve } from "../../../ffi/path.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { Bundle } from "../bundle.ts";
import type { CgroupDriver } from "../cgroup/driver.ts";
import type { Readiness } from "../notify.ts";
import type { ContainerStdio, CreateOptions } from "../options.ts";
import type { CommandContext } from "./command.ts";
import type { FlagTable, FlagValues } from "./flags.ts";
import { listenDescriptors } from "./service.ts";

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
  "preserve-fds": {
    kind: "integer",
    default: 0,
    usage: "pass N more file descriptors to the container, after its streams and the sockets of $LISTEN_FDS",
  },
} as const satisfies FlagTable;

/** What `--systemd-cgroup` asks for. */
export async function wantedDriver({ systemdCgroup }: CommandContext): Promise<CgroupDriver | undefined> {
  return systemdCgroup ? (await import("../systemd.ts")).loadSystemd() : undefined;
}

/** What does not come from the flags of the verb. */
interface Surroundings {
  start: CreateOptions["start"];
  cgroupDriver: CgroupDriver | undefined;
  /** Of the service manager that started the runtime. */
  readiness: Readiness | undefined;
}

/** Everything about a container that is to be made. */
export function createOptions(
  context: CommandContext,
  id: string,
  bundle: Bundle,
  flags: FlagValues<typeof createFlags>,
  stdio: ContainerStdio,
  { start, cgroupDriver, readiness }: Surroundings,
): CreateOptions {
  const sockets = listenDescriptors();
  const config = sockets === 0 ? bundle.config : withSockets(bundle.config, sockets);
  return {
    start,
    id,
    root: context.root,
    bundle: bundle.path,
    config: readiness?.addTo(config) ?? config,
    ...(readiness && {
      prepareState: () => {
        readiness.makeDirectory();
        if (start === "now") readiness.listen();
      },
    }),
    stdio,
    ...(flags["pid-file"] !== undefined && { pidFile: resolve(flags["pid-file"]) }),
    noPivot: flags["no-pivot"],
    noNewKeyring: flags["no-new-keyring"],
    preserveFds: sockets + flags["preserve-fds"],
    ...(cgroupDriver && { cgroupDriver }),
    ignoreCgroupErrors: context.ignoreCgroupErrors,
    warn: (message) => context.log.warn(message),
  };
}

/** The first process is always its pid namespace's first, as far as the variable is concerned: so does runc. */
function withSockets(config: RuntimeConfig, count: number): RuntimeConfig {
  if (config.process === undefined) return config;
  const env = [...(config.process.env ?? []), `LISTEN_FDS=${count}`, "LISTEN_PID=1"];
  return { ...config, process: { ...config.process, env } };
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
