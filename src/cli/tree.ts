/**
 * The tree of commands: names and summaries here and in tree/, so that help needs no other module; each command's own
 * module is imported when it runs, so that `ps` does not pay for `run`.
 */
import { type CommandDef, defineCommand } from "citty";
import { checkpointGroup } from "./tree/checkpoints.ts";
import * as containers from "./tree/containers.ts";
import { contextGroup } from "./tree/contexts.ts";
import { build, builderGroup, hiddenSwarmGroups, pluginGroup, swarmGroup } from "./tree/elsewhere.ts";
import * as images from "./tree/images.ts";
import { manifestGroup } from "./tree/manifests.ts";
import * as networks from "./tree/networks.ts";
import * as system from "./tree/system.ts";
import { volumeGroup } from "./tree/volumes.ts";

export { leafOf } from "./tree/node.ts";

export const managementCommands: Record<string, CommandDef> = {
  builder: builderGroup,
  checkpoint: checkpointGroup,
  container: containers.containerGroup,
  context: contextGroup,
  image: images.imageGroup,
  manifest: manifestGroup,
  network: networks.networkGroup,
  plugin: pluginGroup,
  system: system.systemGroup,
  volume: volumeGroup,
};

export const swarmCommands: Record<string, CommandDef> = { swarm: swarmGroup };

export const commonCommands: Record<string, CommandDef> = {
  run: containers.run,
  exec: containers.exec,
  ps: containers.ps,
  pull: images.pull,
  push: images.push,
  images: images.images,
  login: system.login,
  logout: system.logout,
  search: images.search,
  version: system.version,
  info: system.info,
};

export const otherCommands: Record<string, CommandDef> = {
  attach: containers.attach,
  bundle: images.bundle,
  commit: containers.commit,
  completion: system.completionGroup,
  cp: containers.cp,
  create: containers.create,
  diff: containers.diff,
  events: system.events,
  export: containers.exportContainer,
  fsck: system.fsck,
  gc: system.gc,
  history: images.history,
  import: images.importImage,
  inspect: system.inspect,
  kill: containers.kill,
  load: images.load,
  logs: containers.logs,
  pause: containers.pause,
  port: containers.port,
  ports: networks.ports,
  rename: containers.rename,
  restart: containers.restart,
  rm: containers.rm,
  rmi: images.rmi,
  save: images.save,
  start: containers.start,
  stats: containers.stats,
  stop: containers.stop,
  tag: images.tag,
  top: containers.top,
  unpause: containers.unpause,
  update: containers.update,
  wait: containers.wait,
  why: containers.why,
};

/** The other modes of the executable, which src/main.ts dispatches before this tree is looked at. */
export const modes: Record<string, string> = {
  daemon: "Run the daemon: the Engine API on a Unix socket",
  runtime: "Run OCI containers from bundles, with runc's command line",
};

export const rootCommand: CommandDef = defineCommand({
  meta: { name: "tsd", description: "A container engine in one file" },
  subCommands: {
    ...managementCommands,
    ...swarmCommands,
    ...hiddenSwarmGroups,
    build,
    ...commonCommands,
    ...otherCommands,
  },
});
