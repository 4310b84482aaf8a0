/** A probe by a command that runs in the container, as Docker's do. */
import { errorMessage } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { Container } from "../container/container.ts";
import { type ExecService, probePrefix } from "../exec/execs.ts";
import type { ShimPart } from "../parts.ts";
import { FrameReader } from "./output.ts";
import type { Probe } from "./probe.ts";

/** Its exit status is the command's. When it is given up the command ends with all that it has started. */
export function commandProbe(execs: Pick<ExecService, "startProbe">, container: Container, command: string[]): Probe {
  return async (output, signal) => {
    const { stream, ended, kill } = await execs.startProbe(container, command);
    const giveUp = async () => {
      try {
        await kill();
      } catch (error) {
        // It has ended in the same moment, with its container or alone; else it goes on, and is waited for.
        log("debug", "could not end a health check", { container: container.id, error: errorMessage(error) });
      }
    };
    if (signal.aborted) void giveUp();
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      const frames = new FrameReader((data) => output.add(data));
      for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) frames.add(chunk);
      return await ended;
    } finally {
      signal.removeEventListener("abort", giveUp);
      stream.close();
    }
  };
}

/** Those of an earlier daemon: nobody is left who would hear what they say, or end them. */
export async function endLeftProbes(shim: ShimPart): Promise<void> {
  const { execs } = await shim.state();
  const left = execs.filter(({ execId, running }) => running && execId.startsWith(probePrefix));
  await Promise.all(left.map(({ execId }) => shim.endExec(execId, 0)));
}
