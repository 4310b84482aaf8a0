import { resolve } from "../../../ffi/path.ts";
import { setChildSubreaper } from "../../../ffi/process.ts";
import { readBundle } from "../bundle.ts";
import { deleteContainer } from "../delete.ts";
import { Foreground } from "../foreground.ts";
import type { ContainerStdio } from "../options.ts";
import { type RestoreOptions, restoreContainer } from "../restore.ts";
import { type CommandContext, command } from "./command.ts";
import { consoleSocketNotUsed, createFlags, detachedStdio, wantedDriver } from "./create-flags.ts";
import { criuFlags, criuSettings, warnUnprivileged } from "./criu-flags.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

export const restoreFlags = {
  "console-socket": createFlags["console-socket"],
  "image-path": criuFlags["image-path"],
  "work-path": criuFlags["work-path"],
  "tcp-established": criuFlags["tcp-established"],
  "ext-unix-sk": criuFlags["ext-unix-sk"],
  "shell-job": criuFlags["shell-job"],
  "file-locks": criuFlags["file-locks"],
  "manage-cgroups-mode": criuFlags["manage-cgroups-mode"],
  bundle: createFlags.bundle,
  detach: { kind: "boolean", alias: "d", usage: "detach from the container's process" },
  "pid-file": createFlags["pid-file"],
  "no-subreaper": { kind: "boolean", usage: "do not reap the container's orphans" },
  "no-pivot": { kind: "boolean", usage: "accepted for runc's sake: criu enters the root in its own way" },
  "empty-ns": criuFlags["empty-ns"],
  "auto-dedup": criuFlags["auto-dedup"],
  "lazy-pages": criuFlags["lazy-pages"],
  "lsm-profile": {
    kind: "text",
    default: "",
    usage: "TYPE:NAME of the LSM profile to have, in place of the saved one",
  },
  "lsm-mount-context": { kind: "text", default: "", usage: "LSM context of mounts, in place of the saved one" },
} as const satisfies FlagTable;

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        'Makes a container of the images that "checkpoint" has left and of the bundle that the container was made of,\n' +
        "with criu, which has to be installed. It stays with the container like run, unless it detaches.",
    },
  ],
  flags: restoreFlags,
  arguments: { min: 1, max: 1 },
  async run(context, flags, [id]) {
    warnUnprivileged(context, "restore");
    const bundle = readBundle(flags.bundle);
    const terminal = bundle.config.process?.terminal ?? false;
    const socket = flags["console-socket"];
    const optionsWith = async (stdio: ContainerStdio): Promise<RestoreOptions> => ({
      ...restoreOptions(context, flags),
      id: id!,
      bundle: bundle.path,
      config: bundle.config,
      stdio,
      ...(await driverOption(context)),
    });
    if (flags.detach) {
      const container = await restoreContainer(await optionsWith(detachedStdio(context.program, terminal, socket)));
      container.pidfd.close();
      return 0;
    }
    if (socket !== undefined) throw consoleSocketNotUsed(context.program);
    const subreaper = !flags["no-subreaper"];
    if (subreaper) setChildSubreaper(true);
    using foreground = new Foreground({ terminal, subreaper });
    const options = await optionsWith(foreground.stdio);
    const container = await restoreContainer(options);
    using _pidfd = container.pidfd;
    try {
      return foreground.wait(container);
    } finally {
      deleteContainer(context.root, id!, { ...options, force: true });
    }
  },
});

function restoreOptions(
  context: CommandContext,
  flags: FlagValues<typeof restoreFlags>,
): Omit<RestoreOptions, "id" | "bundle" | "config" | "stdio"> {
  const { "pid-file": pidFile, "lsm-profile": lsmProfile, "lsm-mount-context": lsmMountContext } = flags;
  return {
    root: context.root,
    settings: criuSettings(flags),
    ...(pidFile !== undefined && { pidFile: resolve(pidFile) }),
    ...(lsmProfile !== "" && { lsmProfile }),
    ...(lsmMountContext !== "" && { lsmMountContext }),
    ignoreCgroupErrors: context.ignoreCgroupErrors,
    warn: (message) => context.log.warn(message),
  };
}

async function driverOption(context: CommandContext): Promise<Pick<RestoreOptions, "cgroupDriver">> {
  const cgroupDriver = await wantedDriver(context);
  return cgroupDriver === undefined ? {} : { cgroupDriver };
}
