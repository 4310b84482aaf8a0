/** What the verbs of the runtime are told; the command line and the shim fill it in. */
import type { Fd } from "../../ffi/fd.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import type { CgroupDriver } from "./cgroup/driver.ts";

/** An overlay for the container's root, mounted in its own mount namespace: nothing of it shows on the host. */
export interface OverlayMount {
  /** Topmost first. */
  lower: string[];
  /** Absent, with `work`: the root is read-only. */
  upper?: string;
  work?: string;
  /**
   * The files have the container's owners on the disk: its user namespace's mapping is put on the mount of all these
   * directories. Needs Linux 5.19.
   */
  mapped?: boolean;
}

/**
 * Where a process' standard streams lead: descriptors of this process (which stay its own), or a new pseudo-terminal
 * of the container whose master goes to a console socket (SCM_RIGHTS) or to a function, which owns it.
 * Which of the two kinds is needed `process.terminal` says.
 */
export type ContainerStdio =
  | { stdin: number; stdout: number; stderr: number }
  | { consoleSocket: string }
  | { onConsole: (master: Fd) => void };

export interface CreateOptions {
  id: string;
  /** Absolute. It need hold no config.json: `config` is what counts. */
  bundle: string;
  config: RuntimeConfig;
  /** Directory of the containers' state. */
  root: string;
  stdio: ContainerStdio;
  /** In place of what lies at `config.root.path`. */
  rootfsMount?: OverlayMount;
  /** Written atomically, before this returns. */
  pidFile?: string;
  noPivot?: boolean;
  noNewKeyring?: boolean;
  /** Descriptors from 3 on that the container keeps. */
  preserveFds?: number;
  /**
   * "wait": the first process waits for startContainer, as OCI's `create` wants. "now": it goes on to its program, and
   * a program that cannot be executed is an error of createContainer's.
   */
  start: "now" | "wait";
  /** Called once the state directory is there. What it makes in it has to be known to removeContainerDirectory. */
  prepareState?: () => void;
  /** Goes on without a cgroup where making one is not permitted (`--rootless`). */
  ignoreCgroupErrors?: boolean;
  /** In place of the cgroup file system alone: systemd (loadSystemd). */
  cgroupDriver?: CgroupDriver;
  /** Hears of what is wrong but does not stop the work. */
  warn?: (message: string) => void;
}

export interface ExecOptions {
  stdio: ContainerStdio;
  pidFile?: string;
  preserveFds?: number;
  /** Below the container's cgroup: `path` for every controller, or one controller's own. */
  cgroup?: { controllers?: string[]; path: string }[];
  /** Needed for a container whose record has a unit of a user's systemd (recordedDriver). */
  cgroupDriver?: CgroupDriver;
  /** A paused container is not refused: the process starts when it is resumed. */
  ignorePaused?: boolean;
  /** Descendants whose parents have ended are the process's, and not the container's first one's, for as long as it lives. */
  keepOrphans?: boolean;
  /** Hears of what is wrong but does not stop the work. */
  warn?: (message: string) => void;
}

/** The first process of a container, or one that `exec` added. A child of this process, which has to reap it. */
export interface StartedProcess {
  pid: number;
  /** Readable once it has ended. The receiver closes it. */
  pidfd: Fd;
}

export interface RunningContainer extends StartedProcess {
  id: string;
}
