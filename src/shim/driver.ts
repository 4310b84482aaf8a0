/** What a shim needs of an OCI runtime: the built-in one, or another one by its command line. */
import type { LinuxResources, OciProcess } from "../oci/runtime.ts";
import type { OomFigures } from "../runtime/cgroup/stats.ts";
import type { ContainerStdio } from "../runtime/options.ts";
import type { CheckpointPlace } from "./protocol.ts";

export interface RuntimeDriver {
  /** The container has no pid namespace of its own: what its first process leaves behind must be killed. */
  readonly sharesPidNamespace: boolean;
  /**
   * Creates the container and starts its first process, which is this process's child (or becomes it as an orphan's
   * subreaper). `onPid` is called in the same turn in which the pid becomes known.
   * @throws EngineError; then nothing of the container is left.
   */
  run(stdio: ContainerStdio, onPid: (pid: number) => void): Promise<void>;
  /**
   * Adds a process to the container; a child likewise.
   * @param options.keepOrphans as ExecOptions have it; other runtimes cannot.
   * @throws EngineError.
   */
  exec(
    process: OciProcess,
    stdio: ContainerStdio,
    onPid: (pid: number) => void,
    options: { keepOrphans: boolean },
  ): Promise<void>;
  /** Signals the first process, or every process of the container. */
  signal(signal: number, all: boolean): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Changes limits, all of them or none. */
  update(resources: LinuxResources): Promise<void>;
  /** Saves all processes, which are killed then if they are not left running. @throws EngineError; they go on then. */
  checkpoint(options: CheckpointPlace & { leaveRunning: boolean }): Promise<void>;
  /** Of what the kernel ended for want of memory. Asked after the end and before `remove`. */
  oomFigures(): OomFigures | undefined;
  /** After the end of the first process: kills what is left of the container and removes all of it. */
  remove(): Promise<void>;
}
