/** `container …` and its short forms. */
import type { CommandDef } from "citty";
import { group, leaf } from "./node.ts";

export const attach: CommandDef = leaf(
  "attach",
  "Attach local standard input, output, and error streams to a running container",
  async () => (await import("../commands/attach.ts")).attachCommand,
);
export const commit: CommandDef = leaf(
  "commit",
  "Create a new image from a container's changes",
  async () => (await import("../commands/commit.ts")).commitCommand,
);
export const cp: CommandDef = leaf(
  "cp",
  "Copy files/folders between a container and the local filesystem",
  async () => (await import("../commands/cp.ts")).cpCommand,
);
export const create: CommandDef = leaf(
  "create",
  "Create a new container",
  async () => (await import("../commands/create.ts")).createCommand,
);
export const diff: CommandDef = leaf(
  "diff",
  "Inspect changes to files or directories on a container's filesystem",
  async () => (await import("../commands/diff.ts")).diffCommand,
);
export const exec: CommandDef = leaf(
  "exec",
  "Execute a command in a running container",
  async () => (await import("../commands/exec.ts")).execCommand,
);
export const exportContainer: CommandDef = leaf(
  "export",
  "Export a container's filesystem as a tar archive",
  async () => (await import("../commands/export.ts")).exportCommand,
);
const inspectContainer = leaf(
  "inspect",
  "Display detailed information on one or more containers",
  async () => (await import("../commands/inspect.ts")).inspectContainerCommand,
);
export const kill: CommandDef = leaf(
  "kill",
  "Kill one or more running containers",
  async () => (await import("../commands/kill.ts")).killCommand,
);
export const logs: CommandDef = leaf(
  "logs",
  "Fetch the logs of a container",
  async () => (await import("../commands/logs.ts")).logsCommand,
);
export const pause: CommandDef = leaf(
  "pause",
  "Pause all processes within one or more containers",
  async () => (await import("../commands/pause.ts")).pauseCommand,
);
export const port: CommandDef = leaf(
  "port",
  "List port mappings or a specific mapping for the container",
  async () => (await import("../commands/port.ts")).portCommand,
);
const prune = leaf(
  "prune",
  "Remove all stopped containers",
  async () => (await import("../commands/container-prune.ts")).containerPruneCommand,
);
export const ps: CommandDef = leaf("ps", "List containers", async () => (await import("../commands/ps.ts")).psCommand);
export const rename: CommandDef = leaf(
  "rename",
  "Rename a container",
  async () => (await import("../commands/rename.ts")).renameCommand,
);
export const restart: CommandDef = leaf(
  "restart",
  "Restart one or more containers",
  async () => (await import("../commands/restart.ts")).restartCommand,
);
export const rm: CommandDef = leaf(
  "rm",
  "Remove one or more containers",
  async () => (await import("../commands/rm.ts")).rmCommand,
);
export const run: CommandDef = leaf(
  "run",
  "Create and run a new container from an image",
  async () => (await import("../commands/run.ts")).runCommand,
);
export const start: CommandDef = leaf(
  "start",
  "Start one or more stopped containers",
  async () => (await import("../commands/start.ts")).startCommand,
);
export const stats: CommandDef = leaf(
  "stats",
  "Display a live stream of container(s) resource usage statistics",
  async () => (await import("../commands/stats.ts")).statsCommand,
);
export const stop: CommandDef = leaf(
  "stop",
  "Stop one or more running containers",
  async () => (await import("../commands/stop.ts")).stopCommand,
);
export const top: CommandDef = leaf(
  "top",
  "Display the running processes of a container",
  async () => (await import("../commands/top.ts")).topCommand,
);
export const unpause: CommandDef = leaf(
  "unpause",
  "Unpause all processes within one or more containers",
  async () => (await import("../commands/unpause.ts")).unpauseCommand,
);
export const update: CommandDef = leaf(
  "update",
  "Update configuration of one or more containers",
  async () => (await import("../commands/update.ts")).updateCommand,
);
export const wait: CommandDef = leaf(
  "wait",
  "Block until one or more containers stop, then print their exit codes",
  async () => (await import("../commands/wait.ts")).waitCommand,
);
export const why: CommandDef = leaf(
  "why",
  "Tell why a container ended: what ended it, its last lines, and what happened next",
  async () => (await import("../commands/why.ts")).whyCommand,
);

export const containerGroup: CommandDef = group("container", "Manage containers", {
  attach,
  commit,
  cp,
  create,
  diff,
  exec,
  export: exportContainer,
  inspect: inspectContainer,
  kill,
  logs,
  ls: ps,
  list: ps,
  pause,
  port,
  prune,
  ps,
  rename,
  restart,
  rm,
  remove: rm,
  run,
  start,
  stats,
  stop,
  top,
  unpause,
  update,
  wait,
});
