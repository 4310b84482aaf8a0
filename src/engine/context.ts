import type { Database } from "bun:sqlite";
import type { KeyedLock } from "../core/lock.ts";
import type { Background } from "./background.ts";
import type { EngineConfiguration } from "./configuration.ts";
import type { Endings } from "./container/endings.ts";
import type { PolicyRestarts } from "./container/policy-restarts.ts";
import type { ContainerStore } from "./container/store.ts";
import type { EventBus } from "./event/bus.ts";
import type { EventHistory } from "./event/history.ts";
import type { Layout } from "./layout.ts";
import type { BundlePart, FilePart, ImagePart, KernelPart, NetworksPart, ShimSource, SnapshotPart } from "./parts.ts";
import type { OomEvents } from "./story/oom-events.ts";
import type { UserRanges } from "./userns/ranges.ts";
import type { Remap } from "./userns/remap.ts";
import type { SpareUserNamespace } from "./userns/spare.ts";
import type { VolumeService } from "./volume/volumes.ts";

/** What the engine's services share: the parts, and the containers as they are now. */
export interface EngineContext {
  configuration: EngineConfiguration;
  layout: Layout;
  database: Database;
  containers: ContainerStore;
  /** One operation at a time on a container, by its id. */
  locks: KeyedLock;
  endings: Endings;
  restarts: PolicyRestarts;
  events: EventBus;
  eventHistory: EventHistory;
  ooms: OomEvents;
  background: Background;
  images: ImagePart;
  snapshots: SnapshotPart;
  networks: NetworksPart;
  volumes: VolumeService;
  /** Of the host: it decides defaults. */
  readonly cgroupVersion: 1 | 2;
  /** Major and minor number. */
  readonly kernelVersion: readonly [number, number];
  /** Of containers that do not say in which user namespace they are to be. */
  remap: Remap;
  userRanges: UserRanges;
  spareUsers: SpareUserNamespace;
  shims: ShimSource;
  bundles: BundlePart;
  kernel: KernelPart;
  files: FilePart;
}
