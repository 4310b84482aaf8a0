import { isTerminal, windowSize } from "../../../ffi/pty.ts";
import type { Client } from "../../client/client.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { command, oneArgument } from "../command.ts";
import { configuredDetachKeys } from "../configured-detach-keys.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { detachedByKeys, refuseTerminalWithoutOne } from "../local-streams.ts";
import { statusOf } from "./start.ts";

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
    if (container.State.Restarting) {
      throw new EngineError("conflict", "cannot attach to a restarting container, wait until it is running");
    }
    const tty = container.Config.Tty ?? false;
    const stdin = !flags["no-stdin"] && (container.Config.OpenStdin ?? false);
    refuseTerminalWithoutOne({ tty }, stdin);
    const detachKeys = await configuredDetachKeys(session, flags["detach-keys"]);
    const { exited } = await client.beginWait(container.Id, "not-running");
    const connection = await client.attach(container.Id, {
      stdin,
      stdout: true,
      stderr: true,
      ...(detachKeys !== "" && { detachKeys }),
    });
    if (tty) await redraw(client, container.Id);
    const { detached } = await connectAttached(connection, {
      detachKeys,
      tty,
      stdin,
      proxySignals: flags["sig-proxy"] && !tty,
      resize: (size) => client.resizeContainer(container.Id, size),
      signal: (signal) => client.killContainer(container.Id, signal),
    });
    if (detached) throw detachedByKeys();
    return statusOf(await exited);
  },
});

/**
 * Another size than that of our terminal, which follows: the program is told of a change and draws its screen or
 * prompt anew, as docker has it. Nothing else would show where one has come back to.
 */
async function redraw(client: Client, id: string): Promise<void> {
  if (!isTerminal(1)) return;
  const { rows, columns } = windowSize(1);
  try {
    await client.resizeContainer(id, { h: rows + 1, w: columns + 1 });
  } catch (error) {
    if (!isEngineError(error)) throw error; // it has ended meanwhile
  }
}
