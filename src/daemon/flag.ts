/** A flag of the daemon's command line. */
export interface Flag {
  short?: string;
  /** What stands for its value in the help; a flag without one is a switch. */
  value?: "string" | "number" | "bytes" | "duration" | "list";
  help: string;
}
