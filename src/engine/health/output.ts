import { EngineError } from "../../core/errors.ts";

/** Docker keeps as many bytes of what a probe says. */
const keptBytesMax = 4096;

/** What a probe has said so far, up to a limit: the rest is read and dropped. */
export class ProbeOutput {
  readonly #kept: Uint8Array[] = [];
  #bytes = 0;
  #wasCut = false;

  add(data: Uint8Array): void {
    const room = keptBytesMax - this.#bytes;
    if (data.length > room) this.#wasCut = true;
    if (room <= 0 || data.length === 0) return;
    const part = data.slice(0, room);
    this.#kept.push(part);
    this.#bytes += part.length;
  }

  /** With three dots where something was dropped. */
  get text(): string {
    return Buffer.concat(this.#kept).toString() + (this.#wasCut ? "..." : "");
  }
}

const headerBytes = 8;

/** Takes the payload out of docker's multiplexed frames: a byte for the stream, three of zero, four of length. */
export class FrameReader {
  readonly #payload: (data: Uint8Array) => void;
  #header: Uint8Array = new Uint8Array();
  /** Of the frame that is being read. */
  #left = 0;

  constructor(payload: (data: Uint8Array) => void) {
    this.#payload = payload;
  }

  /** @throws EngineError corrupt for what is no frame. */
  add(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left > 0) {
        this.#payload(rest.subarray(0, this.#left));
        const taken = Math.min(rest.length, this.#left);
        this.#left -= taken;
        rest = rest.subarray(taken);
        continue;
      }
      const wanted = headerBytes - this.#header.length;
      this.#header = Buffer.concat([this.#header, rest.subarray(0, wanted)]);
      rest = rest.subarray(wanted);
      if (this.#header.length < headerBytes) return;
      if (this.#header[0]! > 3) throw new EngineError("corrupt", `a frame of stream ${this.#header[0]}`);
      this.#left = Buffer.from(this.#header).readUInt32BE(4);
      this.#header = new Uint8Array();
    }
  }
}
