import type { ArchiveBackend } from "./archives.ts";
import type { CheckpointBackend } from "./checkpoints.ts";
import type { ContainerBackend } from "./containers.ts";
import type { ExecBackend } from "./exec.ts";
import type { FileBackend } from "./files.ts";
import type { ImageBackend } from "./images.ts";
import type { NetworkBackend } from "./networks.ts";
import type { ObservationBackend } from "./observation.ts";
import type { PortBackend } from "./ports.ts";
import type { RegistryBackend } from "./registry.ts";
import type { RegistryManifestBackend } from "./registry-manifests.ts";
import type { StorageBackend } from "./storage.ts";
import type { StoryBackend } from "./story.ts";
import type { EventBackend, SystemBackend } from "./system.ts";
import type { VolumeBackend } from "./volumes.ts";

/** The engine, as the API sees it: structural, so that the engine need not import this. */
export interface Backends {
  containers: ContainerBackend;
  checkpoints: CheckpointBackend;
  exec: ExecBackend;
  observation: ObservationBackend;
  images: ImageBackend;
  networks: NetworkBackend;
  ports: PortBackend;
  registryManifests: RegistryManifestBackend;
  archives: ArchiveBackend;
  files: FileBackend;
  volumes: VolumeBackend;
  system: SystemBackend;
  registry: RegistryBackend;
  storage: StorageBackend;
  events: EventBackend;
  stories: StoryBackend;
}
