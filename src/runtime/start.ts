import { O_NONBLOCK, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open, read } from "../../ffi/files.ts";
import { rmSync } from "../../ffi/fs.ts";
import { POLLIN, PollSet } from "../../ffi/poll.ts";
import { openProcess, waitForEnd } from "../../ffi/process.ts";
import { EngineError, errorMessage, isErrno } from "../core/errors.ts";
import { endTimeoutMs } from "./delete.ts";
import { runHooks } from "./hooks.ts";
import { killContainer } from "./kill.ts";
import type { ContainerRecord } from "./record.ts";
import { containerStatus, ociState } from "./status.ts";
import { execFifoPath, lockContainer, readRecord } from "./store.ts";

const SIGKILL = 9;

/**
 * Lets the first process of a created container become its program, and returns once it has.
 * @throws EngineError not_found; conflict when the container is not in the state "created".
 */
export async function startContainer(root: string, id: string): Promise<void> {
  using _lock = lockContainer(root, id);
  const record = readRecord(root, id);
  const status = containerStatus(root, record);
  if (status.status !== "created") throw notStartable(id, status.status);
  using process = openProcess(status.init);
  if (process === undefined) throw notStartable(id, "stopped");
  const report = passFifo(id, execFifoPath(root, id), process);
  if (report.length > 0) {
    // The compiler of plans is needed now, and takes long to load.
    const { failedStart } = await import("./failed-start.ts");
    throw failedStart(root, record, report);
  }
  runPoststart(root, record);
}

function notStartable(id: string, status: string): EngineError {
  const reasons: Record<string, string> = {
    creating: "it is still being created",
    running: "cannot start an already running container",
    paused: "cannot start a paused container",
    stopped: "cannot start a container that has stopped",
  };
  return new EngineError("conflict", `container ${id}: ${reasons[status] ?? status}`);
}

/**
 * The first process waits in its open(2) of the fifo until a reader comes. It then writes a byte and executes its
 * program, which closes the fifo. The fifo is opened without blocking: a process that was killed would never answer.
 * @returns what came after the byte: empty, or the report of a process that has failed.
 */
function passFifo(id: string, path: string, process: Fd): Uint8Array {
  using fifo = open(path, O_RDONLY | O_NONBLOCK);
  const set = new PollSet(2);
  set.set(0, fifo, POLLIN);
  set.set(1, process, POLLIN);
  let report = new Uint8Array(0);
  for (;;) {
    set.wait(-1);
    if (set.ready(0)) {
      const chunk = readAvailable(fifo);
      if (chunk?.length === 0 && report.length > 0) break;
      // It was killed between its open(2) and its byte: the fifo hangs up for good, and the process is about to end.
      if (chunk?.length === 0) set.clear(0);
      else if (chunk !== undefined) report = appended(report, chunk);
    } else if (set.ready(1)) {
      break;
    }
  }
  // Also when the process has ended: the container is no longer one that can be started.
  rmSync(path, { force: true });
  if (report.length === 0) throw notStartable(id, "stopped");
  return report.subarray(1);
}

function appended(bytes: Uint8Array, more: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(bytes.length + more.length);
  all.set(bytes);
  all.set(more, bytes.length);
  return all;
}

function readAvailable(fifo: Fd): Uint8Array | undefined {
  const buffer = new Uint8Array(65536);
  try {
    return buffer.subarray(0, read(fifo, buffer));
  } catch (error) {
    if (isErrno(error, "EAGAIN")) return undefined;
    throw error;
  }
}

/** A failing poststart hook ends the container (runtime.md, "Lifecycle", 1.3). */
function runPoststart(root: string, record: ContainerRecord): void {
  const hooks = record.hooks?.poststart;
  if (hooks === undefined) return;
  try {
    runHooks("poststart", hooks, ociState(record, containerStatus(root, record)));
  } catch (error) {
    const { init } = record.lifecycle;
    using pidfd = init && openProcess(init);
    killContainer(root, record.id, SIGKILL);
    // Who hears of the failure may delete the container at once.
    if (pidfd !== undefined) waitForEnd(pidfd, endTimeoutMs);
    throw new EngineError("internal", `container ${record.id} was killed: ${errorMessage(error)}`, { cause: error });
  }
}
