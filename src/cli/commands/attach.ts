import { EngineError } from "../../core/errors.ts";
import { command, oneArgument } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { refuseTerminalWithoutOne } from "./run.ts";
import { endOf } from "./start.ts";

export const attachCommand = command({
  usage: "[OPTIONS] CONTAINER",
  summary: "Attach local standard input, output, and error streams to a running container",
  aliases: ["container attach", "attach"],
  flags: {
    "detach-keys": stringFlag("Override the key sequence for detaching a container"),
    "no-stdin": boolFlag("Do not attach STDIN"),
    "sig-proxy": boolFlag("Proxy all received signals to the process", { initial: true }),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const { connectAttached } = await import("../attached.ts");
    const client = await session.client();
    const container = await client.inspectContainer(positionals[0]!);
    if (!container.State.Running) {
      throw new EngineError("conflict", "cannot attach to a stopped container, start it first");
    }
    if (container.State.Paused) {
      throw new EngineError("conflict", "cannot attach to a paused container, unpause it first");
    }
    const tty = container.Config.Tty ?? false;
    const stdin = !flags["no-stdin"] && (container.Config.OpenStdin ?? false);
    refuseTerminalWithoutOne({ tty }, stdin);
    const { exited } = await client.beginWait(container.Id, "not-running");
    const connection = await client.attach(container.Id, {
      stdin,
      stdout: true,
      stderr: true,
      ...(flags["detach-keys"] !== "" && { detachKeys: flags["detach-keys"] }),
    });
    await connectAttached(connection, {
      tty,
      stdin,
      proxySignals: flags["sig-proxy"],
      resize: (size) => client.resizeContainer(container.Id, size),
      signal: (signal) => client.killContainer(container.Id, signal),
    });
    return endOf(client, container.Id, exited);
  },
});
