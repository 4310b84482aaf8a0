/**
 * criu as a program that serves one request: `criu swrk FD` answers on a socket of packets that it inherits (criu.org,
 * "RPC").
 */
import { F_DUPFD_CLOEXEC } from "../../../ffi/constants/open.ts";
import { type Descriptor, Fd } from "../../../ffi/fd.ts";
import { fcntl, pread, write } from "../../../ffi/files.ts";
import { dataMemfd } from "../../../ffi/memory.ts";
import { packetSocketPair, receiveDescriptors } from "../../../ffi/scm.ts";
import { decodeText } from "../../../ffi/text.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import { scrubbedEnvironment } from "../../core/self.ts";
import { type CriuResponse, decodeResponse, encodeFeatureCheck, encodeNotified, encodeRequest } from "./messages.ts";

/** The first of criu's descriptors that is of the caller's choice: below are its streams and the socket. */
export const firstInherited = 4;
const socketNumber = 3;
/** Above all that are chosen. */
const spareNumber = 64;
const responseBytesMax = 64 * 1024;
const outputBytesMax = 64 * 1024;

/** Where criu is. @throws EngineError unsupported, naming the directories that were searched. */
export function findCriu(): string {
  const path = process.env.PATH ?? "";
  const program = Bun.which("criu", { PATH: path });
  if (program !== null) return program;
  throw new EngineError("unsupported", `criu is not installed: install the package criu; looked in PATH: ${path}`);
}

export interface CriuExchange {
  /** @param pid of criu, which waits for its request and may be moved into a cgroup before. */
  request: (pid: number) => Uint8Array;
  /** Becomes standard input: criu knows by it which terminal a shell job has. */
  stdin?: number;
  /** Become the descriptors from firstInherited on. */
  inherited?: readonly Descriptor[];
  /** How it is started, when not just so: in other namespaces of this thread. */
  startIn?: <T>(start: () => T) => T;
  /**
   * criu waits meanwhile; when it throws, criu takes back what it has done, and the error is that of the exchange.
   * @param descriptors that came along; they are closed afterwards if they were not moved.
   */
  onNotify?: (script: string, pid: number | undefined, descriptors: readonly Fd[]) => void;
}

export interface CriuAnswer {
  /** Undefined when it ended without one. */
  response: CriuResponse | undefined;
  /** What it printed while it had no log yet. */
  output: string;
  /** How it ended. */
  exitCode: number | null;
  signal: string | null;
  /** What onNotify threw. */
  problem?: unknown;
}

/** Starts criu for one request, and returns when it has ended. The thread stands still while it works. */
export async function askCriu(program: string, exchange: CriuExchange): Promise<CriuAnswer> {
  using output = dataMemfd("criu output");
  const [own, theirs] = packetSocketPair();
  using socket = own;
  const start = () => startCriu(program, theirs, output, exchange);
  let child: ReturnType<typeof start>;
  try {
    child = exchange.startIn === undefined ? start() : exchange.startIn(start);
  } catch (error) {
    throw new EngineError("internal", `${program}: ${errorMessage(error)}`, { path: program, cause: error });
  } finally {
    theirs.close();
  }
  let talk: Pick<CriuAnswer, "response" | "problem">;
  try {
    send(socket, exchange.request(child.pid));
    talk = converse(socket, exchange);
  } finally {
    // After the first dump of memory it would wait for the next.
    socket.close();
    await child.exited;
  }
  return {
    ...talk,
    output: readOutput(output),
    exitCode: child.exitCode,
    signal: child.signalCode === null ? null : String(child.signalCode),
  };
}

function startCriu(program: string, socket: Fd, output: Fd, { stdin, inherited = [] }: CriuExchange) {
  // Out of the way: each would be lost if its number were that of another one's place.
  const passed = [socket, ...inherited].map((descriptor) => new Fd(fcntl(descriptor, F_DUPFD_CLOEXEC, spareNumber)));
  try {
    return Bun.spawn([program, "swrk", String(socketNumber)], {
      env: scrubbedEnvironment(),
      stdio: [stdin ?? "ignore", output.number, output.number, ...passed.map((descriptor) => descriptor.number)],
    });
  } finally {
    for (const descriptor of passed) descriptor.close();
  }
}

function send(socket: Fd, message: Uint8Array): void {
  try {
    write(socket, message);
  } catch (error) {
    // It has ended; what it said is read next.
    if (!isErrno(error, "EPIPE", "ECONNRESET")) throw error;
  }
}

function converse(socket: Fd, { onNotify }: CriuExchange): Pick<CriuAnswer, "response" | "problem"> {
  const problems: unknown[] = [];
  for (;;) {
    const received = receive(socket);
    if (received === undefined) return { response: undefined, problem: problems[0] };
    const { response, descriptors } = received;
    try {
      if (response.notify === undefined) return { response, problem: problems[0] };
      onNotify?.(response.notify.script, response.notify.pid, descriptors);
      send(socket, encodeNotified(true));
    } catch (error) {
      problems.push(error);
      send(socket, encodeNotified(false));
    } finally {
      for (const descriptor of descriptors) descriptor.close();
    }
  }
}

function receive(socket: Fd): { response: CriuResponse; descriptors: Fd[] } | undefined {
  try {
    const { data, descriptors } = receiveDescriptors(socket, responseBytesMax);
    return data.length === 0 ? undefined : { response: decodeResponse(data), descriptors };
  } catch (error) {
    if (isErrno(error, "ECONNRESET")) return undefined;
    throw error;
  }
}

function readOutput(output: Fd): string {
  const buffer = new Uint8Array(outputBytesMax);
  return decodeText(buffer.subarray(0, pread(output, buffer, 0))).trim();
}

/** criu's version as one number: 31701 is 3.17.1. */
export async function criuVersion(program: string): Promise<number> {
  const answer = await askCriu(program, { request: () => encodeRequest("VERSION") });
  const version = answer.response?.version;
  if (version === undefined) {
    throw new EngineError("unsupported", `${program} does not tell its version: ${answer.output || "no answer"}`);
  }
  return version.major * 10_000 + version.minor * 100 + version.sublevel;
}

/** Whether checkpoints can be made here: criu is installed, and works on this kernel for this user. */
export async function checkpointsWork(): Promise<boolean> {
  const program = Bun.which("criu");
  return program !== null && (await criuFeatures(program)) !== undefined;
}

/** Whether criu can work on this kernel, and with which features. @returns undefined when it cannot. */
export async function criuFeatures(program: string): Promise<CriuResponse["features"]> {
  const answer = await askCriu(program, { request: () => encodeFeatureCheck() });
  return answer.response?.success ? answer.response.features : undefined;
}
