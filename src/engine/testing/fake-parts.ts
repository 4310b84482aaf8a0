/** Parts that are plain objects, so that the engine's own rules are tested without root, kernel or network. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerCreateRequest } from "../../api/schema/container-config.ts";
import type { InterfaceStats } from "../../api/schema/stats.ts";
import { openDatabase } from "../../core/database.ts";
import { EngineError, isEngineError } from "../../core/errors.ts";
import type { Image } from "../../image/image.ts";
import type { DnsRequest } from "../../network/sandbox.ts";
import type { ImageConfigDefaults } from "../../oci/image.ts";
import type { LinuxResources } from "../../oci/runtime.ts";
import type { ExitRecord, ShimContainer, ShimState } from "../../shim/protocol.ts";
import { VolumeDrivers } from "../../volume/drivers.ts";
import { LocalDriver } from "../../volume/local/driver.ts";
import { VolumeStore, volumeSchema } from "../../volume/volumes.ts";
import type { EngineConfiguration } from "../configuration.ts";
import type { OomVictim } from "../container/end.ts";
import { ContainerStore } from "../container/store.ts";
import { containerSchema } from "../container/table.ts";
import { Engine, engineSchema, makeDirectories } from "../engine.ts";
import { eventSchema } from "../event/history.ts";
import { healthSchema } from "../health/table.ts";
import { Layout } from "../layout.ts";
import type { ContainerUsage, ImagePart, ShimPart, ShimSource, ShimStreamPart, SnapshotPart } from "../parts.ts";
import { FakeNetworks } from "./fake-networks.ts";

/** A shim whose container ends when the test says so. It outlives the engines of a test, as shims do. */
export class FakeShim implements ShimPart {
  readonly socket: string;
  container: ShimContainer | undefined;
  exit: ExitRecord | undefined;
  released = false;
  isClosed = false;
  paused = false;
  /** What limits were changed to. */
  readonly updates: LinuxResources[] = [];
  readonly signals: number[] = [];
  readonly closed: Promise<void>;
  readonly execs: string[] = [];
  readonly endedExecs: string[] = [];
  readonly #closing = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<ExitRecord>();
  readonly #world: FakeWorld;
  #isDead = false;

  constructor(world: FakeWorld) {
    this.#world = world;
    this.socket = `shim-${world.shims.length}`;
    this.closed = this.#closing.promise;
    this.#ended.promise.catch(() => undefined);
    world.shims.push(this);
  }

  async hello() {
    return { protocol: 1, version: "", pid: 1, status: "spare" as const, containerId: null };
  }

  async run(container: ShimContainer) {
    const failure = this.#world.startFailure;
    if (isEngineError(failure, "unavailable")) this.die();
    if (failure !== undefined) throw failure;
    await this.#world.beforeRun(container.id);
    this.container = container;
    const startedAt = new Date().toISOString();
    mkdirSync(container.stateDir, { recursive: true });
    const record = { version: 1, id: container.id, socket: this.socket, pid: process.pid, startedAt };
    writeFileSync(join(container.stateDir, "shim.json"), JSON.stringify(record));
    return { pid: process.pid, startedAt };
  }

  async pause(): Promise<void> {
    this.paused = true;
  }

  async resume(): Promise<void> {
    this.paused = false;
  }

  async update(resources: LinuxResources): Promise<void> {
    this.updates.push(resources);
  }

  async checkpoint({ images, leaveRunning }: Parameters<ShimPart["checkpoint"]>[0]): Promise<void> {
    const failure = this.#world.checkpointFailure;
    if (failure !== undefined) throw failure;
    mkdirSync(images);
    writeFileSync(join(images, "inventory.img"), "");
    if (!leaveRunning) this.end({ exitCode: 137, signal: "SIGKILL" });
  }

  wait(execId?: string): Promise<ExitRecord> {
    if (execId !== undefined) return Promise.resolve(exitRecord({ exitCode: 3 }));
    return this.#ended.promise;
  }

  /** The container's process ends; as the real one this one writes its record first. */
  end(exit: Partial<ExitRecord> = {}): void {
    this.exit = exitRecord(exit);
    writeFileSync(join(this.container!.stateDir, "exit.json"), JSON.stringify(this.exit));
    this.#ended.resolve(this.exit);
  }

  /** The shim itself is killed: no record, no answer. */
  die(): void {
    this.#isDead = true;
    this.isClosed = true;
    this.#closing.resolve();
    this.#ended.reject(new EngineError("unavailable", "the shim is gone"));
  }

  async signal(signal: number): Promise<void> {
    this.signals.push(signal);
    if (signal === 9 || this.#world.obeysTerm)
      this.end({ exitCode: 128 + signal, signal: signal === 9 ? "SIGKILL" : "SIGTERM" });
  }

  resize = async () => undefined;

  async endExec(execId: string): Promise<void> {
    this.endedExecs.push(execId);
  }

  async exec(options: { execId: string }) {
    this.execs.push(options.execId);
    const failure = this.#world.startFailure;
    if (failure !== undefined) throw failure;
    return { pid: 99, startedAt: new Date().toISOString() };
  }

  async state(): Promise<ShimState> {
    return {
      status: this.container === undefined ? "spare" : this.paused ? "paused" : "running",
      containerId: this.container?.id ?? null,
      pid: this.container === undefined ? null : process.pid,
      startedAt: new Date().toISOString(),
      exit: this.exit ?? null,
      execs: [],
      attached: 0,
      logLostLines: 0,
    };
  }

  async release(): Promise<boolean> {
    if (this.#isDead) throw new EngineError("unavailable", "the shim is gone");
    this.released = true;
    this.close();
    return false;
  }

  close(): void {
    this.isClosed = true;
    this.#closing.resolve();
  }

  async execAttached(options: { execId: string }) {
    return { started: await this.exec(options), stream: await this.attach() };
  }

  async attach(): Promise<ShimStreamPart> {
    const closing = Promise.withResolvers<void>();
    let sent = false;
    return {
      closed: closing.promise,
      seam: undefined,
      read: async () => {
        if (sent) return undefined;
        sent = true;
        return Buffer.from("output");
      },
      write: async () => undefined,
      end: () => undefined,
      close: () => closing.resolve(),
    };
  }
}

function exitRecord(exit: Partial<ExitRecord>): ExitRecord {
  return { exitCode: 0, signal: null, oomKilled: false, finishedAt: new Date().toISOString(), pid: 1, ...exit };
}

/** What lies outside the engine and survives it: a root, shims, and how the next start goes. */
export class FakeWorld implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "tsd-engine-"));
  readonly layout = new Layout(join(this.directory, "root"), join(this.directory, "state"));
  readonly shims: FakeShim[] = [];
  readonly networks = new FakeNetworks();
  readonly snapshotKeys = new Set<string>();
  readonly killedCgroups: string[] = [];
  readonly unmounted: string[] = [];
  /** What containers use, by their ids. */
  readonly usages = new Map<string, ContainerUsage>();
  /** What the processes of all containers see. */
  readonly interfaces = new Map<string, InterfaceStats>();
  startFailure: Error | undefined;
  /** Called with the id of each container that is about to run. */
  beforeRun: (id: string) => Promise<void> | void = () => undefined;
  checkpointFailure: Error | undefined;
  /** `--host-gateway-ip` */
  hostGateway: string[] | undefined;
  /** `--dns`, `--dns-search`, `--dns-opt` */
  dns: DnsRequest | undefined;
  /** Processes end at SIGTERM; else only at SIGKILL. */
  obeysTerm = true;
  readonly image = fakeImage({ Cmd: ["sh"], Env: ["PATH=/bin"] });

  oomVictim: OomVictim | undefined;
  /** What tells the engine that a container lacks memory, by its id. */
  readonly ooms = new Map<string, () => void>();

  /** A daemon over this world; one that was there before is taken for killed. */
  async open(): Promise<Engine> {
    makeDirectories(this.layout);
    const database = openDatabase(this.layout.database, [
      engineSchema,
      eventSchema,
      containerSchema,
      healthSchema,
      volumeSchema,
    ]);
    const volumes = new VolumeStore(database);
    return Engine.open(this.#configuration(), this.layout, {
      database,
      containers: new ContainerStore(database),
      images: this.#images(),
      snapshots: this.#snapshots(),
      networks: this.networks,
      volumes,
      volumeDrivers: new VolumeDrivers(new LocalDriver(this.layout.root, volumes.list())),
      shims: this.#shimSource(),
      kernel: {
        killCgroup: (path) => this.killedCgroups.push(path),
        removeCgroup: () => undefined,
        unmount: (directory) => this.unmounted.push(directory),
        processes: () => [process.pid],
        usage: (path) => this.usages.get(path.slice(path.lastIndexOf("/") + 1)),
        interfaces: () => this.interfaces,
        oomVictim: async () => this.oomVictim,
        followOom: (path, onOom) => {
          this.ooms.set(path.slice(path.lastIndexOf("/") + 1), onOom);
          return () => this.ooms.delete(path.slice(path.lastIndexOf("/") + 1));
        },
      },
      files: {
        stat: () => Promise.reject(new EngineError("not_found", "there are no files")),
        read: () => Promise.reject(new EngineError("not_found", "there are no files")),
        write: () => Promise.reject(new EngineError("not_found", "there are no files")),
      },
      facts: () => ({ controllers: new Set(["memory"]), swapLimit: true, apparmor: false }),
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #configuration(): EngineConfiguration {
    return {
      root: this.layout.root,
      state: this.layout.state,
      registryMirrors: [],
      insecureRegistries: [],
      runtimes: { other: "/usr/sbin/other" },
      defaultRuntime: "tsd",
      cgroupParent: "/tsd-test",
      network: {
        addresses: {},
        forwarding: true,
        options: {},
        publish: { mode: "nat" },
        ...(this.hostGateway && { hostGateway: this.hostGateway }),
        ...(this.dns && { dns: this.dns }),
      },
      debug: false,
    };
  }

  #images(): ImagePart {
    return {
      resolve: (reference) =>
        ["busybox", "busybox:latest", this.image.id].includes(reference) ? this.image : undefined,
      list: () => [],
      pull: async () => this.image,
      push: async () => undefined,
      login: async () => ({ identityToken: undefined }),
      describeRemote: async () => ({
        descriptor: { mediaType: this.image.mediaType, digest: this.image.id, size: 1 },
        platforms: [],
      }),
      pullTags: async () => undefined,
      remove: async () => [],
      removePlatforms: async () => [],
      tag: async () => undefined,
      manifests: () => [],
      attestations: () => [],
      layerBytes: () => [],
      identity: () => undefined,
      search: async () => [],
      remoteManifest: async () => {
        throw new EngineError("unavailable", "no registry");
      },
      pushRemoteIndex: async () => "",
      ensureUnpacked: async (image) => image,
      touch: () => undefined,
      collect: async () => [],
      totals: async () => ({ totalBytes: 0, reclaimableBytes: 0, activeImages: 0, images: 0 }),
      measure: async () => {
        throw new Error("nothing is stored");
      },
      prune: async () => undefined,
      check: async function* () {
        yield* [];
      },
      unpack: async () => undefined,
      downloadArchive: async (url) => ({ url, body: noBytes(), size: undefined }),
      importArchive: async () => "",
      commit: async () => "",
      loadArchive: async () => [],
      save: () => ({ ids: [], archive: noBytes() }),
      exportContainer: () => noBytes(),
    };
  }

  #snapshots(): SnapshotPart {
    const root = { lower: [join(this.directory, "lower")], upper: join(this.directory, "upper"), work: "" };
    for (const path of [root.lower[0]!, root.upper]) mkdirSync(path, { recursive: true });
    return {
      prepare: (key) => {
        this.snapshotKeys.add(key);
        return root;
      },
      whyNoLimit: () => undefined,
      hold: (key) => {
        this.snapshotKeys.add(key);
      },
      layers: () => root.lower,
      mounts: () => root,
      roomToMount: () => ({ [Symbol.dispose]: () => undefined }),
      remove: (key) => this.snapshotKeys.delete(key),
      retain: (keys) => {
        for (const key of this.snapshotKeys) if (!keys.has(key)) this.snapshotKeys.delete(key);
      },
      usage: async () => ({ bytes: 11 }),
    };
  }

  #shimSource(): ShimSource {
    return {
      take: async () => new FakeShim(this),
      giveBack: async (shim) => {
        await shim.release();
      },
      survivors: async () =>
        this.shims.flatMap((shim) => {
          const { container, exit } = shim;
          if (shim.isClosed || container === undefined) return [];
          const startedAt = new Date().toISOString();
          return [
            {
              shim,
              containerId: container.id,
              pid: process.pid,
              startedAt,
              ended: exit !== undefined,
              paused: shim.paused,
            },
          ];
        }),
      prepare: () => undefined,
      close: async () => undefined,
    };
  }
}

function fakeImage(config: ImageConfigDefaults): Image {
  const digest = `sha256:${"1".repeat(64)}` as const;
  return {
    id: digest,
    names: ["docker.io/library/busybox:latest"],
    manifestDigest: digest,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    documentBytes: 0,
    manifest: { schemaVersion: 2, config: { mediaType: "", digest, size: 0 }, layers: [] },
    configDigest: digest,
    config: { os: "linux", architecture: "amd64", config, rootfs: { type: "layers", diff_ids: [] } },
    platform: { os: "linux", architecture: "amd64" },
    chainId: undefined,
    isUnpacked: true,
    sizeBytes: 0,
    unpackedBytes: 100,
    createdAt: undefined,
    lastTaggedAt: "2026-01-01T00:00:00Z",
    lastUsedAt: "2026-01-01T00:00:00Z",
  };
}

/** A request for a container of the one image there is. */
export function busybox(request: ContainerCreateRequest = {}): ContainerCreateRequest {
  return { Image: "busybox", ...request };
}

async function* noBytes(): AsyncGenerator<Uint8Array, void, void> {
  yield new Uint8Array();
}
