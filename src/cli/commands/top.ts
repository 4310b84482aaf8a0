import { topContainer } from "../../client/observation.ts";
import { command, someArguments } from "../command.ts";
import { printLine } from "../output.ts";
import { alignColumns } from "../table.ts";

/** Docker's columns of processes are twice as wide as its other columns. */
const columnMin = 20;

export const topCommand = command({
  usage: "CONTAINER [ps OPTIONS]",
  summary: "Display the running processes of a container",
  aliases: ["container top", "top"],
  flags: {},
  arity: someArguments,
  interspersed: false,
  run: async ({ session, positionals: [container = "", ...words] }) => {
    const { address } = await session.client();
    const { Titles, Processes } = await topContainer(address, container, words);
    const rows = [Titles, ...(Processes ?? [])].map((cells) => cells.join("\t"));
    printLine(alignColumns(rows.join("\n"), columnMin));
    return 0;
  },
});
