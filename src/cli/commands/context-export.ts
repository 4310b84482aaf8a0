import { writeFileSync } from "node:fs";
import { isTerminal } from "../../../ffi/pty.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { command } from "../command.ts";
import { packContext } from "../context/archive.ts";
import { readContext } from "../context/endpoint.ts";
import { checkContextName, defaultContext } from "../context/store.ts";
import { printError, writeAll } from "../output.ts";

export const contextExportCommand = command({
  usage: "CONTEXT [FILE|-]",
  summary: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
  flags: {},
  arity: { min: 1, max: 2 },
  run: async ({ session, positionals: [name = "", path = `${name}.dockercontext`] }) => {
    if (name !== defaultContext) checkContextName(name);
    const archive = packContext(readContext(session, name));
    if (path === "-") {
      if (isTerminal(1)) {
        const reason = "cowardly refusing to export to a terminal, specify a file path";
        throw new EngineError("invalid_argument", reason);
      }
      writeAll(1, archive);
      return 0;
    }
    try {
      // Its keys are in it.
      writeFileSync(path, archive, { flag: "wx", mode: 0o600 });
    } catch (cause) {
      const reason = isErrno(cause, "EEXIST") ? `open ${path}: file exists` : errorMessage(cause);
      throw new EngineError(isErrno(cause, "EEXIST") ? "already_exists" : "invalid_argument", reason, { path, cause });
    }
    printError(`Written file ${JSON.stringify(path)}`);
    return 0;
  },
});
