/** The shims that an earlier daemon has left: what each says it runs, or, of one that says nothing, what is on record. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { SIGKILL } from "../../../ffi/constants/process.ts";
import { readTextIfThere } from "../../../ffi/fs.ts";
import { isAlive, openProcess, type ProcessIdentity, pidfd_send_signal, processStat } from "../../../ffi/process.ts";
import { timeNow } from "../../core/clock.ts";
import { namesIn } from "../../core/directory.ts";
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import { ShimClient } from "../../shim/client.ts";
import type { ShimRecord } from "../../shim/protocol.ts";
import { readShimRecord } from "../../shim/records.ts";
import type { Layout } from "../layout.ts";
import type { SurvivingShim } from "../parts.ts";

/** A shim has nothing to do but answer. One that somebody has stopped (SIGSTOP) is not waited for any longer than the first. */
const promptMs = 250;
/** Many wake up at once on a busy machine, and a start may be under way. */
const answerMs = 5000;

/**
 * Those that have a container. One without is ended, and the socket of one that is gone is removed. No shim that does
 * not answer can keep the daemon from starting: of a container that runs the record is believed, and `late` has the
 * answer when it comes; a shim that was starting one, or has none, is killed: nobody was told that it runs anything.
 */
export async function findSurvivors(layout: Pick<Layout, "shims" | "containerStates">): Promise<SurvivingShim[]> {
  const records = recordsBySocket(layout);
  const paths = namesIn(layout.shims).map((name) => join(layout.shims, name));
  const parents = new Set([...records.values()].filter(runs).map(({ shimPid }) => shimPid));
  const found = await Promise.all(paths.map((path) => askSurvivor(path, records.get(path), parents)));
  return found.filter((survivor) => survivor !== undefined);
}

function recordsBySocket({ containerStates }: Pick<Layout, "containerStates">): Map<string, ShimRecord> {
  const records = namesIn(containerStates).flatMap((id) => readShimRecord(join(containerStates, id)) ?? []);
  return new Map(records.map((record) => [record.socket, record]));
}

function runs({ pid, pidStartTime }: ShimRecord): boolean {
  return pid !== null && pidStartTime !== null && isAlive({ pid, startTime: pidStartTime });
}

/** @param parents the shims' processes that have containers which run. */
async function askSurvivor(
  path: string,
  record: ShimRecord | undefined,
  parents: ReadonlySet<number>,
): Promise<SurvivingShim | undefined> {
  let shim: ShimClient;
  try {
    shim = await ShimClient.connect(path);
  } catch (error) {
    log("debug", "removed a socket that no shim listens at", { path, error: errorMessage(error) });
    await rm(path, { force: true });
    return undefined;
  }
  const answer = ask(shim);
  const prompt = await within(answer, promptMs);
  if (prompt !== "silent") return prompt;
  const process = record === undefined ? processOf(path) : { pid: record.shimPid, startTime: record.shimStartTime };
  const isStopped = process !== undefined && /^[Tt]/.test(processStat(process.pid)?.state ?? "");
  const found = isStopped ? "silent" : await within(answer, answerMs - promptMs);
  if (found !== "silent") return found;
  const believed = record && believeRecord(shim, answer, record);
  log("warn", "a shim does not answer", { path, pid: process?.pid, container: believed?.containerId });
  // What it was asked for and has not done yet, it never will; or what it does is ended, where others share its process.
  if (believed !== undefined) return believed;
  if (process !== undefined && !parents.has(process.pid)) kill(process);
  else void answer.then((found) => found?.shim.release({ force: true })).catch((error) => logUnreleased(path, error));
  return believed;
}

function logUnreleased(path: string, error: unknown): void {
  log("warn", "a shim that nobody needs was not let go", { path, error: errorMessage(error) });
}

/** @returns undefined for one that has nothing to do: it was let go. */
async function ask(shim: ShimClient): Promise<SurvivingShim | undefined> {
  try {
    const { containerId, pid, startedAt, exit, status } = await shim.state({ settled: true });
    if (containerId !== null && pid !== null) {
      const paused = status === "paused";
      return { shim, containerId, pid, startedAt: startedAt ?? timeNow(), ended: exit !== null, paused };
    }
    // The last daemon may have been killed when its request to start was on the way: refused from here on.
    await shim.release({ force: true });
  } catch (error) {
    // It ended by itself, as those without a container and without a client do.
    log("debug", "a shim did not answer", { path: shim.socketPath, error: errorMessage(error) });
  }
  shim.close();
  return undefined;
}

function within<T>(answer: Promise<T>, durationMs: number): Promise<T | "silent"> {
  const over = Promise.withResolvers<"silent">();
  const timer = setTimeout(() => over.resolve("silent"), durationMs);
  return Promise.race([answer, over.promise]).finally(() => clearTimeout(timer));
}

/** @returns undefined where its container was not started. */
function believeRecord(
  shim: ShimClient,
  late: Promise<SurvivingShim | undefined>,
  { id: containerId, pid, pidStartTime, startedAt }: ShimRecord,
): SurvivingShim | undefined {
  if (pid === null || pidStartTime === null) return undefined;
  const ended = !isAlive({ pid, startTime: pidStartTime });
  return { shim, containerId, pid, startedAt: startedAt ?? timeNow(), ended, paused: false, late };
}

/** The shim that was told to listen there. */
function processOf(socketPath: string): ProcessIdentity | undefined {
  for (const name of namesIn("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = readTextIfThere(`/proc/${name}/cmdline`)?.split("\0") ?? [];
    if (words.includes("shim") && words.includes(socketPath)) return processStat(Number(name));
  }
  return undefined;
}

function kill(process: ProcessIdentity): void {
  using pidfd = openProcess(process);
  if (pidfd !== undefined) pidfd_send_signal(pidfd, SIGKILL);
}
