/** Copies that are under way. */
import { expect } from "bun:test";
import { command, until } from "../harness/command.ts";
import type { Engine } from "../harness/engine.ts";

/** A copy out of a container that nobody reads to its end. */
export async function unread(
  { daemon }: Engine,
  container: string,
  path: string,
): Promise<AsyncDisposable & { response: Response }> {
  const url = `http://tsd/containers/${container}/archive?path=${path}`;
  const response = await fetch(url, { unix: daemon.socket } as RequestInit);
  expect(response.status).toBe(200);
  return {
    response,
    async [Symbol.asyncDispose]() {
      await response.body?.cancel().catch(() => undefined); // the daemon may be gone
    },
  };
}

/** Waits for a copy that is under way. @returns its processes. */
export async function copying({ daemon }: Engine, verb: "read" | "write"): Promise<number[]> {
  let pids: number[] = [];
  await until("a copy is under way", async () => {
    const { stdout } = await command(["ps", "-o", "pid=,args=", "--ppid", String(daemon.pid)]);
    pids = stdout
      .split("\n")
      .flatMap((line) => (line.includes(` copy {"verb":"${verb}"`) ? [Number(line.trim().split(" ")[0])] : []));
    return pids.length > 0;
  });
  return pids;
}
