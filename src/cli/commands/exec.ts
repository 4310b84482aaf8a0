import type { RunExit } from "../../api/schema/run-protocol.ts";
import { DetachScanner, defaultDetachKeys, parseDetachKeys } from "../../core/detach-keys.ts";
import { type EngineError, isEngineError } from "../../core/errors.ts";
import { command } from "../command.ts";
import { configuredDetachKeys } from "../configured-detach-keys.ts";
import { boolFlag, checkedListFlag, listFlag, stringFlag } from "../flags.ts";
import { consoleSize, detachedByKeys, refuseTerminalWithoutOne } from "../local-streams.ts";
import { printFailure } from "../output.ts";
import { environment, variable } from "../variables.ts";

export const execCommand = command({
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  summary: "Execute a command in a running container",
  aliases: ["container exec", "exec"],
  flags: {
    detach: boolFlag("Detached mode: run command in the background", { short: "d" }),
    "detach-keys": stringFlag("Override the key sequence for detaching a container"),
    env: checkedListFlag("Set environment variables", variable, { short: "e" }),
    "env-file": listFlag("Read in a file of environment variables"),
    interactive: boolFlag("Keep STDIN open even if not attached", { short: "i" }),
    privileged: boolFlag("Give extended privileges to the command"),
    tty: boolFlag("Allocate a pseudo-TTY", { short: "t" }),
    user: stringFlag("Username or UID (format: <name|uid>[:<group|gid>])", { short: "u" }),
    workdir: stringFlag("Working directory inside the container", { short: "w" }),
  },
  arity: { min: 2, max: Number.POSITIVE_INFINITY },
  interspersed: false,
  errorStatus: 1,
  run: async ({ session, flags, positionals }) => {
    const [name = "", ...words] = positionals;
    const stdin = flags.interactive && !flags.detach;
    refuseTerminalWithoutOne(flags, stdin);
    const { runExec } = await import("../run-connection.ts");
    const keys = flags.tty ? await configuredDetachKeys(session, flags["detach-keys"]) : flags["detach-keys"];
    const exec = {
      User: flags.user,
      Privileged: flags.privileged,
      Tty: flags.tty,
      AttachStdin: stdin,
      AttachStdout: !flags.detach,
      AttachStderr: !flags.detach,
      DetachKeys: keys,
      Env: environment(flags["env-file"], flags.env),
      WorkingDir: flags.workdir,
      Cmd: words,
      ...(!flags.detach && consoleSize(flags.tty)),
    };
    let isCreated = false;
    let exit: RunExit;
    try {
      exit = await runExec(
        await session.client(),
        { container: name, exec, detach: flags.detach },
        {
          detachKeys: new DetachScanner(parseDetachKeys(keys || defaultDetachKeys)),
          tty: flags.tty,
          stdin,
          onCreated: () => {
            isCreated = true;
          },
        },
      );
    } catch (error) {
      if (!isCreated || !isEngineError(error) || isEngineError(error, "unavailable")) throw error;
      printFailure(error);
      return statusOfFailure(error);
    }
    if (exit.detached && !flags.detach) throw detachedByKeys();
    return exit.StatusCode;
  },
});

/** Of what never ran, as docker's daemon tells it: 127 no such program, 126 a wrong request, 128 anything else. */
function statusOfFailure({ code }: EngineError): number {
  if (code === "command_not_found") return 127;
  return code === "command_not_executable" || code === "invalid_argument" ? 126 : 128;
}
