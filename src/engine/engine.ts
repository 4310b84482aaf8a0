/** The engine: its services over the parts, and what happens when it opens and closes. */
import type { Database } from "bun:sqlite";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { type Schema, withoutSync } from "../core/database.ts";
import { initiatedByEngine } from "../core/initiator.ts";
import { KeyedLock } from "../core/lock.ts";
import { log } from "../core/log.ts";
import type { VolumeDrivers } from "../volume/drivers.ts";
import type { VolumeStore } from "../volume/volumes.ts";
import { ArchiveService } from "./archive/archives.ts";
import { Background } from "./background.ts";
import { Bundles } from "./bundles.ts";
import type { EngineConfiguration } from "./configuration.ts";
import { startAtBoot } from "./container/boot.ts";
import { CheckpointService } from "./container/checkpoint.ts";
import { ContainerService } from "./container/containers.ts";
import { Endings } from "./container/endings.ts";
import { PolicyRestarts } from "./container/policy-restarts.ts";
import { restartByPolicy } from "./container/start.ts";
import type { ContainerStore } from "./container/store.ts";
import type { EngineContext } from "./context.ts";
import { EventBus } from "./event/bus.ts";
import { EventService } from "./event/events.ts";
import { defaultEventRetention, EventHistory } from "./event/history.ts";
import { ExecService } from "./exec/execs.ts";
import { FileService } from "./files/files.ts";
import { HealthMonitor } from "./health/monitor.ts";
import { Collector } from "./image/collector.ts";
import { ImageService } from "./image/images.ts";
import { RegistryService } from "./image/registry.ts";
import { RegistryManifestService } from "./image/registry-manifests.ts";
import type { Layout } from "./layout.ts";
import { NetworkService } from "./network/networks.ts";
import { PortService } from "./network/ports.ts";
import { ObservationService } from "./observation/observation.ts";
import type { FilePart, ImagePart, KernelPart, NetworksPart, ShimSource, SnapshotPart } from "./parts.ts";
import { reconcile } from "./reconcile.ts";
import { StorageService } from "./storage/storage.ts";
import { OomEvents } from "./story/oom-events.ts";
import { StoryService } from "./story/story.ts";
import { type HostFacts, SystemService } from "./system/system.ts";
import { HostFiles } from "./userns/host-files.ts";
import { makeUserNamespace } from "./userns/open.ts";
import { UserRanges } from "./userns/ranges.ts";
import { resolveRemap } from "./userns/remap.ts";
import { SpareUserNamespace } from "./userns/spare.ts";
import { VolumeManagement } from "./volume/management.ts";
import { VolumeService } from "./volume/volumes.ts";

/** Facts about the engine itself. */
export const engineSchema: Schema = {
  part: "engine",
  steps: ["CREATE TABLE engine_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"],
};

export interface EngineParts {
  database: Database;
  containers: ContainerStore;
  images: ImagePart;
  snapshots: SnapshotPart;
  networks: NetworksPart;
  volumes: VolumeStore;
  volumeDrivers: VolumeDrivers;
  shims: ShimSource;
  kernel: KernelPart;
  files: FilePart;
  facts: () => HostFacts;
}

export class Engine {
  readonly containers: ContainerService;
  readonly exec: ExecService;
  readonly observation: ObservationService;
  readonly checkpoints: CheckpointService;
  readonly images: ImageService;
  readonly registryManifests: RegistryManifestService;
  readonly archives: ArchiveService;
  readonly files: FileService;
  readonly registry: RegistryService;
  readonly system: SystemService;
  readonly events: EventService;
  readonly networks: NetworkService;
  readonly ports: PortService;
  readonly stories: StoryService;
  readonly volumes: VolumeManagement;
  readonly storage: StorageService;
  readonly #health: HealthMonitor;
  readonly #collector: Collector;
  readonly #context: EngineContext;
  readonly #ending = new AbortController();

  private constructor(context: EngineContext, engineId: string, facts: () => HostFacts) {
    this.#context = context;
    this.exec = new ExecService(context);
    this.#health = new HealthMonitor(context, this.exec);
    this.containers = new ContainerService(context, this.exec);
    this.observation = new ObservationService(context);
    this.checkpoints = new CheckpointService(context);
    this.images = new ImageService(context);
    this.registryManifests = new RegistryManifestService(context);
    this.registry = new RegistryService(context);
    this.archives = new ArchiveService(context);
    this.files = new FileService(context);
    this.system = new SystemService(context, engineId, facts);
    this.networks = new NetworkService(context);
    this.ports = new PortService(context);
    this.stories = new StoryService(context);
    this.events = new EventService(context.events);
    this.volumes = new VolumeManagement(context);
    this.#collector = new Collector(context);
    this.storage = new StorageService(context, this.containers, this.#collector);
  }

  /** Opens the engine and makes records, shims and kernel agree; containers that run go on running. */
  static async open(configuration: EngineConfiguration, layout: Layout, parts: EngineParts): Promise<Engine> {
    const { facts, volumes: store, volumeDrivers: drivers, ...rest } = parts;
    const eventHistory = new EventHistory(parts.database, configuration.events ?? defaultEventRetention);
    const events = new EventBus(eventHistory);
    const bundles = new Bundles(layout, configuration.cdiFolders ?? []);
    const hostFiles = new HostFiles();
    const userRanges = new UserRanges(hostFiles, configuration.root);
    const background = new Background();
    const restarts = new PolicyRestarts(background, (container) =>
      initiatedByEngine("policy", () => restartByPolicy(context, container)),
    );
    const context: EngineContext = {
      ...rest,
      configuration,
      layout,
      bundles,
      locks: new KeyedLock(),
      endings: new Endings(),
      events,
      background,
      restarts,
      eventHistory,
      ooms: new OomEvents({ ...rest, configuration, events, eventHistory }),
      volumes: new VolumeService({ store, drivers, events }),
      remap: resolveRemap(configuration.usernsRemap ?? "", hostFiles),
      userRanges,
      spareUsers: new SpareUserNamespace({
        ranges: userRanges,
        make: makeUserNamespace,
        // For this boot only: no need to wait for the disk.
        prepare: (namespace, isConnected) =>
          withoutSync(parts.database, () => parts.networks.prepare(namespace, isConnected)),
      }),
      get kernelVersion() {
        return bundles.host.kernel;
      },
      get cgroupVersion() {
        return bundles.host.cgroupVersion;
      },
    };
    const engine = new Engine(context, engineId(parts.database), facts);
    const isSameBoot = rememberBoot(parts.database);
    const found = await initiatedByEngine("boot", () => reconcile(context, isSameBoot));
    engine.#health.adopt();
    context.ooms.adopt();
    if (found.adopted + found.ended + found.leftovers > 0) log("info", "found from an earlier daemon", { ...found });
    restarts.open();
    const booted = initiatedByEngine("boot", () => startAtBoot(context, engine.#ending.signal));
    background.run("start what restart policies want to run", "", booted);
    return engine;
  }

  /** What a first container would otherwise wait for, done while nobody waits. */
  warmUp(): void {
    this.#context.shims.prepare();
    void this.#context.cgroupVersion;
    this.#collector.start();
  }

  /** The daemon is about to cut its clients off: none of them has left. */
  beginClose(): void {
    this.exec.close();
  }

  /** The daemon ends; containers do not. Everything that is due is written. */
  async close(): Promise<void> {
    this.#context.spareUsers.close();
    this.#context.restarts.close();
    this.#context.ooms.close();
    this.#ending.abort();
    await this.#collector.close();
    this.#health.close();
    await this.#context.background.close();
    this.#context.containers.flush();
    this.#context.eventHistory.flush();
    await this.#context.shims.close();
  }
}

/** Makes the directories that everything lies in. @throws Node's error when the file system refuses. */
export function makeDirectories(layout: Layout): void {
  mkdirSync(layout.root, { recursive: true, mode: 0o710 });
  mkdirSync(layout.containers, { recursive: true, mode: 0o710 });
  mkdirSync(layout.state, { recursive: true, mode: 0o711 });
  mkdirSync(layout.containerStates, { recursive: true, mode: 0o700 });
}

/** A name for this root that stays. */
function engineId(database: Database): string {
  return readFact(database, "id") ?? storeFact(database, "id", randomUUID());
}

/** @returns whether the kernel is still the one that the last daemon ran on: then /run, too, is what it was. */
function rememberBoot(database: Database): boolean {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  if (readFact(database, "boot") === boot) return true;
  storeFact(database, "boot", boot);
  return false;
}

function readFact(database: Database, name: string): string | undefined {
  return (
    database.query<{ value: string }, [string]>("SELECT value FROM engine_facts WHERE name = ?").get(name)?.value ??
    undefined
  );
}

function storeFact(database: Database, name: string, value: string): string {
  database.run("INSERT OR REPLACE INTO engine_facts (name, value) VALUES (?, ?)", [name, value]);
  return value;
}
