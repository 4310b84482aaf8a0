import { resumeContainer } from "../pause.ts";
import { command } from "./command.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [{ heading: "DESCRIPTION", text: 'Lets the processes of a container go on that "pause" has stopped.' }],
  flags: {},
  arguments: { min: 1, max: 1 },
  run({ root }, _flags, [id]) {
    resumeContainer(root, id!);
    return 0;
  },
});
