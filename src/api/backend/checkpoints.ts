export interface CheckpointName {
  name: string;
  /** On the daemon's host; absent: the container's own. */
  directory?: string | undefined;
}

/**
 * Checkpoints, as the routes need them. All methods throw EngineError: not_found for the container or the checkpoint,
 * conflict (it does not run; one of that name is there), unsupported (no criu), invalid_argument.
 */
export interface CheckpointBackend {
  /** When the container is not left running it ends as by SIGKILL, once all of it is saved. */
  create(ref: string, checkpoint: CheckpointName, options: { leaveRunning: boolean }): Promise<void>;
  /** Names. */
  list(ref: string, directory?: string): Promise<string[]>;
  remove(ref: string, checkpoint: CheckpointName): Promise<void>;
  /** Starts the container's processes where they were. */
  start(ref: string, checkpoint: CheckpointName): Promise<void>;
}
