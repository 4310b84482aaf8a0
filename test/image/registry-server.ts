/**
 * A registry that serves a directory, and misbehaves as its rules.json says; run in a test's network namespace.
 *
 * `bun registry-server.ts PORT DIRECTORY`. The directory has blobs/HEX, manifests/NAME/REFERENCE and rules.json.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** How requests whose path matches are answered in place of the right answer. */
export interface Rule {
  /** A regular expression. */
  path: string;
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** The right answer, cut off after so many bytes, or followed by as many more. */
  truncate?: number;
  append?: number;
  /** The right answer, in pieces of so many bytes with a pause before each. */
  pieceBytes?: number;
  pauseMs?: number;
}

function serve(port: number, directory: string): void {
  Bun.serve({
    port,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request) {
      const url = new URL(request.url);
      note(directory, `${request.method} ${url.pathname} ${request.headers.get("range") ?? ""}`);
      request.signal.addEventListener("abort", () => note(directory, `LEFT ${url.pathname}`));
      const rules = JSON.parse(readFileSync(join(directory, "rules.json"), "utf8")) as Rule[];
      const rule = rules.find(({ path }) => new RegExp(path).test(url.pathname));
      if (rule && (rule.status !== undefined || rule.body !== undefined)) {
        return new Response(rule.body ?? "", { status: rule.status ?? 200, headers: rule.headers ?? {} });
      }
      return answer(directory, request, url, rule ?? { path: "" });
    },
  });
}

function answer(directory: string, request: Request, url: URL, rule: Rule): Response {
  if (url.pathname === "/v2/") return new Response("{}");
  const [, name, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
  const file =
    kind === "blobs"
      ? join(directory, "blobs", reference!.replace("sha256:", ""))
      : join(directory, "manifests", name ?? "", reference ?? "");
  if (kind === undefined || !existsSync(file)) {
    const code = kind === "manifests" ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN";
    return Response.json({ errors: [{ code, message: "unknown to this registry" }] }, { status: 404 });
  }
  let bytes: Uint8Array = readFileSync(file);
  const headers: Record<string, string> = {};
  if (kind === "manifests") {
    headers["content-type"] = (JSON.parse(Buffer.from(bytes).toString()) as { mediaType: string }).mediaType;
  }
  if (rule.truncate !== undefined) bytes = bytes.subarray(0, rule.truncate);
  if (rule.append !== undefined) bytes = Buffer.concat([bytes, Buffer.alloc(rule.append)]);
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
  const from = Number(asked?.[1] ?? 0);
  const rest = bytes.subarray(from, asked?.[2] ? Number(asked[2]) + 1 : undefined);
  const status = asked ? 206 : 200;
  if (asked) headers["content-range"] = `bytes ${from}-${from + rest.length - 1}/${bytes.length}`;
  if (request.method === "HEAD")
    return new Response(null, { headers: { ...headers, "content-length": String(rest.length) } });
  const body = rule.pieceBytes === undefined ? Buffer.from(rest) : pieces(rest, rule.pieceBytes, rule.pauseMs ?? 0);
  return new Response(body, { status, headers });
}

function note(directory: string, line: string): void {
  appendFileSync(join(directory, "requests"), `${line}\n`);
}

function pieces(bytes: Uint8Array, pieceBytes: number, pauseMs: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(pauseMs);
      if (at >= bytes.length) {
        controller.close();
        return;
      }
      controller.enqueue(new Uint8Array(bytes.subarray(at, at + pieceBytes)));
      at += pieceBytes;
    },
  });
}

if (import.meta.main) serve(Number(process.argv[2]), process.argv[3]!);
