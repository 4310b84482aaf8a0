import { EngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import type { Session } from "../session.ts";

export const startCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Start one or more stopped containers",
  aliases: ["container start", "start"],
  flags: {
    attach: boolFlag("Attach STDOUT/STDERR and forward signals", { short: "a" }),
    "detach-keys": stringFlag("Override the key sequence for detaching a container"),
    interactive: boolFlag("Attach container's STDIN", { short: "i" }),
    "sig-proxy": boolFlag("Proxy received signals to the process", { initial: true, hidden: true }),
  },
  arity: someArguments,
  run: async ({ session, flags, positionals }) => {
    if (flags.attach || flags.interactive) {
      if (positionals.length > 1) {
        throw new EngineError("invalid_argument", "you cannot start and attach multiple containers at once");
      }
      return startAttached(session, positionals[0]!, flags);
    }
    const client = await session.client();
    return forEach(positionals, async (name) => {
      await client.startContainer(name);
      return undefined;
    });
  },
});

interface StartFlags {
  interactive: boolean;
  "detach-keys": string;
  "sig-proxy": boolean;
}

/** Attaches first, then starts: no byte of the output is missed. */
async function startAttached(session: Session, name: string, flags: StartFlags): Promise<number> {
  const { connectAttached } = await import("../attached.ts");
  const client = await session.client();
  const container = await client.inspectContainer(name);
  const tty = container.Config.Tty ?? false;
  const stdin = flags.interactive && (container.Config.OpenStdin ?? false);
  const connection = await client.attach(container.Id, {
    stdin,
    stdout: true,
    stderr: true,
    ...(flags["detach-keys"] !== "" && { detachKeys: flags["detach-keys"] }),
  });
  const condition = container.HostConfig.AutoRemove ? "removed" : "next-exit";
  const { exited } = await client.beginWait(container.Id, condition);
  try {
    await client.startContainer(container.Id);
  } catch (error) {
    connection.close();
    throw error;
  }
  await connectAttached(connection, {
    tty,
    stdin,
    proxySignals: flags["sig-proxy"],
    resize: (size) => client.resizeContainer(container.Id, size),
    signal: (signal) => client.killContainer(container.Id, signal),
  });
  return endOf(client, container.Id, exited);
}

/**
 * The status when the stream has ended: that of the container, or 0 when it still runs because we were detached.
 */
export async function endOf(
  client: Awaited<ReturnType<Session["client"]>>,
  id: string,
  exited: Promise<{ StatusCode: number; Error?: { Message: string } }>,
): Promise<number> {
  const ended = exited.then((result) => ({ ...result, running: false }));
  const asked = client.inspectContainer(id).then(
    ({ State }) =>
      ({ running: State.Running, StatusCode: 0 }) as {
        running: boolean;
        StatusCode: number;
        Error?: { Message: string };
      },
    () => ended, // already removed
  );
  const first = await Promise.race([ended, asked]);
  if (first.running) return 0;
  const result = await exited;
  if (result.Error) throw new EngineError("internal", result.Error.Message);
  return result.StatusCode;
}
