/** Archives for tests, written field by field: what no well-behaved tar program would write too. */
import { blockSize } from "./tar-header.ts";

export interface FixtureEntry {
  name: string;
  type?: string;
  data?: string | Uint8Array;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  device?: [number, number];
  /** Overrides the size that the header claims. */
  size?: number;
  /** Records of an extended header in front. Values may be bytes. */
  pax?: Record<string, string | Uint8Array>;
  magic?: string;
}

export function archive(entries: FixtureEntry[], options: { end?: boolean } = {}): Uint8Array {
  const blocks = entries.flatMap((entry) => [
    ...(entry.pax ? member({ name: "pax", type: "x", data: paxBody(entry.pax) }) : []),
    ...member(entry),
  ]);
  if (options.end !== false) blocks.push(Buffer.alloc(2 * blockSize));
  return Buffer.concat(blocks);
}

export function paxBody(records: Record<string, string | Uint8Array> | [string, string | Uint8Array][]): Uint8Array {
  const list = Array.isArray(records) ? records : Object.entries(records);
  return Buffer.concat(
    list.map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
      let length = rest.length + 1;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
}

function member(entry: FixtureEntry): Buffer[] {
  const data = Buffer.from(entry.data ?? "");
  const type = entry.type ?? (entry.name.endsWith("/") ? "5" : "0");
  const header = Buffer.alloc(blockSize);
  header.write(entry.name, 0, 100, "latin1");
  octal(header, 100, 8, entry.mode ?? (type === "5" ? 0o755 : 0o644));
  octal(header, 108, 8, entry.uid ?? 0);
  octal(header, 116, 8, entry.gid ?? 0);
  octal(header, 124, 12, entry.size ?? data.length);
  octal(header, 136, 12, entry.mtime ?? 1_000_000_000);
  header.write(type, 156, "latin1");
  header.write(entry.link ?? "", 157, 100, "latin1");
  header.write(entry.magic ?? "ustar\x0000", 257, "latin1");
  if (entry.device) {
    octal(header, 329, 8, entry.device[0]);
    octal(header, 337, 8, entry.device[1]);
  }
  return [seal(header), data, Buffer.alloc((blockSize - (data.length % blockSize)) % blockSize)];
}

/** Puts the right checksum in. */
export function seal(header: Buffer): Buffer {
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function octal(header: Buffer, at: number, length: number, value: number): void {
  const digits = value.toString(8);
  if (digits.length < length) {
    header.write(`${digits.padStart(length - 1, "0")}\0`, at, "latin1");
    return;
  }
  // GNU's base 256.
  header[at] = 0x80;
  for (let index = length - 1, rest = value; index > 0; index--, rest = Math.floor(rest / 256)) {
    header[at + index] = rest % 256;
  }
}
