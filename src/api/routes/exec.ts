import type { Hono } from "hono";
import { defaultDetachKeys, parseDetachKeys } from "../../core/detach-keys.ts";
import { errorMessage } from "../../core/errors.ts";
import type { ExecBackend, ExecStartOptions } from "../backend/exec.ts";
import type { AttachStream } from "../backend/stream.ts";
import { readJson, readJsonBody } from "../body.ts";
import { logFailure } from "../errors.ts";
import { hijack } from "../hijack.ts";
import { streamType } from "../media-types.ts";
import { attachment, pump } from "../pump.ts";
import { querySize } from "../query.ts";
import type { ExecStartRequest } from "../schema/exec.ts";
import { checkExec, readExecCreateRequest, readExecStartRequest } from "../schema/exec-request.ts";
import { encodeFrame, frameType } from "../schema/run-protocol.ts";
import { type ApiContext, type ApiEnv, requestName } from "../transport.ts";

export function execRoutes(app: Hono<ApiEnv>, exec: ExecBackend): void {
  app.post("/containers/:id/exec", async (c) => {
    const request = readExecCreateRequest(await readJsonBody(c));
    checkExec(request);
    if (c.get("api") < 42) delete request.ConsoleSize;
    return c.json(await exec.create(c.req.param("id"), request), 201);
  });
  app.post("/exec/:id/start", (c) => start(c, c.req.param("id"), exec));
  app.post("/exec/:id/resize", async (c) => {
    await exec.resize(c.req.param("id"), querySize(c));
    return c.body(null, 200);
  });
  app.get("/exec/:id/json", async (c) => c.json(await exec.inspect(c.req.param("id"))));
}

async function start(c: ApiContext, id: string, exec: ExecBackend): Promise<Response> {
  const request = readExecStartRequest((await readJson(c)) ?? {});
  const options = startOptions(request, c.get("api"));
  if (request.Detach) {
    await exec.startDetached(id, options);
    return c.body(null, 200);
  }
  await exec.checkStart(id);
  const { ProcessConfig, DetachKeys } = await exec.inspect(id);
  const terminal = ProcessConfig.tty;
  const detachKeys = parseDetachKeys(DetachKeys || defaultDetachKeys);
  const controller = attachment(c.req.raw.signal);
  // Answered before the process is started, as by Docker: docker-py loses whatever comes in one packet with the answer's
  // head. Why it did not start goes to the output, and the client takes 126 and 127 from inspect.
  return hijack(c, { contentType: streamType(terminal, c.get("api")) }, async (connection) => {
    let stream: AttachStream;
    try {
      stream = await exec.start(id, options, controller.signal);
    } catch (error) {
      logFailure(error, requestName(c));
      const message = `${errorMessage(error)}\r\n`;
      await connection.write(terminal ? message : encodeFrame(frameType.stdout, message));
      return;
    }
    await pump(connection, stream, controller, detachKeys);
  });
}

function startOptions(request: ExecStartRequest, api: number): ExecStartOptions {
  // docker's client sends a size whatever it starts: without a terminal it means nothing.
  if (request.ConsoleSize === undefined || api < 42 || !request.Tty) return {};
  const [rows = 0, columns = 0] = request.ConsoleSize;
  return { size: { rows, columns } };
}
