/** A container as a new image: what of its configuration an image has, and that it stands still meanwhile. */
import type { ContainerConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import { applyChanges } from "../../image/dockerfile/changes.ts";
import { familiarReference, parseReference } from "../../image/reference.ts";
import type { ImageConfigDefaults } from "../../oci/image.ts";
import { parsePlatform } from "../../oci/platform.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./event.ts";
import { mergeImageConfig } from "./image-config.ts";
import { pauseForCommit, resumeAfterCommit } from "./pause.ts";

export interface CommitRequest {
  /** `repository[:tag]`; absent: the image gets no name. */
  name?: string;
  comment: string;
  author: string;
  pause: boolean;
  changes: string[];
  /** In the place of the container's own, which it is then completed from. */
  config?: ContainerConfig;
}

/**
 * Mounted in every container, and the mark that each has. What was made to mount something else on is a change, as in
 * Docker: a container of the image has those places too.
 */
export const usualMountPoints = [
  "/.dockerenv",
  "/proc",
  "/sys",
  "/dev",
  "/dev/console",
  "/dev/mqueue",
  "/dev/pts",
  "/dev/shm",
  "/etc/hostname",
  "/etc/hosts",
  "/etc/resolv.conf",
];

/** @returns the image's id. @throws EngineError invalid_argument, not_found, unsupported, no_space, cancelled. */
export async function commitContainer(
  context: EngineContext,
  container: Container,
  request: CommitRequest,
  signal: AbortSignal,
): Promise<string> {
  const { definition } = container;
  const config = imageConfigOf(container, request);
  const parent = context.images.resolve(definition.imageId, parsePlatform(definition.platform));
  if (!parent) throw new EngineError("not_found", `No such image: ${definition.imageId}`);
  // Two that pause the same container would be in each other's way.
  return context.locks.run(`commit ${container.id}`, async () => {
    const id = await context.images.commit(container.id, parent, {
      name: request.name,
      config,
      command: definition.config.Cmd ?? [],
      author: request.author,
      comment: request.comment,
      mountPoints: usualMountPoints,
      signal,
      whileStill: (work) => (request.pause ? whilePaused(context, container, work) : work()),
    });
    const imageRef = request.name === undefined ? "" : familiarReference(parseReference(request.name));
    containerEvent(context, container, "commit", { comment: request.comment, imageID: id, imageRef });
    if (imageRef !== "") context.events.publish("image", "tag", id, { name: imageRef });
    return id;
  });
}

/** Docker's rules: the changes, then what the container has and they do not say. */
function imageConfigOf(container: Container, { config, changes }: CommitRequest): ImageConfigDefaults {
  const own = container.definition.config;
  const changed = applyChanges(imageFields(config ?? own), changes);
  return imageFields(mergeImageConfig(changed as ContainerConfig, imageFields(own)));
}

/** What an image's configuration has of a container's; what is empty is left out. */
function imageFields(config: ContainerConfig): ImageConfigDefaults {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels } = config;
  const { StopSignal, ArgsEscaped, Healthcheck, OnBuild, Shell } = config as ContainerConfig & ImageConfigDefaults;
  const variables = Env?.filter((entry) => entry.includes("="));
  const fields = { User, ExposedPorts, Env: variables, Entrypoint, Cmd, Volumes, WorkingDir, Labels };
  const rest = { StopSignal, ArgsEscaped, Healthcheck, OnBuild, Shell };
  return Object.fromEntries(Object.entries({ ...fields, ...rest }).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** A container that does not run, or is paused, stands still anyway. */
async function whilePaused<T>(context: EngineContext, container: Container, work: () => Promise<T>): Promise<T> {
  if (!(await pauseForCommit(context, container))) return work();
  try {
    return await work();
  } finally {
    await resumeAfterCommit(context, container);
  }
}
