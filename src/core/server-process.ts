/** How tsd starts a process of its own that serves a socket, and lives on without whoever started it. */
import { openSync } from "node:fs";
import { EngineError, wrapError } from "./errors.ts";
import { scrubbedEnvironment } from "./self.ts";

/** @returns a descriptor at the file's end. @throws EngineError that says whose log it is. */
export function openLog(whose: string, path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (error) {
    throw wrapError(error, `open the log of ${whose}, ${path}`, { path });
  }
}

export interface ServerProcess {
  child: Bun.Subprocess;
  /** It listens: it has said so on its standard output, which it then closed. Otherwise it is about to end. */
  listens: boolean;
}

/** Starts it in a session of its own, with nothing of this process's but the log, and waits for its word. */
export async function startServer(
  command: readonly string[],
  log: number,
  onStarted?: (pid: number) => void,
): Promise<ServerProcess> {
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: log,
    env: scrubbedEnvironment(),
    cwd: "/",
    detached: true,
  });
  child.unref();
  onStarted?.(child.pid);
  return { child, listens: (await new Response(child.stdout).text()) === "ready\n" };
}

/** The reason that it is not there, once it has ended. */
export async function serverFailure(what: string, child: Bun.Subprocess, logPath: string): Promise<EngineError> {
  const status = await child.exited;
  return new EngineError("unavailable", `start ${what}: it ended with status ${status}`, {
    path: logPath,
    hint: `its log is ${logPath}`,
  });
}
