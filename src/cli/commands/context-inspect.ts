import { isEngineError } from "../../core/errors.ts";
import { command } from "../command.ts";
import { currentContext, type Surroundings } from "../context/current.ts";
import { readContext } from "../context/endpoint.ts";
import { ContextStore, defaultContext } from "../context/store.ts";
import { stringFlag } from "../flags.ts";
import { formatObjects } from "../format.ts";
import { objectFormatHelp } from "../help.ts";
import { printError, printLine } from "../output.ts";

export const contextInspectCommand = command({
  usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  summary: "Display detailed information on one or more contexts",
  flags: { format: stringFlag(objectFormatHelp, { short: "f" }) },
  arity: { min: 0, max: Number.POSITIVE_INFINITY },
  run: async ({ session, flags, positionals }) => {
    const names = positionals.length > 0 ? positionals : [currentContext(session)];
    const failures: string[] = [];
    const found = names.flatMap((name) => {
      try {
        const json = view(session, name);
        return [{ json, view: json }];
      } catch (error) {
        if (!isEngineError(error)) throw error;
        failures.push(error.message);
        return [];
      }
    });
    printLine(formatObjects(found, flags.format));
    for (const failure of failures) printError(failure);
    return failures.length === 0 ? 0 : 1;
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
