/** What a service manager hands to the runtime for the container, in the environment. */
import type { Readiness } from "../notify.ts";
import { containerDirectory } from "../store.ts";
import type { CommandContext } from "./command.ts";

/**
 * A service manager that wants to know when the container is ready has set NOTIFY_SOCKET: sd_notify(3).
 * @throws EngineError invalid_argument for an id that no container can have.
 */
export async function readinessOf({ root, log }: CommandContext, id: string): Promise<Readiness | undefined> {
  const { NOTIFY_SOCKET: manager } = process.env;
  if (!manager) return undefined;
  const { Readiness } = await import("../notify.ts");
  return new Readiness(containerDirectory(root, id), manager, (message) => log.warn(message));
}

/**
 * How many sockets, from descriptor 3 on, are meant for the container: sd_listen_fds(3). Variables that were meant for
 * another process, and came here by inheritance, count for nothing.
 */
export function listenDescriptors(): number {
  const { LISTEN_FDS, LISTEN_PID } = process.env;
  if (LISTEN_PID !== String(process.pid)) return 0;
  const count = Number(LISTEN_FDS);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}
