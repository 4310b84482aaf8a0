/** A probe by a command that runs in the container, as Docker's do. */
import { cgroupPath } from "../container/bundle.ts";
import type { Container } from "../container/container.ts";
import type { EngineContext } from "../context.ts";
import { type ExecService, probePrefix } from "../exec/execs.ts";
import type { ShimPart } from "../parts.ts";
import { FrameReader } from "./output.ts";
import type { Probe } from "./probe.ts";

/** Its exit status is the command's. When it is given up the command ends with all that it has started. */
export function commandProbe(
  context: EngineContext,
  execs: Pick<ExecService, "startProbe">,
  container: Container,
  command: string[],
): Probe {
  return async (output, signal) => {
    const { pid, stream, ended } = await execs.startProbe(container, command);
    const kill = () => context.kernel.killTree(cgroupPath(context, container), pid);
    if (signal.aborted) kill();
    signal.addEventListener("abort", kill, { once: true });
    try {
      const frames = new FrameReader((data) => output.add(data));
      for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) frames.add(chunk);
      return await ended;
    } finally {
      signal.removeEventListener("abort", kill);
      stream.close();
    }
  };
}

/** Those of an earlier daemon: nobody is left who would hear what they say, or end them. */
export async function endLeftProbes(context: EngineContext, container: Container, shim: ShimPart): Promise<void> {
  for (const { execId, running, pid } of (await shim.state()).execs) {
    if (!running || pid === null || !execId.startsWith(probePrefix)) continue;
    context.kernel.killTree(cgroupPath(context, container), pid);
  }
}
