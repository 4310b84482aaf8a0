import { command } from "../command.ts";
import { environment } from "../create-request.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { consoleSize } from "../local-streams.ts";
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
  errorStatus: 1,
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
    const { connectAttached, detachedByKeys } = await import("../attached.ts");
    const connection = await client.startExec(id, { Tty: flags.tty, Detach: false, ...consoleSize(flags.tty) });
    const { detached } = await connectAttached(connection, {
      detachKeys: flags["detach-keys"],
      tty: flags.tty,
      stdin,
      proxySignals: false,
      resize: (size) => client.resizeExec(id, size),
      signal: async () => undefined,
    });
    if (detached) throw detachedByKeys();
    return (await client.inspectExec(id)).ExitCode ?? 0;
  },
});
