import type { JsonMessage } from "../api/schema/progress.ts";
import {
  type ExecRunRequest,
  encodeFrame,
  FrameReader,
  frameType,
  type RunExit,
  type RunRequest,
} from "../api/schema/run-protocol.ts";
import type { Client } from "../client/client.ts";
import type { HijackedConnection } from "../client/hijack.ts";
import { daemonError } from "../client/http.ts";
import type { DetachScanner } from "../core/detach-keys.ts";
import { EngineError } from "../core/errors.ts";
import { ContainerOutput } from "./container-output.ts";
import { connectLocalStreams, type LocalStreamOptions, type ProcessChannel } from "./local-streams.ts";
import { printError } from "./output.ts";
import type { ProgressDisplay } from "./progress.ts";

export interface RunOptions extends Omit<LocalStreamOptions, "detachKeys"> {
  detachKeys: DetachScanner;
  /** Told once the container exists, before it starts. */
  onCreated(id: string): void;
  progress: ProgressDisplay;
  /** X-Registry-Auth, for an image that has to be pulled. */
  auth?: string | undefined;
}

/**
 * Runs a container over the fast path and connects it to this process.
 * @returns how it ended. @throws EngineError of the daemon; unavailable when the daemon goes away meanwhile.
 */
export async function runContainer(client: Client, request: RunRequest, options: RunOptions): Promise<RunExit> {
  const connection = await client.run(request, options.auth === undefined ? {} : { auth: options.auth });
  return follow(connection, {
    ...options,
    detach: request.detach === true,
    requests: (id) => ({
      resize: (size) => client.resizeContainer(id, size),
      signal: (name) => client.killContainer(id, name),
    }),
    left: "the container goes on without it: see `ps` and `logs` when the daemon is back",
  });
}

/** Runs a further process of a container in the same manner. */
export async function runExec(
  client: Client,
  request: ExecRunRequest,
  options: Omit<LocalStreamOptions, "proxySignals"> & Pick<RunOptions, "onCreated">,
): Promise<RunExit> {
  return follow(await client.exec(request), {
    ...options,
    proxySignals: false,
    detach: request.detach === true,
    requests: (id) => ({ resize: (size) => client.resizeExec(id, size), signal: async () => undefined }),
    left: "the process goes on without it",
  });
}

interface Following extends LocalStreamOptions, Partial<Pick<RunOptions, "onCreated" | "progress">> {
  detach: boolean;
  requests(id: string): { resize(size: { h: number; w: number }): Promise<void>; signal(name: string): Promise<void> };
  /** Advice for whom the daemon has left. */
  left: string;
}

async function follow(connection: HijackedConnection, options: Following): Promise<RunExit> {
  let exit: RunExit | undefined;
  let local: Disposable | undefined;
  let id = "";
  const output = new ContainerOutput(connection, { heedsSigpipe: options.proxySignals });
  const reader = new FrameReader((type, payload) => {
    switch (type) {
      case frameType.stdout:
      case frameType.raw:
        output.write(1, payload);
        break;
      case frameType.stderr:
        output.write(2, payload);
        break;
      case frameType.progress:
        options.progress?.show(parse<JsonMessage>(payload));
        break;
      case frameType.created: {
        const created = parse<{ Id: string; Warnings?: string[] | null }>(payload);
        for (const warning of created.Warnings ?? []) printError(`WARNING: ${warning}`);
        id = created.Id;
        options.onCreated?.(id);
        break;
      }
      case frameType.started:
        if (!options.detach) local = connectLocalStreams(channelOf(options.requests(id), connection), options);
        break;
      case frameType.exit:
        exit = parse<RunExit>(payload);
        // The last frame: that the daemon ends its half need not be waited for.
        connection.close();
        break;
      case frameType.error:
        throw daemonError(500, new TextDecoder().decode(payload));
      default:
        throw new EngineError("internal", `the daemon sent a frame of unknown type ${type}`);
    }
  });
  try {
    await output.during(connection.read((chunk) => reader.push(chunk)));
  } finally {
    local?.[Symbol.dispose]();
    connection.close();
  }
  if (exit !== undefined) return exit;
  throw new EngineError("unavailable", "the connection to the daemon was lost while the container ran", {
    hint: options.left,
  });
}

function parse<T>(payload: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(payload)) as T;
}

/**
 * Signals and sizes go by requests of their own: on the connection they would wait behind input that the process does
 * not read, and ctrl-c is most wanted then.
 */
function channelOf(requests: ReturnType<Following["requests"]>, connection: HijackedConnection): ProcessChannel {
  // The process may have ended between the event and the request: nothing is left to resize or signal.
  const ignored = () => undefined;
  return {
    input: (chunk) => connection.write(encodeFrame(frameType.stdin, chunk)),
    endInput: () => connection.write(encodeFrame(frameType.endOfStdin)),
    resize: (size) => void requests.resize(size).catch(ignored),
    signal: (name) => void requests.signal(name).catch(ignored),
    detach: () => void connection.write(encodeFrame(frameType.detach)),
  };
}
