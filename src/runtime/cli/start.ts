import type { Readiness } from "../notify.ts";
import { startContainer } from "../start.ts";
import { command } from "./command.ts";
import { idHelp } from "./create-flags.ts";
import { readinessOf } from "./service.ts";

export const verb = command({
  argumentsUsage: "<container-id>",
  help: [idHelp, { heading: "DESCRIPTION", text: "Lets the first process of a created container become its program." }],
  flags: {},
  arguments: { min: 1, max: 1 },
  async run(context, _flags, [id]) {
    using readiness = await readinessOf(context, id!);
    const isListening = readiness?.listen() ?? false;
    await startContainer(context.root, id!);
    if (isListening) await waitUntilReady(context.root, id!, readiness!);
    return 0;
  },
});

async function waitUntilReady(root: string, id: string, readiness: Readiness): Promise<void> {
  const { openProcess } = await import("../../../ffi/process.ts");
  const { inspectContainer } = await import("../state.ts");
  const { status } = inspectContainer(root, id);
  // It may have ended by now.
  if (!("init" in status)) return;
  using pidfd = openProcess(status.init);
  if (pidfd !== undefined) readiness.waitUntilReady({ pid: status.init.pid, pidfd });
}
