/**
 * What the engine needs of the parts that it composes, declared by what it calls: the daemon puts in the real ones,
 * tests their own.
 */

import type { Descriptor } from "../../ffi/fd.ts";
import type { ContainerConfig, HostConfig } from "../api/schema/container-config.ts";
import type { ExecCreateRequest } from "../api/schema/exec.ts";
import type { ImageIdentity } from "../api/schema/image.ts";
import type { InterfaceStats } from "../api/schema/stats.ts";
import type { BundleImageConfig, BundleInput, BundleMount, BundleUser } from "../bundle/input.ts";
import type { LimitRefusal } from "../core/directory-limits.ts";
import type { CountedFiles } from "../core/disk-usage.ts";
import type { CommitOptions } from "../image/archive/commit.ts";
import type { RemoteArchive } from "../image/archive/download-archive.ts";
import type { ImportOptions } from "../image/archive/import.ts";
import type { LoadedImage, LoadOptions } from "../image/archive/load.ts";
import type { Attestation, AttestationOptions } from "../image/attestations.ts";
import type { CheckEvent, CheckOptions } from "../image/check/finding.ts";
import type { Collected, CollectOptions } from "../image/collection/collected.ts";
import type { CopyRoot } from "../image/copy/child.ts";
import type { Reading } from "../image/copy/copier.ts";
import type { CopyReport, CopyRequest, PathStat } from "../image/copy/protocol.ts";
import type { RemoteImage } from "../image/describe-remote.ts";
import type { Image, ImageSummary, PullProgress, RegistryCredentials, RemoveResult } from "../image/image.ts";
import type { StoredManifest } from "../image/manifests.ts";
import type { PushOptions } from "../image/push.ts";
import type { Reference } from "../image/reference.ts";
import type { RequestOptions } from "../image/registry/client.ts";
import type { LoginResult } from "../image/registry/login.ts";
import type {
  CopiedImage,
  ManifestDocument,
  RemoteManifest,
  RemoteOptions,
} from "../image/registry/remote-manifests.ts";
import type { FoundRepository, SearchOptions } from "../image/registry/search.ts";
import type { RemovePlatformsOptions } from "../image/remove-platforms.ts";
import type { ImageTotals, StoreUsage } from "../image/store-usage.ts";
import type { Network, NetworkMember, NetworkRequest, SubnetStatus } from "../network/network.ts";
import type { ContainerNames, EndpointRequest, Sandbox, SandboxRequest } from "../network/sandbox.ts";
import type { Platform } from "../oci/image.ts";
import type { LinuxResources, OciMount, OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import type { CgroupStats } from "../runtime/cgroup/stats-types.ts";
import type { ShimClient, ShimStream } from "../shim/client.ts";
import type { StartResult } from "../shim/protocol.ts";
import type { ContainerDefinition } from "./container/definition.ts";
import type { OomVictim } from "./container/end.ts";

export interface ImagePart {
  /** By name, digest, or a beginning of the id; of the platform, if one is given. */
  resolve(reference: string, platform?: Platform): Image | undefined;
  list(): ImageSummary[];
  pull(
    reference: string,
    options: {
      platform?: Platform;
      credentials?: RegistryCredentials;
      onProgress: (progress: PullProgress) => void;
      signal: AbortSignal;
    },
  ): Promise<Image>;
  /** Brings an image, or without tag and digest all of a repository, to its registry. */
  push(reference: Reference, options: PushOptions): Promise<void>;
  /** @param server as users write it: `https://index.docker.io/v1/`, `registry.example:5000`. */
  login(server: string, credentials: RegistryCredentials, signal: AbortSignal): Promise<LoginResult>;
  /** What the registry has under that name. */
  describeRemote(reference: Reference, options: RequestOptions): Promise<RemoteImage>;
  /** All that a repository has tags for. @param onImage told of each, with its name. */
  pullTags(
    repository: string,
    options: Parameters<ImagePart["pull"]>[1],
    onImage: (name: string, image: Image) => void,
  ): Promise<void>;
  remove(reference: string, options: { force: boolean }): Promise<RemoveResult[]>;
  removePlatforms(reference: string, options: RemovePlatformsOptions): Promise<RemoveResult[]>;
  /** Gives an image a name. */
  tag(id: Image["id"], name: string): Promise<void>;
  /** The manifests of its index, whether they are here or not; or its one manifest. */
  manifests(image: Pick<Image, "id" | "mediaType" | "documentBytes">): StoredManifest[];
  attestations(image: Image, options: AttestationOptions): Attestation[];
  /** Of its unpacked layers, from the bottom up; none where they are not unpacked. */
  layerBytes(image: Image): number[];
  /** A manifest of a registry, which stays there. */
  remoteManifest(reference: string, options: RemoteOptions): Promise<RemoteManifest>;
  pushRemoteIndex(
    reference: string,
    index: ManifestDocument,
    images: readonly CopiedImage[],
    options: RemoteOptions,
  ): Promise<string>;
  /** Asks an index. */
  search(options: SearchOptions): Promise<FoundRepository[]>;
  /** Where it came from; undefined where that is not known. */
  identity(id: Image["id"]): ImageIdentity | undefined;
  /** Unpacks what is only stored. To be called before a snapshot of the image is prepared. */
  ensureUnpacked(image: Image): Promise<Image>;
  /** Removes what nothing refers to, and images when there is too little space. */
  collect(options: CollectOptions): Promise<Collected[]>;
  /** Compares what is stored with the records, and puts it right if asked to. */
  check(options: CheckOptions): AsyncGenerator<CheckEvent, void, void>;
  /** What images take, by the records. */
  totals(): Promise<ImageTotals>;
  /** What content and snapshots take on the disk, each byte under one heading. */
  measure(counted: CountedFiles): Promise<StoreUsage>;
  /** Removes an image with its names unless a container or a lease has it. @returns undefined when it stays. */
  prune(id: string): Promise<{ results: RemoveResult[]; bytes: number } | undefined>;
  /** Records that the image is used now. */
  touch(id: string): void;
  /** Writes the image's files into a directory that is there and empty. */
  unpack(image: Image, directory: string, signal: AbortSignal): Promise<void>;
  /** Images as an archive, and their ids. @throws EngineError not_found for a name that stands for none. */
  save(
    names: readonly string[],
    platforms: readonly Platform[],
    signal: AbortSignal,
  ): { ids: string[]; archive: AsyncIterable<Uint8Array> };
  loadArchive(archive: AsyncIterable<Uint8Array>, options: LoadOptions): Promise<LoadedImage[]>;
  /** What lies at an address of the web. */
  downloadArchive(location: string, signal: AbortSignal): Promise<RemoteArchive>;
  /** @returns the image's id. */
  importArchive(archive: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<string>;
  /** @param key the container's id. @param parent its image. @returns the new image's id. */
  commit(key: string, parent: Image, options: CommitOptions): Promise<string>;
  /** A container's file system as a tar archive, without what is mounted in it. @param key the container's id. */
  exportContainer(key: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface OverlayRoot {
  /** Topmost first. */
  lower: string[];
  upper: string;
  work: string;
}

/** The writable layers of containers, by container id. */
export interface SnapshotPart {
  /** Synchronous: it may be part of the transaction that stores the container. @param limit what it may write, in bytes. */
  prepare(key: string, image: Image, limit?: number): OverlayRoot;
  /** Why what containers write cannot be limited; undefined where it can. */
  whyNoLimit(): LimitRefusal | undefined;
  mounts(key: string): OverlayRoot;
  /** To be held while it is mounted to be written to: what is limited may be full. */
  roomToMount(key: string): Disposable;
  /** Keeps the layers of an image that is mounted in the container until `remove`. Synchronous, too. */
  hold(key: string, image: Pick<Image, "chainId">): void;
  /**
   * An image's directories, topmost first: two at least, or none of one without layers.
   * @throws EngineError corrupt when one is missing.
   */
  layers(chainId: Image["chainId"]): string[];
  remove(key: string): void;
  /** Removes those of all other keys. */
  retain(keys: ReadonlySet<string>): void;
  /** What is in the writable layer. */
  usage(key: string): Promise<{ bytes: number }>;
}

/** Networks and sandboxes. */
export interface NetworksPart {
  /** @throws EngineError invalid_argument, conflict, already_exists; nothing half made is left. */
  create(request: NetworkRequest): Promise<{ network: Network; warnings: string[] }>;
  /** @throws EngineError forbidden, as Docker has it, when a container is on it, and for one that is built in. */
  remove(id: string): Promise<void>;
  /** By name, id, or a beginning of the id that is unique. @throws EngineError not_found, or ambiguous ids. */
  find(reference: string): Network;
  list(): Network[];
  /** Running containers on it. */
  members(id: string): NetworkMember[];
  status(id: string): SubnetStatus[];
  /** What it writes to the database is written before it first waits; what was begun is undone when it fails. */
  attach(containerId: string, request: SandboxRequest): Promise<Sandbox>;
  /**
   * Makes ahead what a container in this user namespace will need, which `attach` is given as the same object: on the
   * default network, or on none.
   */
  prepare(userNamespace: Descriptor, isConnected: boolean): void;
  /** Takes a container off all networks; nothing happens when it is on none. */
  detach(containerId: string): Promise<void>;
  sandbox(containerId: string): Sandbox | undefined;
  /** Puts a container that runs on one more network. */
  connect(containerId: string, request: EndpointRequest): Promise<Sandbox>;
  disconnect(containerId: string, networkId: string): Promise<Sandbox>;
  /** A container that runs is called something else; undefined when it is on no network. */
  rename(containerId: string, called: ContainerNames): Promise<Sandbox | undefined>;
  /**
   * Takes over the sandboxes of containers that live on, by their ids, and removes everything else that an earlier
   * daemon left.
   */
  restore(live: ReadonlyMap<string, { namespacePath: string }>): Promise<void>;
  warnings(): string[];
}

export type ShimStreamPart = Pick<ShimStream, "read" | "write" | "end" | "close" | "closed" | "seam">;

/** A shim, as its client shows it. */
export type ShimPart = Pick<
  ShimClient,
  | "hello"
  | "run"
  | "wait"
  | "signal"
  | "resize"
  | "pause"
  | "resume"
  | "update"
  | "checkpoint"
  | "exec"
  | "endExec"
  | "state"
  | "release"
  | "close"
  | "isClosed"
  | "closed"
> & {
  attach(options: Parameters<ShimClient["attach"]>[0]): Promise<ShimStreamPart>;
  execAttached(
    ...options: Parameters<ShimClient["execAttached"]>
  ): Promise<{ stream: ShimStreamPart; started: StartResult }>;
};

export interface SurvivingShim {
  shim: ShimPart;
  containerId: string;
  pid: number;
  /** RFC 3339. */
  startedAt: string;
  /** The process has ended meanwhile, and its namespaces with it. */
  ended: boolean;
  /** Its processes stand still. */
  paused: boolean;
  /** It does not answer yet: the rest is what is on record. Undefined when it ends without an answer, or has nothing. */
  late?: Promise<SurvivingShim | undefined>;
}

export interface ShimSource {
  /** A shim without a container. @param group of containers whose shims are in one process. */
  take(group?: string): Promise<ShimPart>;
  /** Lets go of a shim whose container has ended; it may serve another. @throws EngineError unavailable when it was killed. */
  giveBack(shim: ShimPart): Promise<void>;
  prepare(): void;
  /**
   * The shims of an earlier daemon that have a container; a start that was under way has come to its end. Those without
   * one are ended, and the sockets of those that are gone are removed.
   */
  survivors(): Promise<SurvivingShim[]>;
  close(): Promise<void>;
}

/** config.json and what belongs to it. Layers are directories, topmost first. */
export interface BundlePart {
  /** Writes the program of `--init`, too, if the container has one: its directory is there. */
  config(input: Omit<BundleInput, "host">): RuntimeConfig;
  /**
   * Takes away the limits that the host's kernel has nothing for, with a warning for each.
   * @throws EngineError invalid_argument for wrong ones.
   */
  settleLimits(hostConfig: HostConfig, options?: { isUpdate?: boolean }): SettledLimits;
  /** Of the limits that an update speaks of, what has to be written for a container that runs. */
  updateResources(asked: HostConfig, before: HostConfig, after: HostConfig): LinuxResources;
  /** HostConfig's MaskedPaths and ReadonlyPaths as they will be; none for a container that may see all. */
  hiddenPaths(hostConfig: HostConfig): Pick<HostConfig, "MaskedPaths" | "ReadonlyPaths">;
  /** @throws EngineError invalid_argument for what no container can have: an unknown capability, limit, option. */
  check(config: ContainerConfig, hostConfig: HostConfig): void;
  /** The user as the container's own files have it. @throws EngineError invalid_argument for one that is not there. */
  user(layers: readonly string[], user: string, groupAdd: readonly string[]): BundleUser;
  /** What is mounted in a container beside the kernel's file systems: volumes, binds. */
  mounts(hostConfig: HostConfig, mounts: readonly BundleMount[]): OciMount[];
  /** Of CDI, as they are now. */
  discoveredDevices(): DiscoveredDevices;
  /** For `tsd bundle`: no container, no daemon. */
  imageConfig(image: BundleImageConfig, user: BundleUser): RuntimeConfig;
  /** A further process of a container. */
  process(definition: ContainerDefinition, request: ExecCreateRequest, surroundings: ProcessSurroundings): OciProcess;
}

export interface DiscoveredDevices {
  /** `vendor.com/class=name`, sorted. */
  names: string[];
  /** A line for each file that cannot be used. */
  warnings: string[];
}

export interface SettledLimits {
  hostConfig: HostConfig;
  warnings: string[];
}

/** What a further process has of its container beside the definition. */
export interface ProcessSurroundings {
  /** Topmost first. */
  layers: readonly string[];
  /** Of its links; the container's own variables go before them. */
  extraEnvironment: string[];
}

/** Files of a container, read and written by somebody who sees nothing else. */
export interface FilePart {
  /** @throws EngineError not_found, invalid_argument, forbidden for a path of the kernel's; it names the path. */
  stat(root: CopyRoot, path: string, options: { signal: AbortSignal }): Promise<PathStat>;
  /** The archive is made as it is asked for. It is to be read to its end, or returned. */
  read(root: CopyRoot, path: string, options: { signal: AbortSignal }): Promise<Reading>;
  write(
    root: CopyRoot,
    request: Omit<CopyRequest & { verb: "write" }, "verb">,
    archive: AsyncIterable<Uint8Array>,
    options: { signal: AbortSignal },
  ): Promise<CopyReport>;
}

/** What a cgroup counts of what docker's stats show. */
export type ContainerUsage = Pick<CgroupStats, "cpu" | "memory" | "pids" | "blockIO">;

/** What the engine asks of the kernel about containers. */
export interface KernelPart {
  /** Ends whatever runs in the container's cgroup. */
  killCgroup(cgroupPath: string): void;
  removeCgroup(cgroupPath: string): void;
  /** Takes away what is mounted on the directory, if anything is. */
  unmount(directory: string): void;
  /** Every process of a container, by the host's numbers, in their order. */
  processes(cgroupPath: string): number[];
  /** What a container uses; undefined where it has no cgroup any more. */
  usage(cgroupPath: string): ContainerUsage | undefined;
  /**
   * Hears of each time that processes of a container are ended for want of memory. @param past also of before.
   * @returns how to end that; undefined where nothing can be heard.
   */
  followOom(cgroupPath: string, onOom: () => void, options: { past: boolean }): (() => void) | undefined;
  /** Which process of a container the kernel has ended for want of memory since then, as far as its log says so. */
  oomVictim(containerId: string, sinceMs: number): Promise<OomVictim | undefined>;
  /** Counters of the interfaces that a process sees, by their names there; undefined when it has ended. */
  interfaces(pid: number): ReadonlyMap<string, InterfaceStats> | undefined;
}
