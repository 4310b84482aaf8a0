import { EngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { currentContext } from "../context/current.ts";
import { ContextStore, defaultContext } from "../context/store.ts";
import { ConfigFile } from "../credentials/config-file.ts";
import { forEach } from "../each.ts";
import { boolFlag } from "../flags.ts";

export const contextRmCommand = command({
  usage: "CONTEXT [CONTEXT...]",
  summary: "Remove one or more contexts",
  aliases: ["context rm", "context remove"],
  flags: { force: boolFlag("Force the removal of a context in use", { short: "f" }) },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    const store = new ContextStore(session.configDirectory);
    const current = currentContext(session);
    return forEach(positionals, async (name) => {
      if (name === defaultContext) throw new EngineError("invalid_argument", 'context "default" cannot be removed');
      if (!store.has(name)) {
        if (flags.force) return undefined;
        throw new EngineError("not_found", `context ${JSON.stringify(name)} does not exist`);
      }
      if (name === current) {
        if (!flags.force) {
          const reason = `context ${JSON.stringify(name)} is in use, set -f flag to force remove`;
          throw new EngineError("conflict", reason);
        }
        const config = ConfigFile.read(session.configDirectory);
        if (config.currentContext === name) {
          config.currentContext = "";
          await config.save();
        }
      }
      store.remove(name);
      return undefined;
    });
  },
});
