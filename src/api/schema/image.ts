/** What the image routes answer. Types only. */
import type { HealthConfig } from "./container-config.ts";

/** OCI image specification, descriptor.md, with Docker's lower-case keys. */
export interface OciDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  urls?: string[] | undefined;
  annotations?: Record<string, string> | undefined;
  platform?: OciPlatform | undefined;
  artifactType?: string | undefined;
}

export interface OciPlatform {
  architecture: string;
  os: string;
  "os.version"?: string | undefined;
  "os.features"?: string[] | undefined;
  variant?: string | undefined;
}

export interface ImageManifestSummary {
  ID: string;
  Descriptor: OciDescriptor;
  /** Whether everything below the manifest is here. */
  Available: boolean;
  Size: { Content: number; Total: number };
  Kind: "image" | "attestation" | "unknown";
  ImageData?: { Platform: OciPlatform; Identity?: ImageIdentity; Containers: string[]; Size: { Unpacked: number } };
  AttestationData?: { For: string };
}

/** Where an image came from, as the daemon itself has seen. */
export interface ImageIdentity {
  /** The repositories that it was pulled from or pushed to: `docker.io/library/busybox`. */
  Pull?: { Repository: string }[];
}

/** The image's `config` object; Docker leaves out what is empty since API 1.52. */
export interface InspectedImageConfig {
  User?: string;
  ExposedPorts?: Record<string, object>;
  Env?: string[];
  Cmd?: string[];
  Healthcheck?: HealthConfig;
  ArgsEscaped?: boolean;
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  Entrypoint?: string[];
  OnBuild?: string[];
  Labels?: Record<string, string>;
  StopSignal?: string;
  Shell?: string[];
}

export interface ImageInspect {
  /** The digest of the manifest or index, as in Docker 29. */
  Id: string;
  Descriptor?: OciDescriptor;
  Manifests?: ImageManifestSummary[];
  Identity?: ImageIdentity;
  RepoTags: string[];
  RepoDigests: string[];
  Comment?: string;
  Created?: string;
  Author?: string;
  Config: InspectedImageConfig;
  Architecture: string;
  Variant?: string;
  Os: string;
  OsVersion?: string;
  /** Bytes, compressed content and unpacked snapshots together. */
  Size: number;
  GraphDriver?: { Name: string; Data: Record<string, string> | null };
  RootFS: { Type: string; Layers?: string[] };
  Metadata: { LastTagTime?: string };
}

/** One row of GET /images/json. */
export interface ImageSummary {
  Id: string;
  ParentId: string;
  RepoTags: string[];
  RepoDigests: string[];
  /** Seconds since the epoch. */
  Created: number;
  Size: number;
  /** -1 when it was not computed. */
  SharedSize: number;
  Labels: Record<string, string>;
  /** How many containers use it; the route answers -1 to clients before API 1.51. */
  Containers: number;
  Manifests?: ImageManifestSummary[];
  Descriptor?: OciDescriptor;
}

/** A step of how an image was made, the newest first. */
export interface ImageHistoryItem {
  /** The image's id in the newest; `<missing>` in all others. */
  Id: string;
  /** Seconds since the epoch; 0 where the image does not say. */
  Created: number;
  CreatedBy: string;
  Tags: string[] | null;
  /** Bytes of its unpacked layer; 0 where it made none. */
  Size: number;
  Comment: string;
}

/** An in-toto statement that is attached to an image. */
export interface AttestationStatement {
  Descriptor: OciDescriptor;
  PredicateType: string;
  /** As it is stored; only where it is asked for. */
  Statement?: object;
}

/** What a registry found. Its keys are as the index's search of version 1 has them. */
export interface ImageSearchItem {
  star_count: number;
  is_official: boolean;
  name: string;
  is_automated: boolean;
  description: string;
}

export type ImageDeleteItem = { Untagged: string } | { Deleted: string };

/** X-Registry-Auth: base64url JSON. */
export interface AuthConfig {
  username?: string;
  password?: string;
  auth?: string;
  email?: string;
  serveraddress?: string;
  identitytoken?: string;
  registrytoken?: string;
}
