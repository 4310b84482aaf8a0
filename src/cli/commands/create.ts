import type { ContainerCreateResponse } from "../../api/schema/container.ts";
import type { Client } from "../../client/client.ts";
import { isEngineError } from "../../core/errors.ts";
import { ContainerIdFile } from "../cid-file.ts";
import { command } from "../command.ts";
import { containerFlags, refusedContainerFlags } from "../container-flags.ts";
import { createRequest } from "../create-request.ts";
import { UsageError } from "../flags.ts";
import { printError, printLine } from "../output.ts";
import { pullImage } from "../pull-image.ts";
import { pullDisplay, pullPolicy, warnOfLoopbackServers } from "./run.ts";

export const createCommand = command({
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  summary: "Create a new container",
  aliases: ["container create", "create"],
  flags: { ...refusedContainerFlags, ...containerFlags },
  arity: { min: 1, max: Number.POSITIVE_INFINITY },
  interspersed: false,
  run: async ({ session, flags, given, positionals }) => {
    const client = await session.client();
    const [image = "", ...args] = positionals;
    const body = readRequest(() => createRequest(flags, given as ReadonlySet<string>, image, args, false));
    warnOfLoopbackServers(flags.dns);
    const options = {
      ...(flags.name !== "" && { name: flags.name }),
      ...(flags.platform !== "" && { platform: flags.platform }),
    };
    const pull = () => pullImage(session, image, flags.platform, pullDisplay(flags.quiet, image));
    const policy = pullPolicy(flags.pull);
    using file = new ContainerIdFile(flags.cidfile);
    if (policy === "always") await pull();
    const created = await createMissing(client, body, options, policy === "missing" ? pull : undefined);
    file.write(created.Id);
    for (const warning of created.Warnings ?? []) printError(`WARNING: ${warning}`);
    printLine(created.Id);
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

/** Creates; when the image is not there, pulls it and tries once more. */
async function createMissing(
  client: Client,
  body: Parameters<Client["createContainer"]>[0],
  options: Parameters<Client["createContainer"]>[1],
  pull: (() => Promise<void>) | undefined,
): Promise<ContainerCreateResponse> {
  try {
    return await client.createContainer(body, options);
  } catch (error) {
    // Not that of a mount, which is named before it.
    const isImageMissing =
      isEngineError(error, "not_found") && /^Error response from daemon: No such image/.test(error.message);
    if (!isImageMissing || pull === undefined) throw error;
    await pull();
    return client.createContainer(body, options);
  }
}
