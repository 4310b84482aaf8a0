/**
 * Who reaches whom, without a process or a container for each question: the test opens sockets in network namespaces
 * by itself. A server tells each client the address that it sees.
 */
import { writeFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { inNetworkNamespace } from "../../ffi/namespace.ts";
import { isErrno } from "../../src/core/errors.ts";

export const transports = ["tcp", "udp"] as const;
export type ProbeTransport = (typeof transports)[number];

/** How long an answer is waited for: what the kernel delivers on one machine it delivers in a few milliseconds. */
const answerTimeoutMs = 1_000;

/** A network namespace in which sockets are opened. */
export class Place implements Disposable {
  readonly name: string;
  readonly namespace: Fd;

  /** @param namespace its path, or a descriptor that this place owns from now on. */
  constructor(name: string, namespace: string | Fd) {
    this.name = name;
    this.namespace = typeof namespace === "string" ? open(namespace, O_RDONLY) : namespace;
    // An attempt to connect that nobody answers is over after 3 s, and keeps no namespace for two minutes.
    this.run(() => writeFileSync("/proc/sys/net/ipv4/tcp_syn_retries", "1"));
  }

  /** Runs what opens sockets; it has to be synchronous. */
  run<T>(work: () => T): T {
    return inNetworkNamespace(this.namespace, work);
  }

  [Symbol.dispose](): void {
    this.namespace.close();
  }
}

/** TCP and UDP servers at an address of a place. */
export class TellingServer implements Disposable {
  readonly #tcp: Bun.TCPSocketListener;
  readonly #udp: Promise<Bun.udp.Socket<"buffer">>;

  constructor(place: Place, address: string, port: number) {
    [this.#tcp, this.#udp] = place.run(() => [
      Bun.listen({
        hostname: address,
        port,
        socket: {
          open: (socket) => void socket.end(socket.remoteAddress),
          data: () => undefined,
        },
      }),
      Bun.udpSocket({
        hostname: address,
        port,
        socket: {
          data: (socket, _, clientPort, client) => void socket.send(client, clientPort, client),
        },
      }),
    ]);
  }

  [Symbol.dispose](): void {
    this.#tcp.stop(true);
    void this.#udp.then((socket) => socket.close());
  }
}

/** Asks a telling server. @returns the client's address as the server sees it; undefined when no answer comes. */
export function probe(
  from: Place,
  transport: ProbeTransport,
  address: string,
  port: number,
  timeoutMs: number = answerTimeoutMs,
): Promise<string | undefined> {
  return answerWithin(from, timeoutMs, (answer) => (transport === "tcp" ? askTcp : askUdp)(address, port, answer));
}

/** Says something on a TCP connection. @returns all that comes until its end; undefined when nothing comes. */
export function ask(
  from: Place,
  address: string,
  port: number,
  text: string,
  timeoutMs: number = answerTimeoutMs,
): Promise<string | undefined> {
  return answerWithin(from, timeoutMs, (answer) => askTcp(address, port, answer, text));
}

type Answer = (client: string | undefined) => void;

function answerWithin(
  from: Place,
  timeoutMs: number,
  begin: (answer: Answer) => () => void,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const close = from.run(() => begin(resolve));
  return promise.finally(() => {
    clearTimeout(timer);
    close();
  });
}

function askTcp(address: string, port: number, answer: Answer, text = ""): () => void {
  let said = "";
  const connecting = Bun.connect({
    hostname: address,
    port,
    socket: {
      open: (socket) => void socket.write(text),
      data: (_, data) => {
        said += data.toString();
      },
      close: () => answer(said === "" ? undefined : said),
      connectError: () => answer(undefined),
    },
  });
  // Told to connectError too.
  connecting.catch(() => answer(undefined));
  return () => void connecting.then((socket) => socket.terminate()).catch(() => undefined);
}

function askUdp(address: string, port: number, answer: Answer): () => void {
  const opening = connectedUdp(address, port, answer);
  void opening?.then((socket) => socket.send("?")).catch(() => answer(undefined));
  return () => void opening?.then((socket) => socket.close()).catch(() => undefined);
}

/** Bun throws at once where connect(2) fails at once. */
function connectedUdp(address: string, port: number, answer: Answer) {
  try {
    return Bun.udpSocket({
      hostname: isIPv6(address) ? "::" : "0.0.0.0",
      connect: { hostname: address, port },
      socket: {
        data: (_, data) => answer(data.toString()),
        error: () => answer(undefined),
      },
    });
  } catch (error) {
    if (!isErrno(error, "ENETUNREACH", "EHOSTUNREACH")) throw error;
    answer(undefined);
    return undefined;
  }
}

/** A connection that stays: what is written to it comes back. */
export class Conversation implements Disposable {
  readonly #socket: Bun.Socket;
  #received = "";
  #waiting: (() => void) | undefined;

  private constructor(socket: Bun.Socket) {
    this.#socket = socket;
  }

  /** @throws Error when there is no connection within a second. */
  static async open(from: Place, address: string, port: number): Promise<Conversation> {
    let conversation: Conversation | undefined;
    const socket = await from.run(() =>
      Bun.connect({
        hostname: address,
        port,
        socket: { data: (_, data) => conversation?.receive(data.toString()), close: () => conversation?.receive("\0") },
      }),
    );
    conversation = new Conversation(socket);
    return conversation;
  }

  receive(text: string): void {
    this.#received += text;
    this.#waiting?.();
  }

  /** Says something and waits for its echo. @throws Error when it does not come, or the connection has ended. */
  async say(text: string, timeoutMs: number = answerTimeoutMs): Promise<void> {
    this.#received = "";
    this.#socket.write(text);
    const deadline = performance.now() + timeoutMs;
    while (this.#received !== text) {
      const left = deadline - performance.now();
      if (left <= 0 || this.#received.includes("\0")) throw new Error(`no echo of ${text}: ${this.#received}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.terminate();
  }
}

/** A TCP server that gives back what it gets. */
export function echoServer(place: Place, address: string, port: number): Disposable {
  const server = place.run(() =>
    Bun.listen({ hostname: address, port, socket: { data: (socket, data) => void socket.write(data) } }),
  );
  return { [Symbol.dispose]: () => server.stop(true) };
}
