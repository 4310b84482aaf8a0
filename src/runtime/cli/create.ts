import { readBundle } from "../bundle.ts";
import { createContainer } from "../create.ts";
import { command } from "./command.ts";
import { createFlags, createOptions, detachedStdio, idHelp, wantedDriver } from "./create-flags.ts";
import { readinessOf } from "./service.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    idHelp,
    {
      heading: "DESCRIPTION",
      text:
        "Makes a container from a bundle: a directory with a config.json and a root filesystem. Its first process is\n" +
        'there, in its namespaces and its cgroup, and waits for "start" before it becomes the program of process.args.',
    },
  ],
  flags: createFlags,
  arguments: { min: 1, max: 1 },
  async run(context, flags, [id]) {
    const bundle = readBundle(flags.bundle);
    const stdio = detachedStdio(context.program, bundle.config.process?.terminal ?? false, flags["console-socket"]);
    using readiness = await readinessOf(context, id!);
    const surroundings = { start: "wait", cgroupDriver: await wantedDriver(context), readiness } as const;
    const container = createContainer(createOptions(context, id!, bundle, flags, stdio, surroundings));
    container.pidfd.close();
    context.log.debug(`container ${container.id} created with process ${container.pid}`);
    return 0;
  },
});
