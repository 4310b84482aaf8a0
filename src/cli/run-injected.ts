/**
 * `run` of a container that something is put into before it starts: the user's credentials, with `--use-api-socket`. The
 * fast path leaves no such moment: it is made, filled and started over Docker's own routes.
 */
import type { RunRequest } from "../api/schema/run-protocol.ts";
import type { ContainerIdFile } from "./cid-file.ts";
import { startAttached } from "./commands/start.ts";
import { createContainer } from "./create-container.ts";
import { printLine } from "./output.ts";
import type { ProgressDisplay } from "./progress.ts";
import type { Session } from "./session.ts";

interface Options {
  flags: { "detach-keys": string; "sig-proxy": boolean };
  idFile: ContainerIdFile;
  display: () => ProgressDisplay;
  inject: (id: string) => Promise<void>;
}

/** @returns the exit status. */
export async function runInjected(session: Session, request: RunRequest, options: Options): Promise<number> {
  const { create: body, name = "", platform = "", pull = "missing", detach, attach } = request;
  const { flags, ...creation } = options;
  const id = await createContainer(session, { body, name, platform, pull, ...creation });
  if (detach || !(attach.stdin || attach.stdout || attach.stderr)) {
    await (await session.client()).startContainer(id);
    printLine(id);
    return 0;
  }
  return startAttached(session, id, { ...flags, interactive: attach.stdin }, attach);
}
