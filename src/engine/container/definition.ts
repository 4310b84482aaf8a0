import type { MountPoint } from "../../api/schema/container.ts";
import type { ContainerConfig, EndpointSettings, HostConfig } from "../../api/schema/container-config.ts";
import type { OciDescriptor } from "../../api/schema/image.ts";
import type { Digest } from "../../core/digest.ts";
import type { MountIdMapping } from "../mount/id-mapping.ts";
import type { UserNamespace } from "../userns/mapping.ts";

/**
 * What a container is: everything that create decided, of which `update` changes limits, and others the endpoints and
 * links. Stored as JSON; fields are only ever added, and absent ones read as their old meaning.
 */
export interface ContainerDefinition {
  /** Of the image, as Docker 29 has it: the digest of its manifest or index. */
  imageId: string;
  imageManifest?: OciDescriptor;
  /** `os/arch[/variant]` of the manifest that was chosen. */
  platform: string;
  /** The request's config with what the image adds. */
  config: ContainerConfig;
  hostConfig: HostConfig;
  /**
   * What was asked for on each network that the container is on, by the network's name, with its id; `connect` and
   * `disconnect` change it. Empty for a container that shares another's. Of older containers the id may be missing.
   */
  endpoints: Record<string, EndpointSettings>;
  /** An update of its limits while it ran was begun: what they were before. Whoever finds this finishes it. */
  updatedFrom?: HostConfig;
  /** Entry point and command in one: never empty. */
  command: string[];
  mounts: ContainerMount[];
  /** What it may write to its own layer, in bytes; absent: no limit. */
  storageBytes?: number;
  /** How the process is confined and driven: the name of a runtime, "" for the one inside tsd. */
  runtime: string;
  /** Absent: the host's. */
  userNamespace?: UserNamespace;
}

/** A mount that the container asked for, with its source settled. */
export interface ContainerMount extends MountPoint {
  /** A bind's source that is missing is made when the container starts. */
  createSource?: boolean;
  nonRecursive?: boolean;
  readOnlyNonRecursive?: boolean;
  readOnlyForceRecursive?: boolean;
  idMapping?: MountIdMapping;
  /** Of the volume or image only what is there. */
  subpath?: string;
  /** Whose files an image mount has: the image itself may be gone by now, its layers are not. */
  image?: { id: string; manifestDigest: string; chainId?: Digest };
  /** The volume was made for this container: removed with it when that is asked for. */
  anonymous?: boolean;
  /** Of a tmpfs, as in HostConfig.Tmpfs. */
  tmpfsOptions?: string;
}
