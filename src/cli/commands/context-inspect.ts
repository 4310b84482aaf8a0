import { command } from "../command.ts";
import { currentContext, type Surroundings } from "../context/current.ts";
import { readContext } from "../context/endpoint.ts";
import { ContextStore, defaultContext } from "../context/store.ts";
import { stringFlag } from "../flags.ts";
import { objectFormatHelp } from "../help.ts";
import { inspectAll } from "../inspect-all.ts";

export const contextInspectCommand = command({
  usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  summary: "Display detailed information on one or more contexts",
  flags: { format: stringFlag(objectFormatHelp, { short: "f" }) },
  arity: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ session, flags, positionals }) => {
    const names = positionals.length > 0 ? positionals : [currentContext(session)];
    const { dockerValue } = await import("../docker-types/docker-types.ts");
    return inspectAll(names, flags.format, (name) => {
      const json = view(session, name);
      return { json, view: dockerValue("context.contextWithTLSListing", json), isTyped: true };
    });
  },
});

function view(surroundings: Surroundings, name: string): object {
  const { meta, tls } = readContext(surroundings, name);
  const store = new ContextStore(surroundings.configDirectory);
  const isStored = name !== defaultContext;
  return {
    Name: meta.Name,
    Metadata: meta.Metadata,
    Endpoints: meta.Endpoints,
    TLSMaterial: Object.fromEntries(Object.entries(tls).map(([endpoint, files]) => [endpoint, Object.keys(files)])),
    Storage: {
      MetadataPath: isStored ? store.metaPath(name) : "<IN MEMORY>",
      TLSPath: isStored ? store.tlsPath(name) : "<IN MEMORY>",
    },
  };
}
