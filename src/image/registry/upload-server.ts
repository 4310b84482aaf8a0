/** The half of a test's registry that takes content (distribution specification, "Push"). */
import { digestOf } from "../../core/digest.ts";
import { registryError, type TestRegistry } from "./hostile-registry.ts";

export class UploadServer {
  readonly #registry: TestRegistry;
  readonly #open = new Map<string, { pieces: Uint8Array[]; size: number }>();
  #serial = 0;
  /** OCI-Chunk-Min-Length of new uploads. */
  chunkMin: number | undefined;
  /** Bytes of a request that are taken before the connection is cut, once. */
  cutAfter: number | undefined;
  /** A longer body than that gets 413. */
  bodyMax = Number.POSITIVE_INFINITY;
  /** Where blobs can be mounted from: `repository digest`. */
  readonly mountable = new Set<string>();
  /** Content-Range and length of each PATCH, as `-5` or `5-9 5`. */
  readonly patches: string[] = [];

  constructor(registry: TestRegistry) {
    this.#registry = registry;
  }

  async answer(request: Request, url: URL): Promise<Response | undefined> {
    const [, repository = "", rest = ""] =
      /^\/v2\/(.+)\/(blobs\/uploads\/.*|manifests\/[^/]+)$/.exec(url.pathname) ?? [];
    if (rest === "blobs/uploads/" && request.method === "POST") return this.#begin(repository, url);
    if (rest.startsWith("blobs/uploads/")) return this.#proceed(request, url, repository);
    if (rest.startsWith("manifests/") && request.method === "PUT") {
      return this.#manifest(request, repository, rest.slice("manifests/".length));
    }
    return undefined;
  }

  #begin(repository: string, url: URL): Response {
    const [mount, from] = [url.searchParams.get("mount"), url.searchParams.get("from")];
    if (mount !== null && this.mountable.has(`${from} ${mount}`)) {
      this.#registry.blobs.set(mount, new Uint8Array(0));
      return new Response(null, { status: 201, headers: { location: `/v2/${repository}/blobs/${mount}` } });
    }
    const id = `u${++this.#serial}`;
    this.#open.set(id, { pieces: [], size: 0 });
    const minimum = this.chunkMin === undefined ? {} : { "oci-chunk-min-length": String(this.chunkMin) };
    return this.#state(202, repository, id, minimum);
  }

  async #proceed(request: Request, url: URL, repository: string): Promise<Response> {
    const id = url.pathname.split("/").at(-1)!;
    const have = this.#open.get(id);
    if (!have) return registryError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    if (request.method === "DELETE") {
      this.#open.delete(id);
      return new Response(null, { status: 204 });
    }
    if (request.method === "GET") return this.#state(204, repository, id);
    if (Number(request.headers.get("content-length")) > this.bodyMax) return new Response("<html>", { status: 413 });
    if (request.method === "PATCH") {
      const range = request.headers.get("content-range");
      this.patches.push(`${range ?? "-"} ${request.headers.get("content-length")}`);
      if (range !== null && Number(range.split("-")[0]) !== have.size) {
        return this.#state(416, repository, id);
      }
    }
    const taken = await this.#take(request, id);
    if (!taken) return registryError(500, "UNKNOWN", "cut");
    if (request.method === "PATCH") return this.#state(202, repository, id);
    const digest = url.searchParams.get("digest")!;
    const whole = Buffer.concat(have.pieces);
    if (digestOf(whole) !== digest) return registryError(400, "DIGEST_INVALID", "provided digest did not match");
    this.#open.delete(id);
    this.#registry.blobs.set(digest, whole);
    return new Response(null, { status: 201, headers: { location: `/v2/${repository}/blobs/${digest}` } });
  }

  /** @returns false when the connection was to be cut. */
  async #take(request: Request, id: string): Promise<boolean> {
    const upload = this.#open.get(id)!;
    const add = (piece: Uint8Array) => {
      upload.pieces.push(piece);
      upload.size += piece.length;
    };
    for await (const piece of request.body ?? []) {
      if (this.cutAfter !== undefined && upload.size + piece.length >= this.cutAfter) {
        add(piece.subarray(0, this.cutAfter - upload.size));
        this.cutAfter = undefined;
        return false;
      }
      add(piece);
    }
    return true;
  }

  #state(status: number, repository: string, id: string, headers: Record<string, string> = {}): Response {
    const { size } = this.#open.get(id)!;
    return new Response(null, {
      status,
      headers: {
        location: `/v2/${repository}/blobs/uploads/${id}?s=${size}`,
        range: `0-${Math.max(0, size - 1)}`,
        ...headers,
      },
    });
  }

  async #manifest(request: Request, repository: string, name: string): Promise<Response> {
    const bytes = await request.bytes();
    const digest = digestOf(bytes);
    const mediaType = request.headers.get("content-type") ?? "";
    for (const key of new Set([name, digest])) this.#registry.manifests.set(key, { bytes, mediaType });
    const { subject } = JSON.parse(Buffer.from(bytes).toString()) as { subject?: { digest: string } };
    return new Response(null, {
      status: 201,
      headers: {
        location: `/v2/${repository}/manifests/${digest}`,
        "docker-content-digest": digest,
        ...(subject && this.#registry.supportsReferrers && { "oci-subject": subject.digest }),
      },
    });
  }
}
