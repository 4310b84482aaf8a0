import { isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { ManifestLists } from "../manifest/list-store.ts";
import { listReference } from "../manifest/stored-manifest.ts";
import { printFailure } from "../output.ts";

export const manifestRmCommand = command({
  usage: "MANIFEST_LIST [MANIFEST_LIST...]",
  summary: "Delete one or more manifest lists from local storage",
  flags: {},
  arity: someArguments,
  run: async ({ session, positionals }) => {
    const lists = new ManifestLists(session);
    let status = 0;
    for (const name of positionals) {
      try {
        const list = listReference(name);
        lists.existing(list);
        lists.remove(list);
      } catch (error) {
        if (!isEngineError(error)) throw error;
        printFailure(error);
        status = 1;
      }
    }
    return status;
  },
});
