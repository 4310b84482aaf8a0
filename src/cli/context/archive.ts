/** A context as one file: `meta.json` and `tls/ENDPOINT/FILE` in a tar archive, or to be read in a zip archive. */
import { inflateRawSync } from "node:zlib";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { emptyEntry, type TarEntry, type TarSink } from "../../tar/tar-entry.ts";
import { TarReader } from "../../tar/tar-reader.ts";
import { endOfArchive, padding, tarHeader } from "../../tar/tar-writer.ts";
import { parseMeta, type StoredContext } from "./store.ts";

/** docker's own bound of what is imported, in bytes. */
const importMax = 10 << 20;

export function packContext({ meta, tls }: StoredContext): Uint8Array {
  const parts: Uint8Array[] = [];
  const file = (path: string, content: Uint8Array, mode: number) => {
    parts.push(tarHeader({ ...emptyEntry, path, size: content.length, mode }), content, padding(content.length));
  };
  const directory = (path: string) => parts.push(tarHeader({ ...emptyEntry, type: "directory", path, mode: 0o700 }));
  file("meta.json", Buffer.from(JSON.stringify(meta)), 0o644);
  directory("tls");
  for (const [endpoint, files] of Object.entries(tls)) {
    directory(`tls/${endpoint}`);
    for (const [name, content] of Object.entries(files)) file(`tls/${endpoint}/${name}`, content, 0o600);
  }
  return Buffer.concat([...parts, endOfArchive]);
}

/** @throws EngineError invalid_argument for what is no context. */
export async function unpackContext(chunks: AsyncIterable<Uint8Array>): Promise<StoredContext> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > importMax) throw invalid(`the archive has more than ${importMax} bytes`);
    pieces.push(Uint8Array.from(chunk));
  }
  const bytes = Buffer.concat(pieces);
  const files = isZip(bytes) ? zipFiles(bytes) : tarFiles(bytes);
  return contextOf(files);
}

function contextOf(files: Map<string, Uint8Array>): StoredContext {
  const meta = files.get("meta.json");
  if (!meta) throw invalid("invalid context: no metadata found");
  const tls: StoredContext["tls"] = {};
  for (const [path, content] of files) {
    if (path === "meta.json") continue;
    const parts = path.split("/");
    const [top, endpoint = "", name = ""] = parts;
    if (top !== "tls") throw invalid(`${path}: unexpected context file`);
    if (parts.length !== 3 || ![endpoint, name].every(isFileName)) {
      throw invalid(`${path}: unexpected path format`);
    }
    tls[endpoint] = { ...tls[endpoint], [name]: content };
  }
  return { meta: parseMeta(Buffer.from(meta).toString(), "meta.json"), tls };
}

/** That can be stored as it is: the name of the file that it is written to first is longer. */
function isFileName(part: string): boolean {
  return !/^\.{0,2}$|^__proto__$|[\\\0]/.test(part) && Buffer.byteLength(part) <= 200;
}

class Collector implements TarSink {
  readonly files = new Map<string, Uint8Array>();
  #path = "";
  #content: Uint8Array | undefined;

  entry(entry: TarEntry): void {
    this.#path = entry.path;
    if (entry.type === "directory") return;
    if (entry.type !== "file") throw invalid(`${entry.path}: no regular file`);
    if (entry.size > importMax) throw invalid(`${entry.path}: too large`);
    this.#content = new Uint8Array(entry.size);
  }

  data(chunk: Uint8Array, offset: number): void {
    this.#content?.set(chunk, offset);
  }

  entryEnd(): void {
    if (this.#content) this.files.set(this.#path, this.#content);
    this.#content = undefined;
  }

  get isComplete(): boolean {
    return this.#content === undefined;
  }
}

function tarFiles(bytes: Uint8Array): Map<string, Uint8Array> {
  const sink = new Collector();
  try {
    new TarReader(sink).write(bytes);
  } catch (error) {
    if (error instanceof EngineError && error.code === "invalid_argument") throw error;
    throw invalid(`no archive of a context: ${errorMessage(error)}`);
  }
  // docker's own archives end with the last file's last byte.
  if (!sink.isComplete) throw invalid("the archive of the context is truncated");
  return sink.files;
}

function isZip(bytes: Buffer): boolean {
  return bytes.length > 4 && bytes.readUInt32LE(0) === 0x04034b50;
}

/** PKWARE's APPNOTE.TXT, 4.3.12 and 4.3.16: the directory at the end says where the files are. */
function zipFiles(bytes: Buffer): Map<string, Uint8Array> {
  const damaged = (reason: string) => invalid(`zip archive: ${reason}`);
  const end = bytes.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  if (end < 0 || end + 22 > bytes.length) throw damaged("its directory is missing");
  const files = new Map<string, Uint8Array>();
  try {
    const count = bytes.readUInt16LE(end + 10);
    let at = bytes.readUInt32LE(end + 16);
    let total = 0;
    for (let index = 0; index < count; index++) {
      if (bytes.readUInt32LE(at) !== 0x02014b50) throw damaged("its directory is damaged");
      const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset)) as [
        number,
        number,
        number,
      ];
      const name = bytes.toString("utf8", at + 46, at + 46 + nameBytes);
      if (!name.endsWith("/")) files.set(name, zipContent(bytes, at));
      total += files.get(name)?.length ?? 0;
      if (total > importMax) throw damaged("what is in it is too large");
      at += 46 + nameBytes + extraBytes + commentBytes;
    }
  } catch (error) {
    throw error instanceof EngineError ? error : damaged(errorMessage(error));
  }
  return files;
}

/** @param at of its entry in the directory. */
function zipContent(bytes: Buffer, at: number): Uint8Array {
  const [method, stored, size] = [
    bytes.readUInt16LE(at + 10),
    bytes.readUInt32LE(at + 20),
    bytes.readUInt32LE(at + 24),
  ];
  const local = bytes.readUInt32LE(at + 42);
  if (size > importMax) throw invalid("zip archive: a file in it is too large");
  const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
  if (start + stored > bytes.length) throw invalid("zip archive: a file in it is truncated");
  const body = bytes.subarray(start, start + stored);
  if (method === 0) return body;
  if (method === 8) return inflateRawSync(body, { maxOutputLength: importMax });
  throw invalid(`zip archive: compression method ${method} is unknown`);
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message);
}
