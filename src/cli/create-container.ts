/** Creating a container over Docker's own routes; when its image is not there, it is pulled first. */
import type { ContainerCreateResponse } from "../api/schema/container.ts";
import type { ContainerCreateRequest } from "../api/schema/container-config.ts";
import type { RunRequest } from "../api/schema/run-protocol.ts";
import { isEngineError } from "../core/errors.ts";
import type { ContainerIdFile } from "./cid-file.ts";
import { printError } from "./output.ts";
import type { ProgressDisplay } from "./progress.ts";
import { pullImage } from "./pull-image.ts";
import type { Session } from "./session.ts";

export interface Creation {
  body: ContainerCreateRequest;
  name: string;
  platform: string;
  pull: RunRequest["pull"];
  display: () => ProgressDisplay;
  idFile: ContainerIdFile;
  /** Puts something into the container before anybody starts it. */
  inject?: ((id: string) => Promise<void>) | undefined;
}

/** @returns its id; its warnings are printed. */
export async function createContainer(session: Session, creation: Creation): Promise<string> {
  const { body, name, platform, pull, display, idFile, inject } = creation;
  const client = await session.client();
  const options = { ...(name !== "" && { name }), ...(platform !== "" && { platform }) };
  const pullNow = () => pullImage(session, body.Image ?? "", platform, display());
  if (pull === "always") await pullNow();
  const create = () => client.createContainer(body, options);
  const created = await (pull === "missing" ? createMissing(create, pullNow) : create());
  try {
    await inject?.(created.Id);
  } catch (error) {
    await client.removeContainer(created.Id, { force: true, volumes: true, link: false });
    throw error;
  }
  idFile.write(created.Id);
  for (const warning of created.Warnings ?? []) printError(`WARNING: ${warning}`);
  return created.Id;
}

async function createMissing(
  create: () => Promise<ContainerCreateResponse>,
  pull: () => Promise<void>,
): Promise<ContainerCreateResponse> {
  try {
    return await create();
  } catch (error) {
    // Not that of a mount, which is named before it.
    const isImageMissing =
      isEngineError(error, "not_found") && /^Error response from daemon: No such image/.test(error.message);
    if (!isImageMissing) throw error;
    await pull();
    return create();
  }
}
