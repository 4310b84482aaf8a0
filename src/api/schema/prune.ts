/** What the prune routes answer. Types only. */
import type { ImageDeleteItem } from "./image.ts";

export interface ImagesPruneResponse {
  /** On the wire null where nothing was deleted. */
  ImagesDeleted: ImageDeleteItem[] | null;
  SpaceReclaimed: number;
}

export interface ContainersPruneResponse {
  ContainersDeleted: string[] | null;
  SpaceReclaimed: number;
}

export interface VolumesPruneResponse {
  VolumesDeleted: string[];
  SpaceReclaimed: number;
}

export interface NetworksPruneResponse {
  /** Their names. */
  NetworksDeleted: string[] | null;
}
