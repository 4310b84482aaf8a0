import { deleteContainer } from "../delete.ts";
import { recordedDriver } from "../systemd.ts";
import { command } from "./command.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [
    {
      heading: "",
      text:
        "What is deleted is what the container held: its state, its cgroup, and with --force its processes. It also\n" +
        'takes away what a "create" left that was killed half-way.',
    },
    { heading: "EXAMPLE", text: 'To remove the stopped container "ubuntu01":\n\n    # tsd-runc delete ubuntu01' },
  ],
  flags: {
    force: {
      kind: "boolean",
      alias: "f",
      usage: "Forcibly deletes the container if it is still running (uses SIGKILL)",
    },
  },
  arguments: { min: 1, max: 1 },
  async run({ root, log }, flags, [id]) {
    const cgroupDriver = await recordedDriver(root, id!);
    deleteContainer(root, id!, {
      force: flags.force,
      warn: (message) => log.warn(message),
      ...(cgroupDriver && { cgroupDriver }),
    });
    return 0;
  },
});
