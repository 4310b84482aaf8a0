import { inspectContainer } from "../state.ts";
import { command } from "./command.ts";
import { printLine } from "./output.ts";
import { stateView } from "./state-view.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [{ heading: "DESCRIPTION", text: "Prints the state of one container as JSON." }],
  flags: {},
  arguments: { min: 1, max: 1 },
  run({ root }, _flags, [id]) {
    printLine(JSON.stringify(stateView(inspectContainer(root, id!)), null, 2));
    return 0;
  },
});
