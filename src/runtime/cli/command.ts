import type { FlagTable, FlagValues } from "./flags.ts";
import type { RuntimeLog } from "./log.ts";

/** What the global flags say, for every verb. */
export interface CommandContext {
  /** The name that people typed: `runc`, `tsd-runc` or `tsd runtime`. */
  program: string;
  /** Directory of the containers' state. */
  root: string;
  /** `--rootless`: go on without a cgroup that may not be made. */
  ignoreCgroupErrors: boolean;
  /** `--systemd-cgroup`: new containers get a unit of systemd's. */
  systemdCgroup: boolean;
  log: RuntimeLog;
}

/** One verb of the command line. */
export interface Command<T extends FlagTable = FlagTable> {
  /** What follows the options on the usage line. */
  argumentsUsage: string;
  /** Sections of the help between USAGE and OPTIONS: heading (empty for none) and text. */
  help: { heading: string; text: string }[];
  flags: T;
  arguments: { min: number; max: number };
  /** The first positional ends the flags: what follows belongs to a command in the container. */
  stopAtPositional?: boolean;
  /** @returns the exit status. */
  run(context: CommandContext, flags: FlagValues<T>, positional: string[]): Promise<number> | number;
}

/** Keeps the flags' types, so that `run` knows what each one holds. */
export function command<const T extends FlagTable>(definition: Command<T>): Command {
  return definition as unknown as Command;
}

/** A verb failed with a status of its own: `exec` ends with 255 where the others end with 1. */
export class CommandFailure extends Error {
  override readonly name = "CommandFailure";
  readonly status: number;

  constructor(message: string, status: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}
