/**
 * A registry that serves a directory, and misbehaves as its rules.json says; run in a test's network namespace.
 *
 * `bun registry-server.ts PORT DIRECTORY [CERTIFICATE KEY]`. The directory has blobs/HEX, manifests/NAME/REFERENCE and
 * rules.json; with a certificate HTTPS is spoken on the next port. HTTP is written by hand: no library would lie so.
 */
import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";

/** How requests that match are answered in place of the right answer. The first rule that matches counts. */
export interface Rule {
  /** A regular expression. */
  path: string;
  /** Regular expressions that the Authorization header, "" without one, matches, or does not. */
  authorization?: string;
  notAuthorization?: string;
  /** Requests with, or without, Range alone. */
  range?: boolean;
  /** Matches so many requests and no more. */
  times?: number;

  /** An answer of the rule's own. */
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** A token answer: `t1`, `t2`, … */
  token?: boolean;

  /** The right answer, cut off after so many bytes, or followed by as many more. */
  truncate?: number;
  append?: number;
  /** The right answer, in pieces of so many bytes with a pause before each. */
  pieceBytes?: number;
  pauseMs?: number;
  /** Range is not looked at. */
  ignoreRange?: boolean;
  /** The header says so. */
  claimBytes?: number;
  /** No Content-Length: the end of the connection ends the body. */
  noLength?: boolean;
  /** The connection is closed, or keeps silent, after so many bytes of the body. */
  closeAfter?: number;
  stallAfter?: number;
  /** Answered only when a request whose path matches this has had its whole answer. */
  waitFor?: string;
}

/** A request, and how much of its answer went out. One for each line of `exchanges`, written at its end. */
export interface Exchange {
  method: string;
  path: string;
  host: string;
  range: string;
  authorization: string;
  isTls: boolean;
  status: number;
  bodyBytes: number;
  /** The whole of the answer that was meant went out. */
  isWhole: boolean;
}

interface Request {
  method: string;
  path: string;
  headers: Map<string, string>;
  isTls: boolean;
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  /** Bytes, or a part of a file. */
  body: { bytes: Uint8Array } | { file: string; from: number; size: number };
}

const fileBytes = 64 * 1024;
const closePauseMs = 100;

class RegistryServer {
  readonly #directory: string;
  #rulesText = "";
  #rules: Rule[] = [];
  #uses: number[] = [];
  #tokens = 0;
  #sent = 0;
  readonly #done: string[] = [];
  #onDone: (() => void)[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Answers the requests of a connection one after the other. */
  async connection(socket: Socket, isTls: boolean): Promise<void> {
    const requests = readRequests(socket, isTls);
    for await (const request of requests) {
      if (!(await this.#serve(socket, request))) break;
    }
    socket.destroy();
  }

  /** @returns false when the connection is to be closed. */
  async #serve(socket: Socket, request: Request): Promise<boolean> {
    const header = (name: string) => request.headers.get(name) ?? "";
    this.#note("requests", `${request.method} ${request.path} ${header("range")}`);
    const rule = this.#ruleFor(request);
    if (rule.waitFor !== undefined) await this.#whenDone(new RegExp(rule.waitFor), socket);
    const answer = this.#answer(request, rule);
    const size = sizeOf(answer.body);
    const { noLength = false, claimBytes = size } = rule;
    const lines = Object.entries({ ...(!noLength && { "content-length": String(claimBytes) }), ...answer.headers });
    const head = [`HTTP/1.1 ${answer.status} so`, ...lines.map(([name, value]) => `${name}: ${value}`), "", ""];
    const isSent = await writeAll(socket, Buffer.from(head.join("\r\n"), "latin1"));
    const sent =
      request.method === "HEAD" || !isSent
        ? 0
        : await sendBody(socket, answer.body, rule, (bytes) => this.#count(bytes));
    const isWhole = isSent && (request.method === "HEAD" || sent === size);
    if (!isWhole && rule.closeAfter === undefined) this.#note("requests", `LEFT ${request.path}`);
    const exchange: Exchange = {
      method: request.method,
      path: request.path,
      host: header("host"),
      range: header("range"),
      authorization: header("authorization"),
      isTls: request.isTls,
      status: answer.status,
      bodyBytes: sent,
      isWhole,
    };
    this.#note("exchanges", JSON.stringify(exchange));
    if (isWhole) this.#done.push(request.path);
    for (const tell of this.#onDone.splice(0)) tell();
    return isWhole && !noLength && claimBytes === size;
  }

  #ruleFor(request: Request): Rule {
    const text = readFileSync(join(this.#directory, "rules.json"), "utf8");
    if (text !== this.#rulesText) {
      this.#rulesText = text;
      this.#rules = JSON.parse(text) as Rule[];
      this.#uses = this.#rules.map(() => 0);
    }
    const authorization = request.headers.get("authorization") ?? "";
    const index = this.#rules.findIndex(
      (rule, at) =>
        new RegExp(rule.path).test(request.path) &&
        this.#uses[at]! < (rule.times ?? Number.POSITIVE_INFINITY) &&
        (rule.authorization === undefined || new RegExp(rule.authorization).test(authorization)) &&
        (rule.notAuthorization === undefined || !new RegExp(rule.notAuthorization).test(authorization)) &&
        (rule.range === undefined || rule.range === request.headers.has("range")),
    );
    if (index < 0) return { path: "" };
    this.#uses[index]!++;
    return this.#rules[index]!;
  }

  #answer(request: Request, rule: Rule): Answer {
    if (rule.token) {
      const body = JSON.stringify({ token: `t${++this.#tokens}`, expires_in: 300 });
      return { status: 200, headers: { "content-type": "application/json" }, body: { bytes: Buffer.from(body) } };
    }
    if (rule.status !== undefined || rule.body !== undefined) {
      const bytes = Buffer.from(rule.body ?? "");
      return { status: rule.status ?? 200, headers: rule.headers ?? {}, body: { bytes } };
    }
    return this.#rightAnswer(request, rule);
  }

  #rightAnswer(request: Request, rule: Rule): Answer {
    if (request.path === "/v2/") return { status: 200, headers: {}, body: { bytes: Buffer.from("{}") } };
    const [, name, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(request.path) ?? [];
    const file =
      kind === "blobs"
        ? join(this.#directory, "blobs", reference!.replace("sha256:", ""))
        : join(this.#directory, "manifests", name ?? "", reference ?? "");
    if (kind === undefined || !existsSync(file)) {
      const code = kind === "manifests" ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN";
      const bytes = Buffer.from(JSON.stringify({ errors: [{ code, message: "unknown to this registry" }] }));
      return { status: 404, headers: { "content-type": "application/json" }, body: { bytes } };
    }
    const headers: Record<string, string> = { "accept-ranges": "bytes" };
    if (kind === "manifests") {
      const document = JSON.parse(readFileSync(file, "utf8")) as { mediaType: string };
      headers["content-type"] = document.mediaType;
    }
    return partOf(file, request.headers.get("range") ?? "", rule, headers);
  }

  /** Waits until a path was answered, or the one who waits has gone. */
  async #whenDone(path: RegExp, socket: Socket): Promise<void> {
    while (!this.#done.some((done) => path.test(done)) && !socket.destroyed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onDone.push(resolve);
      socket.once("close", resolve);
      await promise;
    }
  }

  /** All bytes of bodies so far, for whoever watches. */
  #count(bytes: number): void {
    this.#sent += bytes;
    writeFileSync(join(this.#directory, "sent"), String(this.#sent));
  }

  #note(file: string, line: string): void {
    appendFileSync(join(this.#directory, file), `${line}\n`);
  }
}

/** What a file, as the rule changes it, has to say to a Range. */
function partOf(file: string, range: string, rule: Rule, headers: Record<string, string>): Answer {
  let bytes: Uint8Array | undefined;
  if (rule.truncate !== undefined) bytes = readFileSync(file).subarray(0, rule.truncate);
  if (rule.append !== undefined) bytes = Buffer.concat([readFileSync(file), Buffer.alloc(rule.append)]);
  const size = bytes?.length ?? statSync(file).size;
  const [, start, end] = (rule.ignoreRange ? null : /^bytes=(\d+)-(\d*)$/.exec(range)) ?? [];
  const from = Number(start ?? 0);
  const to = end ? Math.min(Number(end), size - 1) : size - 1;
  if (start !== undefined && from >= size) {
    return { status: 416, headers: { "content-range": `bytes */${size}` }, body: { bytes: new Uint8Array() } };
  }
  const ranged = start !== undefined && { "content-range": `bytes ${from}-${to}/${size}` };
  return {
    status: start === undefined ? 200 : 206,
    headers: { ...headers, ...ranged, ...rule.headers },
    body: bytes ? { bytes: bytes.subarray(from, to + 1) } : { file, from, size: to + 1 - from },
  };
}

function sizeOf(body: Answer["body"]): number {
  return "bytes" in body ? body.bytes.length : body.size;
}

/** @returns how many bytes went out. */
async function sendBody(
  socket: Socket,
  body: Answer["body"],
  rule: Rule,
  onSent: (bytes: number) => void,
): Promise<number> {
  const limit = Math.min(
    sizeOf(body),
    rule.closeAfter ?? Number.POSITIVE_INFINITY,
    rule.stallAfter ?? Number.POSITIVE_INFINITY,
  );
  const file = "file" in body ? await open(body.file, "r") : undefined;
  let sent = 0;
  try {
    while (sent < limit) {
      const length = Math.min(rule.pieceBytes ?? fileBytes, limit - sent);
      const piece =
        "bytes" in body ? body.bytes.subarray(sent, sent + length) : await readPiece(file!, body.from + sent, length);
      if (rule.pauseMs !== undefined) await Bun.sleep(rule.pauseMs);
      if (!(await writeAll(socket, piece))) return sent;
      sent += piece.length;
      onSent(piece.length);
    }
  } finally {
    await file?.close();
  }
  if (sent === sizeOf(body)) return sent;
  // Bun's fetch loses what arrives together with the end of the connection.
  if (rule.closeAfter !== undefined) await Bun.sleep(closePauseMs);
  if (rule.stallAfter !== undefined) await closed(socket);
  return sent;
}

async function readPiece(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const { bytesRead, buffer } = await file.read(new Uint8Array(length), 0, length, at);
  return buffer.subarray(0, bytesRead);
}

/** Waits until the kernel has it. @returns false when the other side has gone. */
async function writeAll(socket: Socket, bytes: Uint8Array): Promise<boolean> {
  if (socket.destroyed) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onClose = () => resolve(false);
  socket.once("close", onClose);
  socket.write(bytes, (error) => resolve(!error));
  const isWritten = await promise;
  socket.off("close", onClose);
  return isWritten;
}

async function closed(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once("close", () => resolve());
  await promise;
}

/** Requests without bodies: a client that only pulls sends no others. */
async function* readRequests(socket: Socket, isTls: boolean): AsyncIterable<Request> {
  let text = "";
  let wake: () => void = () => undefined;
  socket.on("data", (data) => {
    text += data.toString("latin1");
    // Whoever speaks TLS to a port for HTTP is told so at once, as by any server.
    if (!/^[A-Z]/.test(text)) socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    wake();
  });
  socket.on("close", () => wake());
  for (;;) {
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      if (socket.destroyed) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await promise;
      continue;
    }
    const [first = "", ...lines] = text.slice(0, end).split("\r\n");
    text = text.slice(end + 4);
    const [method = "", target = ""] = first.split(" ");
    const pairs = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    yield { method, path: target.split("?", 1)[0]!, headers: new Map(pairs), isTls };
  }
}

function serve(port: number, directory: string, tls?: { certificate: string; key: string }): void {
  const server = new RegistryServer(directory);
  const onConnection = (isTls: boolean) => (socket: Socket) => {
    socket.setNoDelay(true);
    // The client may go at any time: what that means for an exchange is seen at its next write.
    socket.on("error", () => socket.destroy());
    void server.connection(socket, isTls);
  };
  createServer(onConnection(false)).listen(port, "127.0.0.1");
  if (tls === undefined) return;
  const pem = { cert: readFileSync(tls.certificate), key: readFileSync(tls.key) };
  createTlsServer(pem, onConnection(true)).listen(port + 1, "127.0.0.1");
}

if (import.meta.main) {
  const [port, directory, certificate, key] = process.argv.slice(2);
  serve(Number(port), directory!, certificate === undefined ? undefined : { certificate, key: key! });
}
