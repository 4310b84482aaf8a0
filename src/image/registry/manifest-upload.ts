/** Puts manifests into a registry, and where it has no list of its own keeps that of what refers to them. */
import { type Digest, digestAlgorithm, digestOf } from "../../core/digest.ts";
import { EngineError } from "../../core/errors.ts";
import { type Descriptor, mediaTypes, parseManifest } from "../../oci/image.ts";
import type { Reference } from "../reference.ts";
import { bodyOf } from "./authorization.ts";
import { registryFailure } from "./failure.ts";
import { readReferrersTag, referrersTag } from "./listing.ts";
import type { Ask, RegistryRequests, RequestOptions } from "./requests.ts";
import { requestName } from "./transport.ts";
import { patiently, refusals } from "./upload.ts";

export interface UploadManifest {
  bytes: Uint8Array;
  digest: Digest;
  mediaType: string;
}

/** Has the registry that manifest in that repository? */
export async function hasManifest(
  requests: RegistryRequests,
  reference: Reference,
  digest: Digest,
  options: RequestOptions,
): Promise<boolean> {
  const headers = { accept: Object.values(mediaTypes).join(", ") };
  const ask: Ask = {
    reference,
    need: "push",
    method: "HEAD",
    path: `manifests/${digest}`,
    headers,
    accepts: [404, 405],
  };
  const { response } = await requests.ask(ask, options);
  await response.discard();
  return response.status === 200;
}

/**
 * @param name a tag, or the manifest's own digest.
 * @throws EngineError unauthorized, unavailable, corrupt when the registry has stored something else, cancelled.
 */
export async function uploadManifest(
  requests: RegistryRequests,
  reference: Reference,
  name: string,
  manifest: UploadManifest,
  options: RequestOptions,
): Promise<void> {
  const { bytes, digest, mediaType } = manifest;
  const headers = { "content-type": mediaType };
  const ask: Ask = {
    reference,
    need: "push",
    method: "PUT",
    path: `manifests/${name}`,
    headers,
    body: bodyOf(bytes),
    patience: 4,
    accepts: refusals,
  };
  const { request, response } = await patiently(
    requests.retryDelayMs,
    () => requests.ask(ask, options),
    options.signal,
  );
  if (refusals.includes(response.status)) throw await registryFailure(reference, request, response, "push");
  await response.discard();
  const stored = response.headers.get("docker-content-digest");
  const isSame = stored === null || stored === digest || stored.split(":")[0] !== digestAlgorithm(digest);
  if (!isSame) {
    throw new EngineError("corrupt", `${requestName(request)}: the registry stored ${stored} in place of ${digest}`);
  }
  if (response.headers.get("oci-subject") === null) await addReferrer(requests, reference, manifest, options);
}

/** Of registries without the referrers API ("Pushing Manifests with Subject"). */
async function addReferrer(
  requests: RegistryRequests,
  reference: Reference,
  { bytes, digest, mediaType }: UploadManifest,
  options: RequestOptions,
): Promise<void> {
  const document = parseManifest(bytes, mediaType, `manifest ${digest}`);
  const content = document.kind === "index" ? document.index : document.manifest;
  if (!content.subject) return;
  const known = await readReferrersTag(requests, reference, content.subject.digest, options);
  if (known.some((one) => one.digest === digest)) return;
  const artifactType =
    content.artifactType ?? (document.kind === "manifest" ? document.manifest.config.mediaType : undefined);
  const descriptor: Descriptor = {
    mediaType,
    digest,
    size: bytes.length,
    ...(content.annotations && { annotations: content.annotations }),
    ...(artifactType !== undefined && { artifactType }),
  };
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...known, descriptor] };
  const list = new TextEncoder().encode(JSON.stringify(index));
  const upload = { bytes: list, digest: digestOf(list), mediaType: mediaTypes.ociIndex };
  await uploadManifest(requests, reference, referrersTag(content.subject.digest), upload, options);
}
