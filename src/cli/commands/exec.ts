import { isTerminal, windowSize } from "../../../ffi/pty.ts";
import { command } from "../command.ts";
import { environment } from "../create-request.ts";
import { engineFailed } from "../exit-status.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { printLine } from "../output.ts";
import { refuseTerminalWithoutOne } from "./run.ts";

export const execCommand = command({
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  summary: "Execute a command in a running container",
  aliases: ["container exec", "exec"],
  flags: {
    detach: boolFlag("Detached mode: run command in the background", { short: "d" }),
    "detach-keys": stringFlag("Override the key sequence for detaching a container"),
    env: listFlag("Set environment variables", { short: "e" }),
    "env-file": listFlag("Read in a file of environment variables"),
    interactive: boolFlag("Keep STDIN open even if not attached", { short: "i" }),
    privileged: boolFlag("Give extended privileges to the command"),
    tty: boolFlag("Allocate a pseudo-TTY", { short: "t" }),
    user: stringFlag("Username or UID (format: <name|uid>[:<group|gid>])", { short: "u" }),
    workdir: stringFlag("Working directory inside the container", { short: "w" }),
  },
  arity: { min: 2, max: Number.POSITIVE_INFINITY },
  interspersed: false,
  errorStatus: engineFailed,
  run: async ({ session, flags, positionals }) => {
    const [name = "", ...words] = positionals;
    const stdin = flags.interactive && !flags.detach;
    refuseTerminalWithoutOne(flags, stdin);
    const client = await session.client();
    const { Id: id } = await client.createExec(name, {
      User: flags.user,
      Privileged: flags.privileged,
      Tty: flags.tty,
      AttachStdin: stdin,
      AttachStdout: !flags.detach,
      AttachStderr: !flags.detach,
      DetachKeys: flags["detach-keys"],
      Env: environment(flags["env-file"], flags.env),
      WorkingDir: flags.workdir,
      Cmd: words,
    });
    if (flags.detach) {
      await client.startExecDetached(id, { Tty: flags.tty });
      return 0;
    }
    const { connectAttached } = await import("../attached.ts");
    const connection = await client.startExec(id, { Tty: flags.tty, Detach: false, ...consoleSize(flags.tty) });
    await connectAttached(connection, {
      tty: flags.tty,
      stdin,
      proxySignals: false,
      resize: (size) => client.resizeExec(id, size),
      signal: async () => undefined,
    });
    const result = await client.inspectExec(id);
    if (result.Running && flags.tty) printLine(""); // detached: the prompt that follows gets a line of its own
    return result.ExitCode ?? 0;
  },
});

/** The terminal's size at the start, so that the program's first screen is right. */
function consoleSize(tty: boolean): { ConsoleSize?: number[] } {
  if (!tty || !isTerminal(1)) return {};
  const { rows, columns } = windowSize(1);
  return rows > 0 && columns > 0 ? { ConsoleSize: [rows, columns] } : {};
}
