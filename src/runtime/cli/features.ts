import { checkpointsWork } from "../criu/program.ts";
import { runtimeFeatures } from "../features.ts";
import { command } from "./command.ts";
import { printLine } from "./output.ts";

export const verb = command({
  argumentsUsage: "",
  help: [
    {
      heading: "DESCRIPTION",
      text: "Prints what the runtime can do as JSON: the features structure of the OCI runtime specification.",
    },
  ],
  flags: {},
  arguments: { min: 0, max: 0 },
  async run() {
    printLine(JSON.stringify(runtimeFeatures(await checkpointsWork()), null, 4));
    return 0;
  },
});
