/** A manifest as docker's command line keeps it in a local list, and the list as registries take it. */
import type { OciDescriptor, OciPlatform } from "../../api/schema/image.ts";
import type { RegistryManifest } from "../../api/schema/registry-manifest.ts";
import { EngineError } from "../../core/errors.ts";
import { isIndexMediaType, mediaTypes } from "../../oci/image.ts";
import { canonicalReference, parseReference, parseRepository, type Reference } from "../../oci/reference.ts";
import { goJson } from "../format.ts";

/** The keys and their order are docker's: both command lines read each other's files. */
export interface StoredManifest {
  /** Canonical: `docker.io/library/busybox:latest`. */
  Ref: string;
  Descriptor: OciDescriptor;
  /** The document as the registry has it, base64. */
  Raw: string;
  SchemaV2Manifest?: object;
  OCIManifest?: object;
}

/** A name as it is filed: with a tag or a digest. @throws EngineError invalid_argument in docker's words. */
export function listReference(text: string): Reference {
  return parseReference(text);
}

/** @throws EngineError invalid_argument for a list: what is stored is one image's. */
export function storedManifest(reference: string, { Descriptor, Raw }: RegistryManifest): StoredManifest {
  if (isIndexMediaType(Descriptor.mediaType)) {
    throw new EngineError("invalid_argument", `${reference} is a manifest list, and a list cannot hold another`, {
      hint: "name one of its manifests by digest: see manifest inspect",
    });
  }
  const manifest = JSON.parse(Buffer.from(Raw, "base64").toString()) as object;
  const isDocker = Descriptor.mediaType === mediaTypes.dockerManifest;
  return {
    Ref: reference,
    Descriptor: ordered(Descriptor),
    Raw,
    ...(isDocker ? { SchemaV2Manifest: manifest } : { OCIManifest: manifest }),
  };
}

/** With the fields in the order in which Go writes them. */
export function ordered({ mediaType, digest, size, platform, ...rest }: OciDescriptor): OciDescriptor {
  const { urls, annotations, artifactType } = rest;
  return {
    mediaType,
    digest,
    size,
    ...(urls && { urls }),
    ...(annotations && { annotations }),
    ...(platform && { platform: orderedPlatform(platform) }),
    ...(artifactType && { artifactType }),
  };
}

export function orderedPlatform(platform: OciPlatform): OciPlatform {
  const { architecture, os, variant } = platform;
  return {
    architecture,
    os,
    ...(platform["os.version"] && { "os.version": platform["os.version"] }),
    ...(platform["os.features"]?.length && { "os.features": platform["os.features"] }),
    ...(variant && { variant }),
  };
}

export interface IndexDocument {
  mediaType: string;
  /** As docker writes it: both command lines push the same bytes, which have one digest. */
  text: string;
}

/**
 * The list of these manifests under that name.
 * @throws EngineError invalid_argument for an image of another registry.
 */
export function indexDocument(
  target: Reference,
  manifests: readonly Pick<StoredManifest, "Ref" | "Descriptor">[],
): IndexDocument {
  const entries = manifests.map(({ Ref, Descriptor: { mediaType, size, digest, platform } }) => {
    const { registry } = parseRepository(Ref);
    if (registry !== target.registry) {
      const reason = "cannot use source images from a different registry than the target image";
      throw new EngineError("invalid_argument", `${reason}: ${registry} != ${target.registry}`);
    }
    return { mediaType, size, digest, platform: orderedPlatform(platform ?? { architecture: "", os: "" }) };
  });
  const isOci = entries[0]?.mediaType === mediaTypes.ociManifest;
  const mediaType = isOci ? mediaTypes.ociIndex : mediaTypes.dockerIndex;
  return { mediaType, text: goJson({ schemaVersion: 2, mediaType, manifests: entries }, 3) };
}

/** `name:tag@digest`: how docker names an entry of a list that it has read from a registry. */
export function entryReference(list: Reference, digest: string): string {
  return `${canonicalReference(list).replace(/@.*$/, "")}@${digest}`;
}
