import { command, oneArgument } from "../command.ts";
import { endpointOf, materialOf } from "../context/endpoint.ts";
import { endpointFlag, endpointHelp } from "../context/endpoint-flag.ts";
import { ContextStore, checkContextName, dockerEndpoint } from "../context/store.ts";
import { stringFlag } from "../flags.ts";
import { printError, printLine } from "../output.ts";

export const contextUpdateCommand = command({
  usage: "[OPTIONS] CONTEXT",
  summary: `Update a context\n\n${endpointHelp("update")}`,
  flags: { description: stringFlag("Description of the context"), docker: endpointFlag() },
  arity: oneArgument,
  run: async ({ session, flags, given, positionals: [name = ""] }) => {
    checkContextName(name);
    const store = new ContextStore(session.configDirectory);
    const context = store.read(name);
    if (flags.description !== "") context.meta.Metadata.Description = flags.description;
    if (given.has("docker")) {
      const endpoint = endpointOf(flags.docker, session);
      context.meta.Endpoints[dockerEndpoint] = endpoint.meta;
      delete context.tls[dockerEndpoint];
      Object.assign(context.tls, materialOf(endpoint));
    }
    await store.write(context);
    printLine(name);
    printError(`Successfully updated context ${JSON.stringify(name)}`);
    return 0;
  },
});
