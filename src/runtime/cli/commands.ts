import type { Command } from "./command.ts";

interface CommandEntry {
  /** Its line in the list of commands. */
  usage: string;
  /** Each verb is a module of its own, loaded when it is asked for: start-up time is what callers wait for. */
  load(): Promise<{ verb: Command }>;
}

export const commandNames = [
  "create",
  "delete",
  "exec",
  "explain",
  "kill",
  "list",
  "run",
  "spec",
  "start",
  "state",
] as const;
export type VerbName = (typeof commandNames)[number];

export const commands: Record<VerbName, CommandEntry> = {
  create: { usage: "create a container", load: () => import("./create.ts") },
  delete: {
    usage: "delete any resources held by the container often used with detached container",
    load: () => import("./delete.ts"),
  },
  exec: { usage: "execute new process inside the container", load: () => import("./exec.ts") },
  explain: { usage: "print the init plan of a bundle without running it", load: () => import("./explain.ts") },
  kill: {
    usage: "send the specified signal (default: SIGTERM) to the container's init process",
    load: () => import("./kill.ts"),
  },
  list: { usage: "list containers started with the given root", load: () => import("./list.ts") },
  run: { usage: "create and run a container", load: () => import("./run.ts") },
  spec: { usage: "create a new specification file", load: () => import("./spec.ts") },
  start: { usage: "execute the user defined process in a created container", load: () => import("./start.ts") },
  state: { usage: "output the state of a container", load: () => import("./state.ts") },
};

/** Commands of runc that this runtime does not have yet. */
export const commandsOfRunc: ReadonlySet<string> = new Set([
  "checkpoint",
  "events",
  "features",
  "pause",
  "ps",
  "restore",
  "resume",
  "update",
]);
