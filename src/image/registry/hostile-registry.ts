/** A registry for tests, which misbehaves as told. */
import { type Digest, digestOf } from "../../core/digest.ts";
import { mediaTypes } from "../../oci/image.ts";
import { UploadServer } from "./upload-server.ts";

export interface SeenRequest {
  method: string;
  path: string;
  authorization: string | null;
  range: string | null;
}

type Handler = (request: Request, url: URL) => Response | undefined | Promise<Response | undefined>;

export class TestRegistry {
  readonly blobs = new Map<string, Uint8Array>();
  readonly manifests = new Map<string, { bytes: Uint8Array; mediaType: string }>();
  readonly seen: SeenRequest[] = [];
  /** Asked before the well-behaved answer; undefined lets that through. */
  misbehave: Handler = () => undefined;
  supportsRanges = true;
  /** Has the referrers API, and says so to whoever pushes a manifest with a subject. */
  supportsReferrers = true;
  readonly uploads = new UploadServer(this);
  readonly #server: Bun.Server<undefined>;

  constructor(tls?: Bun.TLSOptions) {
    this.#server = Bun.serve({
      ...(tls && { tls }),
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    });
  }

  get host(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  addBlob(bytes: Uint8Array): { digest: Digest; size: number } {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  }

  /** Files a document under its digest, and a tag where one is given. */
  addManifest(document: object, options: { tag?: string; mediaType?: string } = {}): Digest {
    const mediaType = options.mediaType ?? (document as { mediaType?: string }).mediaType ?? mediaTypes.ociManifest;
    const bytes = new TextEncoder().encode(JSON.stringify(document));
    const digest = digestOf(bytes);
    for (const name of [digest, ...(options.tag ? [options.tag] : [])]) this.manifests.set(name, { bytes, mediaType });
    return digest;
  }

  /** Requests for that kind of thing. */
  count(kind: "manifests" | "blobs", method = "GET"): number {
    return this.seen.filter((request) => request.method === method && request.path.includes(`/${kind}/`)).length;
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const { headers, method } = request;
    const [authorization, range] = [headers.get("authorization"), headers.get("range")];
    this.seen.push({ method, path: url.pathname, authorization, range });
    const misbehaviour = await this.misbehave(request, url);
    if (misbehaviour) return misbehaviour;
    const taken = await this.uploads.answer(request, url);
    if (taken) return taken;
    const [, kind, name] = /^\/v2\/.+\/(manifests|blobs)\/([^/]+)$/.exec(url.pathname) ?? [];
    if (kind === "manifests") {
      const manifest = this.manifests.get(name!);
      if (!manifest) return registryError(404, "MANIFEST_UNKNOWN", "manifest unknown");
      return new Response(method === "HEAD" ? null : Buffer.from(manifest.bytes), {
        headers: { "content-type": manifest.mediaType, "docker-content-digest": digestOf(manifest.bytes) },
      });
    }
    const blob = this.blobs.get(name ?? "");
    if (!blob) return registryError(404, "BLOB_UNKNOWN", "blob unknown to registry");
    const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
    if (!asked || !this.supportsRanges) return new Response(Buffer.from(blob));
    const offset = Number(asked[1]);
    const part = blob.subarray(offset, asked[2] === "" ? undefined : Number(asked[2]) + 1);
    return new Response(Buffer.from(part), {
      status: 206,
      headers: { "content-range": `bytes ${offset}-${offset + part.length - 1}/${blob.length}` },
    });
  }
}

export function registryError(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json({ errors: [{ code, message }] }, { status, headers });
}

/** A body whose pieces come with pauses between them. */
export function slowBody(pieces: (Uint8Array | string)[], pauseMs: number): ReadableStream<Uint8Array> {
  let index = 0;
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(pauseMs);
      const piece = pieces[index++];
      if (piece !== undefined) controller.enqueue(new Uint8Array(Buffer.from(piece)));
      else controller.close();
    },
  });
}
