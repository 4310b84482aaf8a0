import { startContainer } from "../start.ts";
import { command } from "./command.ts";
import { idHelp } from "./create-flags.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [idHelp, { heading: "DESCRIPTION", text: "Lets the first process of a created container become its program." }],
  flags: {},
  arguments: { min: 1, max: 1 },
  run({ root, log }, _flags, [id]) {
    startContainer(root, id!, { warn: (message) => log.warn(message) });
    return 0;
  },
});
