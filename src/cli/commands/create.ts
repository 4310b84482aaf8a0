import { isEngineError } from "../../core/errors.ts";
import { withApiSocket } from "../api-socket.ts";
import { ContainerIdFile } from "../cid-file.ts";
import { command } from "../command.ts";
import { containerFlags, refusedContainerFlags } from "../container-flags.ts";
import { createContainer } from "../create-container.ts";
import { createRequest } from "../create-request.ts";
import { UsageError } from "../flags.ts";
import { printLine } from "../output.ts";
import { pullDisplay, pullPolicy, warnOfLoopbackServers } from "./run.ts";

export const createCommand = command({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  summary: "Create a new container",
  aliases: ["container create", "create"],
  flags: { ...refusedContainerFlags, ...containerFlags },
  arity: { min: 1, max: Number.POSITIVE_INFINITY },
  interspersed: false,
  run: async ({ session, flags, given, positionals }) => {
    const [image = "", ...args] = positionals;
    const asked = readRequest(() => createRequest(flags, given as ReadonlySet<string>, image, args, false));
    const pull = pullPolicy(flags.pull);
    warnOfLoopbackServers(flags.dns);
    using idFile = new ContainerIdFile(flags.cidfile);
    const { body, inject } = flags["use-api-socket"] ? await withApiSocket(session, asked) : { body: asked };
    const display = () => pullDisplay(flags.quiet, image);
    printLine(
      await createContainer(session, {
        body,
        name: flags.name,
        platform: flags.platform,
        pull,
        display,
        idFile,
        inject,
      }),
    );
    return 0;
  },
});

/** What is wrong with the flags has another exit status than what is wrong with the daemon or the image. */
function readRequest<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw isEngineError(error) ? new UsageError(error.message) : error;
  }
}
