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
    ...createFlags,
    detach: { kind: "boolean", alias: "d", usage: "detach from the container's process" },
    keep: { kind: "boolean", usage: "do not delete the container after it exits" },
    "no-subreaper": { kind: "boolean", usage: "do not reap the container's orphans" },
  },
  arguments: { min: 1, max: 1 },
  async run(context, flags, [id]) {
    const bundle = readBundle(flags.bundle);
    const terminal = bundle.config.process?.terminal ?? false;
    const socket = flags["console-socket"];
    const driver = await wantedDriver(context);
    if (flags.detach) {
      const stdio = detachedStdio(context.program, terminal, socket);
      createContainer({ ...createOptions(context, id!, bundle, flags, stdio, driver), start: "now" }).pidfd.close();
      return 0;
    }
    if (socket !== undefined) throw consoleSocketNotUsed(context.program);
    const subreaper = !flags["no-subreaper"];
    if (subreaper) setChildSubreaper(true);
    using foreground = new Foreground({ terminal, subreaper });
    const options = createOptions(context, id!, bundle, flags, foreground.stdio, driver);
    const container = createContainer({ ...options, start: "now" });
    using _pidfd = container.pidfd;
    try {
      return foreground.wait(container);
    } finally {
      if (!flags.keep) deleteContainer(context.root, id!, { ...options, force: true });
    }
  },
});
