import { readBundle } from "../bundle.ts";
import { createContainer } from "../create.ts";
import { command } from "./command.ts";
import { createFlags, createOptions, detachedStdio, idHelp, wantedDriver } from "./create-flags.ts";

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
    const options = createOptions(context, id!, bundle, flags, stdio, await wantedDriver(context));
    const container = createContainer({ ...options, start: "wait" });
    container.pidfd.close();
    context.log.debug(`container ${container.id} created with process ${container.pid}`);
    return 0;
  },
});
