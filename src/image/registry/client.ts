/** Reads manifests and blobs from registries (OCI distribution specification 1.1, "Pull"). */
import { type Digest, digestAlgorithm, digestOf, parseDigest } from "../../core/digest.ts";
import { EngineError, errorMessage } from "../../core/errors.ts";
import { type Descriptor, manifestBytesMax, mediaTypes } from "../../oci/image.ts";
import type { RegistryCredentials } from "../image.ts";
import type { Reference } from "../reference.ts";
import { listReferrers, listTags } from "./listing.ts";
import { type LoginResult, login } from "./login.ts";
import { type Answered, type RegistryClientOptions, RegistryRequests, type RequestOptions } from "./requests.ts";
import { type RegistryRequest, type RegistryResponse, requestName } from "./transport.ts";

export type { RegistryClientOptions, RequestOptions } from "./requests.ts";

export interface FetchedManifest {
  bytes: Uint8Array;
  digest: Digest;
  mediaType: string;
}

export interface BlobStream {
  /** Where in the blob the body starts: what was asked for, or 0 where the registry knows no ranges. */
  offset: number;
  /** Did the registry answer with a range? Then it may be asked for others at the same time. */
  isRange: boolean;
  /** May go on behind the end that was asked for. */
  body: AsyncIterable<Uint8Array>;
}

export interface BlobRequestOptions extends RequestOptions {
  /** The first byte that is not wanted any more; without it the body goes on to the blob's end. */
  end?: number | undefined;
}

const acceptedManifests = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
].join(", ");

/** All registries of a daemon, for reading. */
export class RegistryClient {
  readonly requests: RegistryRequests;

  constructor(options: RegistryClientOptions = {}) {
    this.requests = new RegistryRequests(options);
  }

  get options(): RegistryClientOptions {
    return this.requests.options;
  }

  /**
   * The digest that a tag has now, without its manifest: HEAD does not count against rate limits.
   * @returns undefined where the registry does not say.
   * @throws EngineError not_found, unauthorized, unavailable, cancelled.
   */
  async resolve(reference: Reference, options: RequestOptions = {}): Promise<Digest | undefined> {
    const { request, response } = await this.#manifest(reference, "HEAD", reference.digest, options);
    await response.discard();
    return headerDigest(request, response);
  }

  /**
   * A manifest or an index by tag or digest; its bytes have that digest.
   * @param digest asked for instead of the reference's own tag or digest: an index's child.
   * @throws EngineError not_found, unauthorized, unavailable, corrupt, unsupported, cancelled.
   */
  async manifest(
    reference: Reference,
    options: RequestOptions = {},
    digest = reference.digest,
  ): Promise<FetchedManifest> {
    const { request, response } = await this.#manifest(reference, "GET", digest, options);
    const mediaType = manifestMediaType(request, response);
    const claimed = Number(response.headers.get("content-length") ?? 0);
    if (claimed > manifestBytesMax) {
      await response.discard();
      throw new EngineError(
        "corrupt",
        `${requestName(request)}: manifest of ${claimed} bytes is larger than ${manifestBytesMax}`,
      );
    }
    const bytes = await response.bytes(manifestBytesMax);
    const expected = digest ?? headerDigest(request, response);
    const actual = digestOf(bytes, expected && digestAlgorithm(expected));
    if (expected !== undefined && actual !== expected) {
      throw new EngineError("corrupt", `${requestName(request)}: manifest has digest ${actual}, not ${expected}`);
    }
    return { bytes, digest: actual, mediaType: mediaType ?? sniffedMediaType(bytes) };
  }

  /**
   * A blob from `offset` on. Nothing is verified here: the bytes are to be hashed as they come.
   * @throws EngineError not_found, unauthorized, unavailable, cancelled.
   */
  async blob(
    reference: Reference,
    digest: Digest,
    offset: number,
    { end, ...options }: BlobRequestOptions = {},
  ): Promise<BlobStream> {
    const isWhole = offset === 0 && end === undefined;
    const headers: Record<string, string> = isWhole
      ? {}
      : { range: `bytes=${offset}-${end === undefined ? "" : end - 1}` };
    // "Range not satisfiable" is for whoever asked for one.
    const accepts = isWhole ? [] : [416];
    const { request, response } = await this.requests.ask(
      { reference, need: "pull", path: `blobs/${digest}`, headers, accepts },
      options,
    );
    const fault = blobFault(response);
    if (fault !== undefined) {
      await response.discard();
      throw new EngineError("unsupported", `${requestName(request)}: expected a blob, got ${fault}`);
    }
    if (response.status === 200) return { offset: 0, isRange: false, body: response.body };
    const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    const isRange = response.status === 206 && start !== undefined;
    if (isRange && Number(start) === offset) return { offset, isRange, body: response.body };
    await response.discard();
    // A registry, or a cache before it, that gets ranges wrong may still have the blob as a whole.
    if (!isWhole) return this.blob(reference, digest, 0, options);
    const answer = `${response.status} ${response.statusText}`.trim();
    throw new EngineError("unavailable", `${requestName(request)}: asked for the whole blob, got ${answer}`);
  }

  /** All tags of a repository, a page at a time. @throws EngineError not_found, unauthorized, unavailable, corrupt, cancelled. */
  tags(reference: Reference, options: RequestOptions = {}): AsyncGenerator<string> {
    return listTags(this.requests, reference, options);
  }

  /** What refers to a manifest: signatures, attestations; none where the registry knows none. */
  referrers(
    reference: Reference,
    subject: Digest,
    options: RequestOptions & { artifactType?: string } = {},
  ): Promise<Descriptor[]> {
    return listReferrers(this.requests, reference, subject, options);
  }

  /** @throws EngineError unauthorized, unavailable, cancelled. */
  login(registry: string, credentials: RegistryCredentials, signal?: AbortSignal): Promise<LoginResult> {
    return login(this.requests, registry, credentials, signal);
  }

  /** A name is resolved, a digest is pulled: a mirror may be there for the one and not for the other. */
  #manifest(
    reference: Reference,
    method: "GET" | "HEAD",
    digest: Digest | undefined,
    options: RequestOptions,
  ): Promise<Answered> {
    const path = `manifests/${digest ?? reference.tag}`;
    const need = digest === undefined ? "resolve" : "pull";
    return this.requests.ask({ reference, need, method, path, headers: { accept: acceptedManifests } }, options);
  }
}

function headerDigest(request: RegistryRequest, response: RegistryResponse): Digest | undefined {
  const text = response.headers.get("docker-content-digest");
  try {
    return text === null ? undefined : parseDigest(text);
  } catch (error) {
    const what = `${requestName(request)}: Docker-Content-Digest: ${errorMessage(error)}`;
    throw new EngineError("corrupt", what, { cause: error });
  }
}

/** What an answer says of itself by which it cannot be a blob: none of it is to be stored as a beginning of one. */
function blobFault({ headers }: RegistryResponse): string | undefined {
  const [type = ""] = (headers.get("content-type") ?? "").toLowerCase().split(/\s*;/, 1);
  if (type === "text/html") return "a web page: is it a registry?";
  const encoding = (headers.get("content-encoding") ?? "identity").toLowerCase();
  return encoding === "identity" ? undefined : `content-encoding ${JSON.stringify(encoding)}, which was not asked for`;
}

/** @returns undefined where the registry names no type of manifest and the document has to say itself. */
function manifestMediaType(request: RegistryRequest, response: RegistryResponse): string | undefined {
  const [type = ""] = (response.headers.get("content-type") ?? "").toLowerCase().split(/\s*;/, 1);
  if (acceptedManifests.split(", ").includes(type)) return type;
  if (["", "application/json", "application/octet-stream", "text/plain"].includes(type)) return undefined;
  const what =
    type === "text/html" ? "a web page: is it a registry?" : `unsupported media type ${JSON.stringify(type)}`;
  throw new EngineError("unsupported", `${requestName(request)}: expected a manifest, got ${what}`);
}

function sniffedMediaType(bytes: Uint8Array): string {
  try {
    const document = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    if (typeof document.mediaType === "string") return document.mediaType;
    // The specification's advice for documents without a type.
    return "manifests" in document ? mediaTypes.ociIndex : mediaTypes.ociManifest;
  } catch {
    return mediaTypes.ociManifest; // and parseManifest says that it is no JSON
  }
}
