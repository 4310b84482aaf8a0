import { command, oneArgument } from "../command.ts";
import { hostVariable } from "../context/current.ts";
import { ContextStore, checkContextName, defaultContext } from "../context/store.ts";
import { ConfigFile } from "../credentials/config-file.ts";
import { printError, printLine } from "../output.ts";

export const contextUseCommand = command({
  usage: "CONTEXT",
  summary: "Set the current docker context",
  flags: {},
  arity: oneArgument,
  run: async ({ session, positionals: [name = ""] }) => {
    if (name !== defaultContext) {
      checkContextName(name);
      new ContextStore(session.configDirectory).meta(name);
    }
    const config = ConfigFile.read(session.configDirectory);
    const stored = name === defaultContext ? "" : name;
    if (config.currentContext !== stored) {
      config.currentContext = stored;
      await config.save();
    }
    printLine(name);
    printError(`Current context is now ${JSON.stringify(name)}`);
    const variable = hostVariable(session.environment);
    if (name !== defaultContext && variable !== undefined) {
      printError(
        `Warning: ${variable} environment variable overrides the active context. To use ${JSON.stringify(name)}, either set the global --context flag, or unset ${variable} environment variable.`,
      );
    }
    return 0;
  },
});
