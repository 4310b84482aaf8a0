import { EngineError } from "../../core/errors.ts";
import { fileStream, openArchive } from "../archive-input.ts";
import { command } from "../command.ts";
import { unpackContext } from "../context/archive.ts";
import { ContextStore, checkContextName } from "../context/store.ts";
import { printError, printLine } from "../output.ts";

export const contextImportCommand = command({
  usage: "CONTEXT FILE|-",
  summary: "Import a context from a tar or zip file",
  flags: {},
  arity: { min: 2, max: 2 },
  run: async ({ session, positionals: [name = "", path = ""] }) => {
    checkContextName(name);
    const store = new ContextStore(session.configDirectory);
    if (store.has(name)) throw new EngineError("already_exists", `context ${JSON.stringify(name)} already exists`);
    const { meta, tls } = await unpackContext(path === "-" ? openArchive("") : fileStream(path));
    await store.write({ meta: { ...meta, Name: name }, tls });
    printLine(name);
    printError(`Successfully imported context ${JSON.stringify(name)}`);
    return 0;
  },
});
