import { parseSignal } from "../../core/signals.ts";
import { killContainer } from "../kill.ts";
import { command } from "./command.ts";

export const verb = command({
  argumentsUsage: "<container-id> [signal]",
  help: [
    {
      heading: "",
      text:
        "[signal] is a name (TERM, SIGTERM, RTMIN+3) or a number. KILL ends all processes of a container that has no\n" +
        "pid namespace of its own.",
    },
    { heading: "EXAMPLE", text: 'To kill the container "ubuntu01":\n\n    # tsd-runc kill ubuntu01 KILL' },
  ],
  flags: {
    all: { kind: "boolean", alias: "a", usage: "send the specified signal to all processes inside the container" },
  },
  arguments: { min: 1, max: 2 },
  run({ root }, flags, [id, signal = "SIGTERM"]) {
    killContainer(root, id!, signal === "0" ? 0 : parseSignal(signal), flags.all);
    return 0;
  },
});
