import { RawConnection } from "./serve.ts";

export interface ClientFrame {
  opcode: number;
  payload?: Uint8Array | string;
  /** The last of its message; true when absent. */
  last?: boolean;
  /** Masked, as a client has to; true when absent. */
  masked?: boolean;
  /** The three reserved bits. */
  reserved?: number;
}

const mask = [0x37, 0xfa, 0x21, 0x3d];

/** A frame as a client sends it, or as one must not. */
export function clientFrame({
  opcode,
  payload = "",
  last = true,
  masked = true,
  reserved = 0,
}: ClientFrame): Uint8Array {
  const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
  const { length } = bytes;
  const short = length < 126 ? length : length < 65536 ? 126 : 127;
  const extended = Buffer.alloc(short === 126 ? 2 : short === 127 ? 8 : 0);
  if (short === 126) extended.writeUInt16BE(length);
  if (short === 127) extended.writeBigUInt64BE(BigInt(length));
  const head = [(last ? 0x80 : 0) | (reserved << 4) | opcode, (masked ? 0x80 : 0) | short];
  const body = masked ? bytes.map((byte, index) => byte ^ mask[index % 4]!) : bytes;
  return Buffer.concat([Uint8Array.from(head), extended, Uint8Array.from(masked ? mask : []), body]);
}

export interface ServerFrame {
  opcode: number;
  payload: Buffer;
}

/** The whole frames of what a server has sent. @throws for one that a server must not send. */
export function serverFrames(bytes: Buffer): ServerFrame[] {
  const frames: ServerFrame[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first = 0, short = 0] = bytes.subarray(at);
    if ((first & 0xf0) !== 0x80 || short > 127) throw new Error(`frame header ${first} ${short}`);
    const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (at + headerBytes > bytes.length) break;
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
    if (at + headerBytes + length > bytes.length) break;
    frames.push({ opcode: first & 0x0f, payload: bytes.subarray(at + headerBytes, at + headerBytes + length) });
    at += headerBytes + length;
  }
  return frames;
}

/** The key of RFC 6455 section 1.3, and what has to be answered to it. */
export const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==";
export const sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const handshake: Record<string, string> = {
  Host: "x",
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": sampleKey,
};

/** A WebSocket of which every byte is the test's own. */
export class RawWebSocket extends RawConnection {
  /** @param headers in place of the usual ones; empty: left out. */
  open(target: string, headers: Record<string, string> = {}): void {
    const lines = Object.entries({ ...handshake, ...headers }).filter(([, value]) => value !== "");
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    this.socket.write(`GET ${target} HTTP/1.1\r\n${head}\r\n`);
  }

  send(frame: ClientFrame): void {
    this.socket.write(clientFrame(frame));
  }

  get frames(): ServerFrame[] {
    const headEnd = this.received.indexOf("\r\n\r\n");
    return headEnd < 0 ? [] : serverFrames(this.received.subarray(headEnd + 4));
  }

  /** Of all messages together. */
  get text(): string {
    return Buffer.concat(this.frames.filter(({ opcode }) => opcode < 8).map(({ payload }) => payload)).toString();
  }

  /** The code that the server closed with; undefined as long as it has not. */
  get closeCode(): number | undefined {
    return this.frames.find(({ opcode }) => opcode === 8)?.payload.readUInt16BE(0);
  }
}
