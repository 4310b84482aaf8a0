import type { Command } from "./command.ts";

interface CommandEntry {
  /** Its line in the list of commands. */
  usage: string;
  /** Each verb is a module of its own, loaded when it is asked for: start-up time is what callers wait for. */
  load(): Promise<{ verb: Command }>;
}

export const commandNames = [
  "checkpoint",
  "create",
  "delete",
  "events",
  "exec",
  "explain",
  "features",
  "kill",
  "list",
  "pause",
  "ps",
  "restore",
  "resume",
  "run",
  "spec",
  "start",
  "state",
  "update",
] as const;
export type VerbName = (typeof commandNames)[number];

export const commands: Record<VerbName, CommandEntry> = {
  checkpoint: { usage: "checkpoint a running container", load: () => import("./checkpoint.ts") },
  create: { usage: "create a container", load: () => import("./create.ts") },
  delete: {
    usage: "delete any resources held by the container often used with detached container",
    load: () => import("./delete.ts"),
  },
  events: {
    usage: "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
    load: () => import("./events.ts"),
  },
  exec: { usage: "execute new process inside the container", load: () => import("./exec.ts") },
  explain: { usage: "print the init plan of a bundle without running it", load: () => import("./explain.ts") },
  features: { usage: "show the enabled features", load: () => import("./features.ts") },
  kill: {
    usage: "send the specified signal (default: SIGTERM) to the container's init process",
    load: () => import("./kill.ts"),
  },
  list: { usage: "list containers started with the given root", load: () => import("./list.ts") },
  pause: { usage: "pause suspends all processes inside the container", load: () => import("./pause.ts") },
  ps: { usage: "ps displays the processes running inside a container", load: () => import("./ps.ts") },
  restore: {
    usage: "restore a container from a previous checkpoint",
    load: () => import("./restore.ts"),
  },
  resume: { usage: "resumes all processes that have been previously paused", load: () => import("./resume.ts") },
  run: { usage: "create and run a container", load: () => import("./run.ts") },
  spec: { usage: "create a new specification file", load: () => import("./spec.ts") },
  start: { usage: "execute the user defined process in a created container", load: () => import("./start.ts") },
  state: { usage: "output the state of a container", load: () => import("./state.ts") },
  update: { usage: "update container resource constraints", load: () => import("./update.ts") },
};
