/**
 * The fast path: POST /tsd/run (HTTP upgrade to `tsd-run`) does in one connection what a docker client does with
 * create, attach, wait, start and delete.
 *
 * POST /tsd/exec does the same for a further process of a container: create, start and inspect of an exec.
 *
 * The request's body is a RunRequest, or an ExecRunRequest. An error before the upgrade is an ordinary HTTP answer.
 * After `101 UPGRADED` both sides write frames `[type, 0, 0, 0, length as 32 bits big endian]` and payload:
 *
 *   daemon to client                            client to daemon
 *     1  stdout                                   0  stdin
 *     2  stderr                                   7  resize, JSON {h, w}
 *     3  error, JSON ErrorBody; the last frame    8  signal, its name or number as text
 *     4  created, JSON {Id, Warnings}             9  end of stdin (empty)
 *     5  exit, JSON RunExit; the last frame      11  detach (empty): leave the container running
 *     6  raw terminal output (Tty)
 *    10  pull progress, JSON JsonMessage
 *    12  started (empty)
 *
 * Of an exec, `created` has the Id alone, and a signal is taken by nobody. Frames 1 and 2 are Docker's own multiplexed
 * frames, so the daemon passes them on as they are. A client that goes away leaves the container running, as a docker
 * client that is killed does.
 *
 * Frames are handled in order: 7 and 8 wait behind stdin that the process does not read. A client that sends much
 * stdin uses the routes resize and kill instead, with the id of frame 4.
 */
import { EngineError } from "../../core/errors.ts";
import type { ContainerCreateRequest } from "./container-config.ts";
import type { ExecCreateRequest } from "./exec.ts";

export const runProtocol = "tsd-run";

export const frameType = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  error: 3,
  created: 4,
  exit: 5,
  raw: 6,
  resize: 7,
  signal: 8,
  endOfStdin: 9,
  progress: 10,
  detach: 11,
  started: 12,
} as const;

export type FrameType = (typeof frameType)[keyof typeof frameType];

export interface RunRequest {
  /** The body of POST /containers/create. */
  create: ContainerCreateRequest;
  name?: string;
  /** `os[/arch[/variant]]`. */
  platform?: string;
  pull: "missing" | "always" | "never";
  /** Streams to forward; none and detach both mean: answer `created` and `started`, then end. */
  attach: { stdin: boolean; stdout: boolean; stderr: boolean };
  /** Do not wait for the end of the container. */
  detach?: boolean;
}

export interface ExecRunRequest {
  /** Id, name or a beginning of the id. */
  container: string;
  /** The body of POST /containers/{id}/exec. Without streams it is not waited for either. */
  exec: ExecCreateRequest;
  detach?: boolean;
}

/** How the process ended, or that it was left running. */
export interface RunExit {
  StatusCode: number;
  Error?: { Message: string };
  /** Started in the background, or the client detached: StatusCode is 0 and says nothing. */
  detached?: boolean;
}

export const frameHeaderBytes = 8;
/** A frame from a client is a keystroke, a resize or a piece of stdin: a longer one is an attack or a mistake. */
export const frameBytesMax = 1 << 24;

/** Header and payload in one buffer. */
export function encodeFrame(type: FrameType, payload: Uint8Array | string = ""): Uint8Array {
  const body = typeof payload === "string" ? Buffer.from(payload) : payload;
  const frame = Buffer.allocUnsafe(frameHeaderBytes + body.byteLength);
  frame.writeUInt32BE(type * 0x1000000, 0);
  frame.writeUInt32BE(body.byteLength, 4);
  frame.set(body, frameHeaderBytes);
  return frame;
}

/**
 * Cuts a stream of bytes into frames. Payloads are delivered as they arrive, whole or in pieces when `pieces` says
 * so for their type: a large frame of output is then never gathered in memory.
 */
export class FrameReader {
  readonly #onFrame: (type: number, payload: Uint8Array) => void;
  readonly #pieces: (type: number) => boolean;
  #header = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  #missing = 0;
  #gathered: Uint8Array[] = [];

  constructor(onFrame: (type: number, payload: Uint8Array) => void, pieces: (type: number) => boolean = isData) {
    this.#onFrame = onFrame;
    this.#pieces = pieces;
  }

  /** @throws EngineError invalid_argument for a frame that is no frame; the connection is then of no use. */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.byteLength) {
      if (this.#headerFilled < frameHeaderBytes) {
        const taken = Math.min(frameHeaderBytes - this.#headerFilled, chunk.byteLength - offset);
        this.#header.set(chunk.subarray(offset, offset + taken), this.#headerFilled);
        this.#headerFilled += taken;
        offset += taken;
        if (this.#headerFilled === frameHeaderBytes) this.#begin();
        continue;
      }
      const taken = Math.min(this.#missing, chunk.byteLength - offset);
      this.#missing -= taken;
      this.#body(chunk.subarray(offset, offset + taken));
      offset += taken;
    }
  }

  /** True between frames: a connection that ends elsewhere was cut. */
  get idle(): boolean {
    return this.#headerFilled === 0;
  }

  #begin(): void {
    const type = this.#header[0]!;
    this.#missing = this.#header.readUInt32BE(4);
    if (this.#header[1] !== 0 || this.#header[2] !== 0 || this.#header[3] !== 0) {
      throw new EngineError("invalid_argument", `stream frame: bad header ${this.#header.toString("hex")}`);
    }
    if (!this.#pieces(type) && this.#missing > frameBytesMax) {
      throw new EngineError("invalid_argument", `stream frame of type ${type}: ${this.#missing} bytes is too long`);
    }
    if (this.#missing === 0) this.#end(type, new Uint8Array(0));
  }

  #body(piece: Uint8Array): void {
    const type = this.#header[0]!;
    if (this.#pieces(type)) {
      this.#onFrame(type, piece);
      if (this.#missing === 0) this.#headerFilled = 0;
      return;
    }
    // The caller's buffer may be reused for the next read: a piece that has to wait is copied.
    this.#gathered.push(this.#missing === 0 && this.#gathered.length === 0 ? piece : Uint8Array.from(piece));
    if (this.#missing === 0) {
      this.#end(type, this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered));
    }
  }

  #end(type: number, payload: Uint8Array): void {
    this.#headerFilled = 0;
    this.#gathered = [];
    this.#onFrame(type, payload);
  }
}

function isData(type: number): boolean {
  return type === frameType.stdin || type === frameType.stdout || type === frameType.stderr || type === frameType.raw;
}
