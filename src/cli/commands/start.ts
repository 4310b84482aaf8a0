import type { ContainerWaitResponse } from "../../api/schema/container.ts";
import type { StartOptions } from "../../client/client.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { command, someArguments } from "../command.ts";
import { configuredDetachKeys } from "../configured-detach-keys.ts";
import { forEach } from "../each.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { printError } from "../output.ts";
import type { Session } from "../session.ts";

export const startCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Start one or more stopped containers",
  aliases: ["container start", "start"],
  flags: {
    attach: boolFlag("Attach STDOUT/STDERR and forward signals", { short: "a" }),
    checkpoint: stringFlag("Restore from this checkpoint"),
    "checkpoint-dir": stringFlag("Use a custom checkpoint storage directory"),
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
    if (flags.checkpoint !== "" && positionals.length > 1) {
      throw new EngineError("invalid_argument", "you cannot restore multiple containers at once");
    }
    const client = await session.client();
    const failed: string[] = [];
    const status = await forEach(positionals, async (name) => {
      try {
        await client.startContainer(name, restoredFrom(flags));
      } catch (error) {
        if (!isEngineError(error, "not_modified")) failed.push(name);
        throw error;
      }
      return undefined;
    });
    if (failed.length > 0) printError(`Error: failed to start containers: ${failed.join(", ")}`);
    return status;
  },
});

interface StartFlags {
  checkpoint?: string;
  "checkpoint-dir"?: string;
  interactive: boolean;
  "detach-keys": string;
  "sig-proxy": boolean;
}

function restoredFrom(flags: Pick<StartFlags, "checkpoint" | "checkpoint-dir">): StartOptions {
  const { checkpoint = "", "checkpoint-dir": checkpointDirectory = "" } = flags;
  return {
    ...(checkpoint !== "" && { checkpoint }),
    ...(checkpointDirectory !== "" && { checkpointDirectory }),
  };
}

/** Attaches first, then starts: no byte of the output is missed. @param output which of it is wanted. */
export async function startAttached(
  session: Session,
  name: string,
  flags: StartFlags,
  { stdout, stderr } = { stdout: true, stderr: true },
): Promise<number> {
  const { connectAttached } = await import("../attached.ts");
  const client = await session.client();
  const container = await client.inspectContainer(name);
  const tty = container.Config.Tty ?? false;
  const stdin = flags.interactive && (container.Config.OpenStdin ?? false);
  const detachKeys = await configuredDetachKeys(session, flags["detach-keys"]);
  const connection = await client.attach(container.Id, {
    stdin,
    stdout,
    stderr,
    ...(detachKeys !== "" && { detachKeys }),
  });
  const condition = container.HostConfig.AutoRemove ? "removed" : "next-exit";
  const { exited } = await client.beginWait(container.Id, condition);
  try {
    await client.startContainer(container.Id, restoredFrom(flags));
  } catch (error) {
    // That it runs already is as good: it is attached to.
    if (!isEngineError(error, "not_modified")) {
      connection.close();
      throw error;
    }
  }
  const { detached } = await connectAttached(connection, {
    detachKeys,
    tty,
    stdin,
    proxySignals: flags["sig-proxy"] && !tty,
    resize: (size) => client.resizeContainer(container.Id, size),
    signal: (signal) => client.killContainer(container.Id, signal),
  });
  return detached ? 0 : statusOf(await exited);
}

/** @throws EngineError with what the daemon says of an end that it did not see. */
export function statusOf(end: ContainerWaitResponse): number {
  if (end.Error) throw new EngineError("internal", end.Error.Message);
  return end.StatusCode;
}
