/** What a repository has: its tags, and what refers to one of its manifests (distribution specification, "Content Discovery"). */
import { type Digest, digestAlgorithm, digestHex } from "../../core/digest.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import { type Descriptor, manifestBytesMax, mediaTypes, parseManifest } from "../../oci/image.ts";
import { isTag, type Reference, repositoryName } from "../reference.ts";
import type { Answered, Ask, RegistryRequests, RequestOptions } from "./requests.ts";
import { requestName } from "./transport.ts";

const pageSize = 1000;
/** A registry that says for ever that there is more is not believed for ever. */
const pagesMax = 1000;
const pageBytesMax = 16 * 2 ** 20;

/**
 * All tags of a repository, a page at a time.
 * @throws EngineError not_found, unauthorized, unavailable, corrupt for an answer that is no list, cancelled.
 */
export async function* listTags(
  requests: RegistryRequests,
  reference: Reference,
  options: RequestOptions = {},
): AsyncGenerator<string> {
  const ask: Ask = { reference, need: "resolve", path: "tags/list", query: { n: String(pageSize) } };
  for await (const answered of pages(requests, ask, options)) {
    const { tags } = (await readObject(answered)) as { tags?: unknown };
    // An empty repository has null.
    if (tags !== null && tags !== undefined && !Array.isArray(tags)) throw noList(answered, "tags");
    for (const tag of (tags ?? []) as unknown[]) {
      if (typeof tag !== "string" || !isTag(tag)) throw noList(answered, "tags");
      yield tag;
    }
  }
}

/** Where registries without the referrers API keep the list: under a tag (distribution specification, "Referrers Tag Schema"). */
export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject)}-${digestHex(subject).slice(0, 64)}`;
}

/**
 * The manifests whose subject is that manifest, or of them those of one type: signatures, attestations.
 * @returns none where the registry knows none.
 * @throws EngineError unauthorized, unavailable, corrupt, cancelled.
 */
export async function listReferrers(
  requests: RegistryRequests,
  reference: Reference,
  subject: Digest,
  options: RequestOptions & { artifactType?: string } = {},
): Promise<Descriptor[]> {
  const { artifactType } = options;
  const ask: Ask = {
    reference,
    need: "pull",
    path: `referrers/${subject}`,
    headers: { accept: mediaTypes.ociIndex },
    ...(artifactType !== undefined && { query: { artifactType } }),
    accepts: [404],
  };
  const found: Descriptor[] = [];
  for await (const answered of pages(requests, ask, options)) {
    const { response } = answered;
    if (response.status === 404) {
      await response.discard();
      found.push(...(await readReferrersTag(requests, reference, subject, options)));
      break;
    }
    found.push(...(await readIndex(answered, `referrers of ${subject}`)));
  }
  // A registry may leave the filter to whoever asks.
  return artifactType === undefined ? found : found.filter((one) => one.artifactType === artifactType);
}

/** @returns none where there is no such tag. */
export async function readReferrersTag(
  requests: RegistryRequests,
  reference: Reference,
  subject: Digest,
  options: RequestOptions,
): Promise<Descriptor[]> {
  try {
    const path = `manifests/${referrersTag(subject)}`;
    const headers = { accept: mediaTypes.ociIndex };
    const answered = await requests.ask({ reference, need: "resolve", path, headers }, options);
    return await readIndex(answered, `referrers of ${subject}`);
  } catch (error) {
    if (isEngineError(error, "not_found")) return [];
    throw error;
  }
}

async function readIndex({ response }: Answered, name: string): Promise<Descriptor[]> {
  const document = parseManifest(await response.bytes(manifestBytesMax), mediaTypes.ociIndex, name);
  return document.kind === "index" ? document.index.manifests : [];
}

/** Follows `Link: <…>; rel="next"` (RFC 8288). */
async function* pages(requests: RegistryRequests, ask: Ask, options: RequestOptions): AsyncGenerator<Answered> {
  let answered = await requests.ask(ask, options);
  const seen = new Set<string>();
  for (;;) {
    const next = nextPage(answered.response.headers.get("link"));
    yield answered;
    if (next === undefined) return;
    const { host, request } = answered;
    if (seen.has(next) || seen.size >= pagesMax) {
      throw new EngineError("unavailable", `${requestName(request)}: the list of ${name(ask)} has no end`);
    }
    seen.add(next);
    answered = await requests.follow(host, request, next, ask, options);
  }
}

function name({ reference, path }: Ask): string {
  return `${path.replace(/\/.*/, "")} of ${repositoryName(reference)}`;
}

function nextPage(link: string | null): string | undefined {
  for (const [, target, parameters] of (link ?? "").matchAll(/<([^>]*)>((?:\s*;\s*[^,;]+)*)/g)) {
    if (/;\s*rel\s*=\s*"?(?:[^"]*\s)?next(?:\s[^"]*)?"?\s*(?:;|$)/i.test(parameters!)) return target;
  }
  return undefined;
}

async function readObject(answered: Answered): Promise<object> {
  const text = Buffer.from(await answered.response.bytes(pageBytesMax)).toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw noList(answered, "JSON", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw noList(answered, "JSON");
  return value;
}

function noList({ request }: Answered, what: string, cause?: unknown): EngineError {
  return new EngineError("corrupt", `${requestName(request)}: the answer is no list of tags: no ${what}`, { cause });
}
