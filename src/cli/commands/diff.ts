import { changeLetters } from "../../api/schema/file-change.ts";
import { listChanges } from "../../client/files.ts";
import { command, oneArgument } from "../command.ts";
import { printLine } from "../output.ts";

export const diffCommand = command({
  usage: "CONTAINER",
  summary: "Inspect changes to files or directories on a container's filesystem",
  aliases: ["container diff", "diff"],
  flags: {},
  arity: oneArgument,
  run: async ({ session, positionals }) => {
    const { address } = await session.client();
    for (const { Path, Kind } of await listChanges(address, positionals[0]!)) {
      printLine(`${changeLetters[Kind] ?? "?"} ${Path}`);
    }
    return 0;
  },
});
