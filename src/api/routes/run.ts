/** The fast paths of run and exec: src/api/schema/run-protocol.ts says what goes over the wire. */
import type { Hono } from "hono";
import type { Authorization } from "../authorization.ts";
import type { Backends } from "../backend/backends.ts";
import type { TerminalSize } from "../backend/containers.ts";
import type { ImagePullOptions } from "../backend/images.ts";
import { readJsonBody } from "../body.ts";
import { parsePlatform } from "../platform.ts";
import { jsonFrame, requireUpgrade, type Serving, serveFrames, serveProcess } from "../process-frames.ts";
import { readRegistryAuth } from "../registry-auth.ts";
import { checkExec } from "../schema/exec-request.ts";
import type { AuthConfig } from "../schema/image.ts";
import { frameType, type RunRequest } from "../schema/run-protocol.ts";
import { readExecRunRequest, readRunRequest } from "../schema/run-request.ts";
import type { ApiContext, ApiEnv } from "../transport.ts";
import { createRequestOf } from "../versions/create.ts";
import { judgedSteps, type RunBackends } from "./run-steps.ts";

export function runRoutes(
  app: Hono<ApiEnv>,
  backends: Pick<Backends, "containers" | "exec" | "images">,
  authorization?: Authorization,
): void {
  const stepsOf = (c: ApiContext): RunBackends =>
    authorization ? judgedSteps(authorization, backends, c.req.raw.signal) : backends;
  app.post("/tsd/run", async (c) => {
    requireUpgrade(c);
    const request = readRunRequest(await readJsonBody(c));
    if (request.platform) parsePlatform(request.platform);
    if (request.name) request.name = request.name.replace(/^\//, "");
    request.create = createRequestOf(request.create, c.get("api"));
    const auth = readRegistryAuth(c, request.create.Image);
    const { containers, images } = stepsOf(c);
    return serveFrames(c, async (serving) => {
      await pull(serving, { request, auth }, images);
      const { connection, controller } = serving;
      const session = await containers.run(
        request,
        (created) => void connection.write(jsonFrame(frameType.created, created)),
        controller.signal,
      );
      const { id } = session;
      const control = {
        signal: (name: string) => containers.kill(id, name),
        resize: (size: TerminalSize) => containers.resize(id, size),
      };
      await serveProcess(serving, { ...session, ...control }, request.detach === true);
    });
  });
  app.post("/tsd/exec", async (c) => {
    requireUpgrade(c);
    const { container, exec: request, detach = false } = readExecRunRequest(await readJsonBody(c));
    checkExec(request);
    const { exec } = stepsOf(c);
    return serveFrames(c, async (serving) => {
      let id = "";
      const session = await exec.run(
        container,
        request,
        (created) => {
          id = created;
          void serving.connection.write(jsonFrame(frameType.created, { Id: created }));
        },
        serving.controller.signal,
      );
      const exited = session.exited.then((StatusCode) => ({ StatusCode }));
      // As in Docker: a signal goes to containers, never to an exec.
      const control = { signal: async () => undefined, resize: (size: TerminalSize) => exec.resize(id, size) };
      await serveProcess(serving, { id, ...session, exited, ...control }, detach);
    });
  });
}

/** An image that is to be there before the container is made. */
async function pull(
  { connection, controller }: Serving,
  { request, auth }: { request: RunRequest; auth: AuthConfig | undefined },
  images: RunBackends["images"],
): Promise<void> {
  const reference = request.create.Image ?? "";
  if (request.pull === "never" || reference === "") return;
  if (request.pull === "missing" && (await images.exists(reference, request.platform))) return;
  const options: ImagePullOptions = {
    ...(request.platform && { platform: request.platform }),
    ...(auth && { auth }),
  };
  for await (const message of images.pull(reference, options, controller.signal)) {
    await connection.write(jsonFrame(frameType.progress, message));
  }
}
