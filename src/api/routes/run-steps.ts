/** The fast paths for who has authorization plugins: the requests of Docker's that they stand for, each judged by itself. */
import { isEngineError } from "../../core/errors.ts";
import type { Authorization } from "../authorization.ts";
import type { ContainerBackend, RunSession, TerminalSize } from "../backend/containers.ts";
import type { ExecBackend } from "../backend/exec.ts";
import type { ImageBackend } from "../backend/images.ts";
import { type AskedRequest, dockerRequest } from "../own-routes.ts";
import type { ContainerCreateResponse } from "../schema/container.ts";
import type { ExecCreateRequest } from "../schema/exec.ts";
import type { RunRequest } from "../schema/run-protocol.ts";

export interface RunBackends {
  containers: Pick<ContainerBackend, "run" | "kill" | "resize">;
  images: Pick<ImageBackend, "exists" | "pull">;
  exec: Pick<ExecBackend, "run" | "resize">;
}

interface WholeBackends {
  containers: ContainerBackend;
  images: ImageBackend;
  exec: ExecBackend;
}

/** @param signal of the whole request. */
export function judgedSteps(
  authorization: Authorization,
  { containers, exec, images }: WholeBackends,
  signal: AbortSignal,
): RunBackends {
  return {
    containers: {
      run: (request, onCreated, session) => run(authorization, containers, { request, onCreated, session, signal }),
      kill: (id, name) => {
        const asked = dockerRequest("POST", `/containers/${id}/kill`, { signal: name });
        return authorization.perform(asked, 204, () => containers.kill(id, name), signal);
      },
      resize: (id, size) =>
        authorization.perform(resizeRequest(`/containers/${id}`, size), 200, () => containers.resize(id, size), signal),
    },
    exec: {
      run: (container, request, onCreated, session) =>
        runExec(authorization, exec, { container, request, onCreated, session, signal }),
      resize: (id, size) =>
        authorization.perform(resizeRequest(`/exec/${id}`, size), 200, () => exec.resize(id, size), signal),
    },
    images: {
      exists: (reference, platform) => images.exists(reference, platform),
      pull: async function* (reference, options, pulling) {
        const { platform } = options;
        const asked = dockerRequest("POST", "/images/create", { fromImage: reference, platform });
        const request = await authorization.judgeRequest(asked, signal);
        await request.judgeAnswer({ status: 200 });
        yield* images.pull(reference, options, pulling);
      },
    },
  };
}

interface Run {
  request: RunRequest;
  onCreated: (created: ContainerCreateResponse) => void;
  /** Ends the attachment. */
  session: AbortSignal;
  signal: AbortSignal;
}

async function run(authorization: Authorization, containers: ContainerBackend, run: Run): Promise<RunSession> {
  const { create, name, platform } = run.request;
  const created = await authorization.perform(
    dockerRequest("POST", "/containers/create", { name, platform }, create),
    201,
    () => containers.create(create, { ...(name && { name }), ...(platform && { platform }) }),
    run.signal,
  );
  run.onCreated(created);
  try {
    return await start(authorization, containers, run, created.Id);
  } catch (error) {
    // One whose start failed has been removed by the engine, which does not know of one that was not allowed to.
    const isRefused = isEngineError(error) && error.stage === "authorization";
    if (isRefused && create.HostConfig?.AutoRemove) {
      await containers.remove(created.Id, { force: true, volumes: true, link: false });
    }
    throw error;
  }
}

async function start(
  authorization: Authorization,
  containers: ContainerBackend,
  { request, session, signal }: Run,
  id: string,
): Promise<RunSession> {
  const { attach, create, detach } = request;
  const perform = <T>(path: string, query: Record<string, string | boolean>, status: number, work: () => Promise<T>) =>
    authorization.perform(dockerRequest("POST", `/containers/${id}/${path}`, query), status, work, signal);
  const isAttached = !detach && (attach.stdin || attach.stdout || attach.stderr);
  const options = { ...attach, stdin: attach.stdin && create.OpenStdin === true, logs: false, stream: true };
  const stream = isAttached
    ? await perform("attach", { stream: true, ...attach }, 101, () => containers.attach(id, options, session))
    : undefined;
  const condition = create.HostConfig?.AutoRemove ? "removed" : "next-exit";
  const waiting = detach
    ? undefined
    : await perform("wait", { condition }, 200, () => containers.wait(id, condition, signal));
  // Heard of when it is asked for; until then it must not count as unhandled.
  waiting?.exited.catch(() => undefined);
  await perform("start", {}, 204, () => containers.start(id));
  return { id, exited: waiting?.exited ?? new Promise(() => undefined), ...(stream && { stream }) };
}

function resizeRequest(path: string, { rows, columns }: TerminalSize): AskedRequest {
  return dockerRequest("POST", `${path}/resize`, { h: String(rows), w: String(columns) });
}

interface ExecRun {
  container: string;
  request: ExecCreateRequest;
  onCreated: (id: string) => void;
  session: AbortSignal;
  signal: AbortSignal;
}

async function runExec(
  authorization: Authorization,
  exec: ExecBackend,
  { container, request, onCreated, session, signal }: ExecRun,
): ReturnType<ExecBackend["run"]> {
  const asked = dockerRequest("POST", `/containers/${encodeURIComponent(container)}/exec`, {}, request);
  const { Id } = await authorization.perform(asked, 201, () => exec.create(container, request), signal);
  onCreated(Id);
  const isAttached = Boolean(request.AttachStdin || request.AttachStdout || request.AttachStderr);
  const start = dockerRequest("POST", `/exec/${Id}/start`, {}, { Detach: !isAttached, Tty: request.Tty === true });
  if (!isAttached) {
    await authorization.perform(start, 200, () => exec.startDetached(Id, {}), signal);
    return { exited: exitOf(exec, Id, session) };
  }
  const stream = await authorization.perform(start, 101, () => exec.start(Id, {}, session), signal);
  const ended = Promise.withResolvers<void>();
  const { terminal, input } = stream;
  const followed = { terminal, output: until(stream.output, ended.resolve), ...(input && { input }) };
  return { stream: followed, exited: ended.promise.then(() => exitOf(exec, Id, session)) };
}

async function* until(chunks: AsyncIterable<Uint8Array>, onEnd: () => void): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } finally {
    onEnd();
  }
}

/** As docker's client learns it. Of an exec without streams, which nobody waits for, it is asked ever more rarely. */
async function exitOf(exec: ExecBackend, id: string, session: AbortSignal): Promise<number> {
  for (let waitMs = 10; ; waitMs = Math.min(2 * waitMs, 1000)) {
    const { ExitCode } = await exec.inspect(id);
    if (ExitCode !== null && ExitCode !== undefined) return ExitCode;
    if (session.aborted) return new Promise(() => undefined);
    await Bun.sleep(waitMs);
  }
}
