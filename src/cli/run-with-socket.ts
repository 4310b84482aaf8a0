/**
 * `run --use-api-socket`. The fast path leaves no moment between the container's making and its start, in which
 * credentials could be put into it: where there are some, it is made, filled and started over Docker's own routes.
 */
import type { RunRequest } from "../api/schema/run-protocol.ts";
import { withApiSocket } from "./api-socket.ts";
import type { ContainerIdFile } from "./cid-file.ts";
import { startAttached } from "./commands/start.ts";
import { createContainer } from "./create-container.ts";
import { printLine } from "./output.ts";
import type { ProgressDisplay } from "./progress.ts";
import type { Session } from "./session.ts";

interface Options {
  flags: { interactive: boolean; "detach-keys": string; "sig-proxy": boolean };
  idFile: ContainerIdFile;
  display: () => ProgressDisplay;
}

/** @returns the exit status. */
export async function runWithApiSocket(session: Session, request: RunRequest, options: Options): Promise<number> {
  const { body, inject } = await withApiSocket(session, request.create);
  const { name = "", platform = "", pull = "missing", detach, attach } = request;
  const { idFile, display, flags } = options;
  const id = await createContainer(session, { body, name, platform, pull, display, idFile, inject });
  if (detach || !(attach.stdin || attach.stdout || attach.stderr)) {
    await (await session.client()).startContainer(id);
    printLine(id);
    return 0;
  }
  return startAttached(session, id, { ...flags, interactive: attach.stdin });
}
