import { command, noArguments } from "../command.ts";
import { currentContext } from "../context/current.ts";
import { printLine } from "../output.ts";

export const contextShowCommand = command({
  usage: "",
  summary: "Print the name of the current context",
  flags: {},
  arity: noArguments,
  run: async ({ session }) => {
    printLine(currentContext(session));
    return 0;
  },
});
