/** Probes without a process in the container: the daemon itself connects to a port, and asks a web server how it is. */
import type { Fd } from "../../../ffi/fd.ts";
import { shownSocketAddress } from "../../../ffi/socket/socket.ts";
import { version } from "../../core/version.ts";
import type { Container } from "../container/container.ts";
import { connectInside } from "./connect.ts";
import { HttpResponse } from "./http-response.ts";
import type { Probe } from "./probe.ts";
import type { HttpTarget, TcpTarget } from "./target.ts";

/** How long a server that was asked to close the connection may take for it: its answer is known by then. */
const courtesyMs = 250;

/** Who accepts the connection is healthy. */
export function tcpProbe(container: Container, target: TcpTarget): Probe {
  return async (output, signal) => {
    const { fd, address } = await connectInside(container, target, signal);
    fd.close();
    output.add(Buffer.from(`connected to ${shownSocketAddress(address)}`));
    return 0;
  };
}

/** A status of 2xx or 3xx is healthy. Certificates are not checked: who is asked is known by where it is. */
export function httpProbe(container: Container, target: HttpTarget): Probe {
  return async (output, signal) => {
    using fd = (await connectInside(container, target, signal)).fd;
    const response = new HttpResponse();
    await converse(fd, target, response, signal);
    output.add(response.description);
    return response.isGood ? 0 : 1;
  };
}

/** @param connected is released to Bun, which closes it. @throws EngineError for what is no answer; the signal's reason. */
async function converse(connected: Fd, target: HttpTarget, response: HttpResponse, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // It may be known before the connection is Bun's, and somebody waits for it.
  promise.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const ask = (socket: Bun.Socket) => {
    socket.write(requestText(target));
  };
  const hear = (chunk: Uint8Array) => {
    try {
      response.add(chunk);
    } catch (error) {
      reject(error);
    }
    if (response.isOver) resolve();
    else if (response.isKnown) timer ??= setTimeout(resolve, courtesyMs);
  };
  const end = () => {
    try {
      response.end();
      resolve();
    } catch (error) {
      reject(error);
    }
  };
  const giveUp = () => reject(signal.reason);
  signal.addEventListener("abort", giveUp, { once: true });
  let socket: Bun.Socket | undefined;
  try {
    signal.throwIfAborted();
    // Bun's types leave out that it takes a socket which is connected already.
    const options = {
      fd: connected.release(),
      ...(target.secure && { tls: { rejectUnauthorized: false } }),
      socket: {
        open: (opened: Bun.Socket) => {
          if (!target.secure) ask(opened);
        },
        handshake: ask,
        data: (_socket: Bun.Socket, chunk: Uint8Array) => hear(chunk),
        end,
        close: end,
        error: (_socket: Bun.Socket, error: Error) => reject(error),
      },
    } as unknown as Parameters<typeof Bun.connect>[0];
    socket = (await Bun.connect(options)) as Bun.Socket;
    await promise;
  } finally {
    signal.removeEventListener("abort", giveUp);
    clearTimeout(timer);
    socket?.terminate();
  }
}

function requestText({ host, path }: HttpTarget): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    `User-Agent: tsd/${version} (health check)`,
    "Accept: */*",
    "Connection: close",
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}
