import { pauseContainer } from "../pause.ts";
import { command } from "./command.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Stops all processes of the container where they are, and returns when they stand. Its state is then\n" +
        '"paused", until "resume". A paused container can be killed and deleted.',
    },
  ],
  flags: {},
  arguments: { min: 1, max: 1 },
  run({ root }, _flags, [id]) {
    pauseContainer(root, id!);
    return 0;
  },
});
