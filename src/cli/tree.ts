import { type CommandDef, defineCommand } from "citty";
import type { Command } from "./command.ts";

/**
 * The tree of commands: names and summaries here, so that help needs no other module; each command's own module
 * is imported when it runs, so that `ps` does not pay for `run`.
 */

/** How a leaf of the tree brings its command. */
export type Loader = () => Promise<Command>;

/** A node of the tree beside what citty keeps of it. */
export interface Leaf {
  load: Loader;
}

const leaves = new WeakMap<CommandDef, Leaf>();

export function leafOf(node: CommandDef): Leaf | undefined {
  return leaves.get(node);
}

function leaf(name: string, description: string, load: () => Promise<unknown>, hidden = false): CommandDef {
  const node = defineCommand({ meta: { name, description, hidden } });
  leaves.set(node, { load: load as Loader });
  return node;
}

const run = leaf(
  "run",
  "Create and run a new container from an image",
  async () => (await import("./commands/run.ts")).runCommand,
);
const create = leaf(
  "create",
  "Create a new container",
  async () => (await import("./commands/create.ts")).createCommand,
);
const start = leaf(
  "start",
  "Start one or more stopped containers",
  async () => (await import("./commands/start.ts")).startCommand,
);
const ps = leaf("ps", "List containers", async () => (await import("./commands/ps.ts")).psCommand);
const logs = leaf(
  "logs",
  "Fetch the logs of a container",
  async () => (await import("./commands/logs.ts")).logsCommand,
);
const exec = leaf(
  "exec",
  "Execute a command in a running container",
  async () => (await import("./commands/exec.ts")).execCommand,
);
const attach = leaf(
  "attach",
  "Attach local standard input, output, and error streams to a running container",
  async () => (await import("./commands/attach.ts")).attachCommand,
);
const exportContainer = leaf(
  "export",
  "Export a container's filesystem as a tar archive",
  async () => (await import("./commands/export.ts")).exportCommand,
);
const cp = leaf(
  "cp",
  "Copy files/folders between a container and the local filesystem",
  async () => (await import("./commands/cp.ts")).cpCommand,
);
const diff = leaf(
  "diff",
  "Inspect changes to files or directories on a container's filesystem",
  async () => (await import("./commands/diff.ts")).diffCommand,
);
const commit = leaf(
  "commit",
  "Create a new image from a container's changes",
  async () => (await import("./commands/commit.ts")).commitCommand,
);
const importImage = leaf(
  "import",
  "Import the contents from a tarball to create a filesystem image",
  async () => (await import("./commands/import.ts")).importCommand,
);
const load = leaf(
  "load",
  "Load an image from a tar archive or STDIN",
  async () => (await import("./commands/load.ts")).loadCommand,
);
const save = leaf(
  "save",
  "Save one or more images to a tar archive (streamed to STDOUT by default)",
  async () => (await import("./commands/save.ts")).saveCommand,
);
const stop = leaf(
  "stop",
  "Stop one or more running containers",
  async () => (await import("./commands/stop.ts")).stopCommand,
);
const kill = leaf(
  "kill",
  "Kill one or more running containers",
  async () => (await import("./commands/kill.ts")).killCommand,
);
const rm = leaf("rm", "Remove one or more containers", async () => (await import("./commands/rm.ts")).rmCommand);
const wait = leaf(
  "wait",
  "Block until one or more containers stop, then print their exit codes",
  async () => (await import("./commands/wait.ts")).waitCommand,
);
const inspect = leaf(
  "inspect",
  "Return low-level information on tsd objects",
  async () => (await import("./commands/inspect.ts")).inspectCommand,
);
const inspectContainer = leaf(
  "inspect",
  "Display detailed information on one or more containers",
  async () => (await import("./commands/inspect.ts")).inspectContainerCommand,
);
const inspectImage = leaf(
  "inspect",
  "Display detailed information on one or more images",
  async () => (await import("./commands/inspect.ts")).inspectImageCommand,
);
const images = leaf("images", "List images", async () => (await import("./commands/images.ts")).imagesCommand);
const push = leaf(
  "push",
  "Upload an image to a registry",
  async () => (await import("./commands/push.ts")).pushCommand,
);
const login = leaf(
  "login",
  "Authenticate to a registry",
  async () => (await import("./commands/login.ts")).loginCommand,
);
const logout = leaf(
  "logout",
  "Log out from a registry",
  async () => (await import("./commands/logout.ts")).logoutCommand,
);
const pull = leaf(
  "pull",
  "Download an image from a registry",
  async () => (await import("./commands/pull.ts")).pullCommand,
);
const rmi = leaf("rmi", "Remove one or more images", async () => (await import("./commands/rmi.ts")).rmiCommand);
const history = leaf(
  "history",
  "Show the history of an image",
  async () => (await import("./commands/history.ts")).historyCommand,
);
const search = leaf(
  "search",
  "Search Docker Hub for images",
  async () => (await import("./commands/search.ts")).searchCommand,
);
const tag = leaf(
  "tag",
  "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  async () => (await import("./commands/tag.ts")).tagCommand,
);
const bundle = leaf(
  "bundle",
  "Write an image as an OCI bundle: rootfs and config.json",
  async () => (await import("./commands/bundle.ts")).bundleCommand,
);
const version = leaf(
  "version",
  "Show the tsd version information",
  async () => (await import("./commands/version.ts")).versionCommand,
);
const info = leaf(
  "info",
  "Display system-wide information",
  async () => (await import("./commands/info.ts")).infoCommand,
);
const imagePrune = leaf(
  "prune",
  "Remove unused images",
  async () => (await import("./commands/image-prune.ts")).imagePruneCommand,
);
const systemPrune = leaf(
  "prune",
  "Remove unused data",
  async () => (await import("./commands/system-prune.ts")).systemPruneCommand,
);
const systemDf = leaf(
  "df",
  "Show tsd disk usage",
  async () => (await import("./commands/system-df.ts")).systemDfCommand,
);
const fsck = leaf(
  "fsck",
  "Find damage of what is stored, and repair it",
  async () => (await import("./commands/fsck.ts")).fsckCommand,
);
const gc = leaf(
  "gc",
  "Remove what no image or container needs, and images when there is too little space",
  async () => (await import("./commands/gc.ts")).gcCommand,
);
const events = leaf(
  "events",
  "Get real time events from the server",
  async () => (await import("./commands/events.ts")).eventsCommand,
);

const manifestCreate = leaf(
  "create",
  "Create a local manifest list for annotating and pushing to a registry",
  async () => (await import("./commands/manifest-create.ts")).manifestCreateCommand,
);
const manifestAnnotate = leaf(
  "annotate",
  "Add additional information to a local image manifest",
  async () => (await import("./commands/manifest-annotate.ts")).manifestAnnotateCommand,
);
const manifestInspect = leaf(
  "inspect",
  "Display an image manifest, or manifest list",
  async () => (await import("./commands/manifest-inspect.ts")).manifestInspectCommand,
);
const manifestPush = leaf(
  "push",
  "Push a manifest list to a repository",
  async () => (await import("./commands/manifest-push.ts")).manifestPushCommand,
);
const manifestRm = leaf(
  "rm",
  "Delete one or more manifest lists from local storage",
  async () => (await import("./commands/manifest-rm.ts")).manifestRmCommand,
);

const port = leaf(
  "port",
  "List port mappings or a specific mapping for the container",
  async () => (await import("./commands/port.ts")).portCommand,
);
const ports = leaf(
  "ports",
  "List published ports, and from where they can be reached",
  async () => (await import("./commands/ports.ts")).portsCommand,
);

const networkConnect = leaf(
  "connect",
  "Connect a container to a network",
  async () => (await import("./commands/network-connect.ts")).networkConnectCommand,
);
const networkCreate = leaf(
  "create",
  "Create a network",
  async () => (await import("./commands/network-create.ts")).networkCreateCommand,
);
const networkDisconnect = leaf(
  "disconnect",
  "Disconnect a container from a network",
  async () => (await import("./commands/network-disconnect.ts")).networkDisconnectCommand,
);
const networkInspect = leaf(
  "inspect",
  "Display detailed information on one or more networks",
  async () => (await import("./commands/inspect.ts")).inspectNetworkCommand,
);
const networkLs = leaf("ls", "List networks", async () => (await import("./commands/network-ls.ts")).networkLsCommand);
const networkPrune = leaf(
  "prune",
  "Remove all unused networks",
  async () => (await import("./commands/network-prune.ts")).networkPruneCommand,
);
const networkRm = leaf(
  "rm",
  "Remove one or more networks",
  async () => (await import("./commands/network-rm.ts")).networkRmCommand,
);

const volumeCreate = leaf(
  "create",
  "Create a volume",
  async () => (await import("./commands/volume-create.ts")).volumeCreateCommand,
);
const volumeInspect = leaf(
  "inspect",
  "Display detailed information on one or more volumes",
  async () => (await import("./commands/inspect.ts")).inspectVolumeCommand,
);
const volumeLs = leaf("ls", "List volumes", async () => (await import("./commands/volume-ls.ts")).volumeLsCommand);
const volumePrune = leaf(
  "prune",
  "Remove unused local volumes",
  async () => (await import("./commands/volume-prune.ts")).volumePruneCommand,
);
const volumeRm = leaf(
  "rm",
  "Remove one or more volumes",
  async () => (await import("./commands/volume-rm.ts")).volumeRmCommand,
);
const volumeUpdate = leaf(
  "update",
  "Update a volume (cluster volumes only)",
  async () => (await import("./commands/volume-update.ts")).volumeUpdateCommand,
  true,
);

function group(name: string, description: string, subCommands: Record<string, CommandDef>): CommandDef {
  return defineCommand({ meta: { name, description }, subCommands });
}

export const managementCommands: Record<string, CommandDef> = {
  container: group("container", "Manage containers", {
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
    port,
    ps,
    rm,
    remove: rm,
    run,
    start,
    stop,
    wait,
  }),
  image: group("image", "Manage images", {
    bundle,
    history,
    import: importImage,
    inspect: inspectImage,
    ls: images,
    list: images,
    load,
    prune: imagePrune,
    pull,
    push,
    rm: rmi,
    remove: rmi,
    rmi,
    save,
    tag,
  }),
  manifest: group("manifest", "Manage manifests and manifest lists", {
    annotate: manifestAnnotate,
    create: manifestCreate,
    inspect: manifestInspect,
    push: manifestPush,
    rm: manifestRm,
  }),
  network: group("network", "Manage networks", {
    connect: networkConnect,
    create: networkCreate,
    disconnect: networkDisconnect,
    inspect: networkInspect,
    ls: networkLs,
    list: networkLs,
    prune: networkPrune,
    rm: networkRm,
    remove: networkRm,
  }),
  system: group("system", "Manage tsd", { df: systemDf, events, fsck, gc, info, prune: systemPrune }),
  volume: group("volume", "Manage volumes", {
    create: volumeCreate,
    inspect: volumeInspect,
    ls: volumeLs,
    list: volumeLs,
    prune: volumePrune,
    rm: volumeRm,
    remove: volumeRm,
    update: volumeUpdate,
  }),
};

export const commonCommands: Record<string, CommandDef> = {
  run,
  exec,
  ps,
  pull,
  push,
  images,
  login,
  logout,
  search,
  version,
  info,
};

export const otherCommands: Record<string, CommandDef> = {
  attach,
  bundle,
  commit,
  cp,
  create,
  diff,
  events,
  export: exportContainer,
  fsck,
  gc,
  history,
  import: importImage,
  inspect,
  kill,
  load,
  logs,
  port,
  ports,
  rm,
  rmi,
  save,
  start,
  stop,
  tag,
  wait,
};

/** The other modes of the executable, which src/main.ts dispatches before this tree is looked at. */
export const modes: Record<string, string> = {
  daemon: "Run the daemon: the Engine API on a Unix socket",
  runtime: "Run OCI containers from bundles, with runc's command line",
};

export const rootCommand: CommandDef = defineCommand({
  meta: { name: "tsd", description: "A container engine in one file" },
  subCommands: { ...managementCommands, ...commonCommands, ...otherCommands },
});

/** docker's commands that tsd does not have yet by their groups, and those that it will not have with the reason. */
const notBuiltIn: Record<string, string> = {
  container: "pause prune rename restart stats top unpause update",
  image: "build",
  system: "dial-stdio",
};
const notBuilt = [
  "build",
  "builder",
  "buildx",
  "checkpoint",
  "compose",
  "context",
  "cp",
  "pause",
  "plugin",
  "rename",
  "restart",
  "stats",
  "top",
  "unpause",
  "update",
];
const swarm = "config node secret service stack swarm";

/**
 * Why a command that docker has is not here; undefined for words that are no command of docker's either.
 * @param group what it is looked for in; "" at the top.
 */
export function whyMissing(name: string, group: string): string | undefined {
  if (group !== "") {
    return notBuiltIn[group]?.split(" ").includes(name) ? `${group} ${name} is not built in tsd yet` : undefined;
  }
  if (notBuilt.includes(name)) return `${name} is not built in tsd yet`;
  if (swarm.split(" ").includes(name)) return `${name} belongs to swarm, which tsd does not have`;
  if (name === "trust") return "trust is retired: verify images by their digest";
  return undefined;
}
