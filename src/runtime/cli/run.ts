import { setChildSubreaper } from "../../../ffi/process.ts";
import { readBundle } from "../bundle.ts";
import { createContainer } from "../create.ts";
import { deleteContainer } from "../delete.ts";
import { Foreground } from "../foreground.ts";
import { command } from "./command.ts";
import {
  consoleSocketNotUsed,
  createFlags,
  createOptions,
  detachedStdio,
  idHelp,
  wantedDriver,
} from "./create-flags.ts";
import { readinessOf } from "./service.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    idHelp,
    {
      heading: "DESCRIPTION",
      text:
        "Makes a container from a bundle, starts it, and stays with it: signals are passed on, a terminal is passed\n" +
        "through, and the exit status is the container's. Then the container is deleted. With --detach it returns once\n" +
        "the container runs.",
    },
  ],
  flags: {
    bundle: createFlags.bundle,
    "console-socket": createFlags["console-socket"],
    detach: { kind: "boolean", alias: "d", usage: "detach from the container's process" },
    keep: { kind: "boolean", usage: "do not delete the container after it exits" },
    "pid-file": createFlags["pid-file"],
    "no-subreaper": { kind: "boolean", usage: "do not reap the container's orphans" },
    "no-pivot": createFlags["no-pivot"],
    "no-new-keyring": createFlags["no-new-keyring"],
    "preserve-fds": createFlags["preserve-fds"],
  },
  arguments: { min: 1, max: 1 },
  async run(context, flags, [id]) {
    const bundle = readBundle(flags.bundle);
    const terminal = bundle.config.process?.terminal ?? false;
    const socket = flags["console-socket"];
    using readiness = await readinessOf(context, id!);
    const surroundings = { start: "now", cgroupDriver: await wantedDriver(context), readiness } as const;
    if (flags.detach) {
      const stdio = detachedStdio(context.program, terminal, socket);
      const container = createContainer(createOptions(context, id!, bundle, flags, stdio, surroundings));
      using _pidfd = container.pidfd;
      readiness?.waitUntilReady(container);
      return 0;
    }
    if (socket !== undefined) throw consoleSocketNotUsed(context.program);
    const subreaper = !flags["no-subreaper"];
    if (subreaper) setChildSubreaper(true);
    using foreground = new Foreground({ terminal, subreaper });
    const options = createOptions(context, id!, bundle, flags, foreground.stdio, surroundings);
    const container = createContainer(options);
    using _pidfd = container.pidfd;
    try {
      const visitor = readiness && {
        descriptor: readiness.descriptor,
        // The runtime stays, and ends as the container does.
        onReadable: () => void readiness.receive(process.pid),
      };
      return foreground.wait(container, visitor);
    } finally {
      if (!flags.keep) deleteContainer(context.root, id!, { ...options, force: true });
    }
  },
});
