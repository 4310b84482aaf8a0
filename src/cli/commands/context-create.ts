import { EngineError } from "../../core/errors.ts";
import { command, oneArgument } from "../command.ts";
import { currentContext, type Surroundings } from "../context/current.ts";
import { defaultDescription, endpointOf, materialOf, readContext } from "../context/endpoint.ts";
import { endpointFlag, endpointHelp } from "../context/endpoint-flag.ts";
import {
  ContextStore,
  checkContextName,
  defaultContext,
  dockerEndpoint,
  type StoredContext,
} from "../context/store.ts";
import { stringFlag } from "../flags.ts";
import { printError, printLine } from "../output.ts";

export const contextCreateCommand = command({
  usage: "[OPTIONS] CONTEXT",
  summary: `Create a context\n\n${endpointHelp("create")}`,
  flags: {
    description: stringFlag("Description of the context"),
    docker: endpointFlag(),
    from: stringFlag("create context from a named context"),
  },
  arity: oneArgument,
  run: async ({ session, flags, given, positionals: [name = ""] }) => {
    const store = new ContextStore(session.configDirectory);
    const isDescribed = flags.description !== "";
    const copied = (source: string) => copyOf(session, source, name);
    const invalid = (message: string) => new EngineError("invalid_argument", message);
    checkContextName(name);
    if (flags.from !== "" && given.has("docker")) throw invalid("cannot use --docker flag when --from is set");
    if (store.has(name)) throw new EngineError("already_exists", `context ${JSON.stringify(name)} already exists`);
    const context =
      flags.from !== ""
        ? copied(flags.from)
        : given.has("docker")
          ? newContext(session, name, flags.docker)
          : copied(currentContext(session));
    if (isDescribed) context.meta.Metadata.Description = flags.description;
    await store.write(context);
    printLine(name);
    printError(`Successfully created context ${JSON.stringify(name)}`);
    return 0;
  },
});

function copyOf(surroundings: Surroundings, source: string, name: string): StoredContext {
  const { meta, tls } = readContext(surroundings, source);
  const Metadata = source === defaultContext ? { Description: defaultDescription } : { ...meta.Metadata };
  return { meta: { ...meta, Name: name, Metadata }, tls };
}

function newContext(surroundings: Surroundings, name: string, settings: Record<string, string>): StoredContext {
  const endpoint = endpointOf(settings, surroundings);
  return {
    meta: { Name: name, Metadata: {}, Endpoints: { [dockerEndpoint]: endpoint.meta } },
    tls: materialOf(endpoint),
  };
}
