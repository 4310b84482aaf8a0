import { type CheckpointOptions, checkpointContainer } from "../checkpoint.ts";
import { recordedDriver } from "../systemd.ts";
import { command } from "./command.ts";
import { criuFlags, criuSettings, warnUnprivileged } from "./criu-flags.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const checkpointFlags = {
  "image-path": criuFlags["image-path"],
  "work-path": criuFlags["work-path"],
  "parent-path": {
    kind: "text",
    default: "",
    usage: "images of an earlier --pre-dump, relative to the image path: what they have is not saved again",
  },
  "leave-running": { kind: "boolean", usage: "leave the container running after checkpointing" },
  "tcp-established": criuFlags["tcp-established"],
  "tcp-skip-in-flight": { kind: "boolean", usage: "drop tcp connections that are not established yet" },
  "link-remap": { kind: "boolean", usage: "allow open files that have been removed and have other links" },
  "ext-unix-sk": criuFlags["ext-unix-sk"],
  "shell-job": criuFlags["shell-job"],
  "lazy-pages": criuFlags["lazy-pages"],
  "status-fd": {
    kind: "integer",
    default: -1,
    usage: "with --lazy-pages: file descriptor that gets \\0 once the pages are served",
  },
  "page-server": { kind: "text", default: "", usage: "ADDRESS:PORT of the page server" },
  "file-locks": criuFlags["file-locks"],
  "pre-dump": { kind: "boolean", usage: "dump memory alone, and leave the container running" },
  "manage-cgroups-mode": criuFlags["manage-cgroups-mode"],
  "empty-ns": criuFlags["empty-ns"],
  "auto-dedup": criuFlags["auto-dedup"],
} as const satisfies FlagTable;

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Saves the processes of a running container with criu, which has to be installed, and deletes the container\n" +
        'then, unless it is left running. "restore" makes it anew of the images and the bundle.',
    },
  ],
  flags: checkpointFlags,
  arguments: { min: 1, max: 1 },
  async run(context, flags, [id]) {
    warnUnprivileged(context, "checkpoint");
    const cgroupDriver = await recordedDriver(context.root, id!);
    await checkpointContainer(context.root, id!, {
      ...checkpointOptions(flags),
      ...(cgroupDriver && { cgroupDriver }),
      warn: (message) => context.log.warn(message),
    });
    return 0;
  },
});

/** @throws Error for values that are wrong whatever the container. */
export function checkpointOptions(flags: FlagValues<typeof checkpointFlags>): CheckpointOptions {
  const { "parent-path": parentPath, "status-fd": statusFd, "page-server": server } = flags;
  return {
    ...criuSettings(flags),
    ...(parentPath !== "" && { parentPath }),
    leaveRunning: flags["leave-running"],
    preDump: flags["pre-dump"],
    linkRemap: flags["link-remap"],
    tcpSkipInFlight: flags["tcp-skip-in-flight"],
    ...(server !== "" && { pageServer: parsePageServer(server) }),
    ...(statusFd >= 0 && { statusFd }),
  };
}

/** ADDRESS:PORT, where an address of IPv6 stands in brackets. */
function parsePageServer(text: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(.+)$/.exec(text);
  if (match === null) throw new Error("use --page-server ADDRESS:PORT to specify page server");
  const [, inBrackets, plain, port] = match;
  if (!/^\d+$/.test(port!) || Number(port) < 1 || Number(port) > 65_535)
    throw new Error(`invalid port number: ${port}`);
  return { address: inBrackets ?? plain!, port: Number(port) };
}
