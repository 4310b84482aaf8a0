import { readBundle } from "../bundle.ts";
import { explainBundle } from "../explain.ts";
import { command } from "./command.ts";
import { printLine } from "./output.ts";

export const verb = command({
  argumentsUsage: "[bundle]",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Prints the system calls that the first process of a bundle's container would make, in their order, each with\n" +
        "the field of config.json that asks for it, or with the reason why it is made unasked. Nothing is run. The\n" +
        "bundle defaults to the current directory.",
    },
  ],
  flags: {
    bundle: { kind: "text", alias: "b", default: "", usage: "path to the root of the bundle directory" },
    format: { kind: "text", alias: "f", default: "text", usage: "select one of: text or json" },
    create: { kind: "boolean", usage: 'explain "create", where the process waits for "start", and not "run"' },
    "show-env": { kind: "boolean", usage: "print the values of environment variables too, and not only their names" },
    "no-pivot": { kind: "boolean", usage: "as of run" },
    "no-new-keyring": { kind: "boolean", usage: "as of run" },
    "preserve-fds": { kind: "integer", default: 0, usage: "as of run" },
  },
  arguments: { min: 0, max: 1 },
  run(_context, flags, [directory]) {
    const { format } = flags;
    if (format !== "text" && format !== "json") throw new Error("invalid format option");
    const text = explainBundle(readBundle(directory ?? flags.bundle), {
      format,
      start: flags.create ? "wait" : "now",
      showEnvironment: flags["show-env"],
      noPivot: flags["no-pivot"],
      noNewKeyring: flags["no-new-keyring"],
      preserveFds: flags["preserve-fds"],
    });
    printLine(text.trimEnd());
    return 0;
  },
});
