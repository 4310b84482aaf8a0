import type {
  ContainerCreateResponse,
  ContainerInspect,
  ContainerSummary,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  WaitCondition,
} from "../api/schema/container.ts";
import type { ContainerCreateRequest, ContainerUpdateRequest } from "../api/schema/container-config.ts";
import type { EventMessage } from "../api/schema/event.ts";
import type { Filters } from "../api/schema/filters.ts";
import type {
  ImageDeleteItem,
  ImageHistoryItem,
  ImageInspect,
  ImageSearchItem,
  ImageSummary,
  OciPlatform,
} from "../api/schema/image.ts";
import type { JsonMessage } from "../api/schema/progress.ts";
import type { ManifestPush, ManifestPushed, RegistryManifest } from "../api/schema/registry-manifest.ts";
import type { ExecRunRequest, RunRequest } from "../api/schema/run-protocol.ts";
import type { SystemInfo, VersionResponse } from "../api/schema/system.ts";
import { EngineError } from "../core/errors.ts";
import { parseExactJson } from "../core/exact-json.ts";
import { type HijackedConnection, hijack } from "./hijack.ts";
import type { DaemonAddress } from "./host.ts";
import { type Query, request } from "./http.ts";
import { jsonLines } from "./json-lines.ts";

export interface AttachQuery {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  logs?: boolean;
  detachKeys?: string;
}

export interface StartOptions {
  detachKeys?: string;
  /** To start from, in place of the program. */
  checkpoint?: string;
  /** On the daemon's host; absent: the container's own. */
  checkpointDirectory?: string;
}

export interface StopOptions {
  /** By name or number. Absent: the container's own, as with the timeout. */
  signal?: string;
  /** Until it is killed; negative: never. */
  timeoutSeconds?: number;
}

export interface LogsQuery {
  stdout: boolean;
  stderr: boolean;
  follow: boolean;
  timestamps: boolean;
  details?: boolean;
  /** Seconds since the epoch, with up to nine decimals. */
  since?: string;
  until?: string;
  /** A number, or `all`. */
  tail?: string;
}

/** On the wire timeNano is a number, more than a double holds in any year that matters. */
export type EventLine = Omit<EventMessage, "timeNano"> & { timeNano: number | bigint };

/** The daemon, as the command line sees it: one method a route, EngineError for every refusal. */
export class Client {
  readonly address: DaemonAddress;

  constructor(address: DaemonAddress) {
    this.address = address;
  }

  version(): Promise<VersionResponse> {
    return this.#json("GET", "/version");
  }

  info(): Promise<SystemInfo> {
    return this.#json("GET", "/info");
  }

  async *events(options: { filters: Filters; since?: string; until?: string }): AsyncGenerator<EventLine> {
    const query = { ...options, filters: JSON.stringify(options.filters) };
    const response = await request(this.address, "GET", "/events", { query });
    yield* jsonLines<EventLine>(response.chunks(), parseExactJson);
  }

  // Containers

  listContainers(options: {
    all: boolean;
    limit?: number;
    size: boolean;
    filters: Filters;
  }): Promise<ContainerSummary[]> {
    return this.#json("GET", "/containers/json", { ...options, filters: JSON.stringify(options.filters) });
  }

  createContainer(
    body: ContainerCreateRequest,
    options: { name?: string; platform?: string },
  ): Promise<ContainerCreateResponse> {
    return this.#json("POST", "/containers/create", { ...options }, body);
  }

  inspectContainer(name: string, options: { size?: boolean } = {}): Promise<ContainerInspect> {
    return this.#json("GET", container(name, "json"), options);
  }

  async startContainer(
    name: string,
    { checkpoint, checkpointDirectory, ...options }: StartOptions = {},
  ): Promise<void> {
    const query = { ...options, checkpoint, "checkpoint-dir": checkpointDirectory };
    await request(this.address, "POST", container(name, "start"), { query });
  }

  async stopContainer(name: string, options: StopOptions = {}): Promise<void> {
    const query = { signal: options.signal, t: options.timeoutSeconds };
    await request(this.address, "POST", container(name, "stop"), { query });
  }

  async restartContainer(name: string, options: StopOptions = {}): Promise<void> {
    const query = { signal: options.signal, t: options.timeoutSeconds };
    await request(this.address, "POST", container(name, "restart"), { query });
  }

  async renameContainer(name: string, newName: string): Promise<void> {
    await request(this.address, "POST", container(name, "rename"), { query: { name: newName } });
  }

  updateContainer(name: string, body: ContainerUpdateRequest): Promise<ContainerUpdateResponse> {
    return this.#json("POST", container(name, "update"), {}, body);
  }

  async pauseContainer(name: string): Promise<void> {
    await request(this.address, "POST", container(name, "pause"));
  }

  async unpauseContainer(name: string): Promise<void> {
    await request(this.address, "POST", container(name, "unpause"));
  }

  async killContainer(name: string, signal: string): Promise<void> {
    await request(this.address, "POST", container(name, "kill"), { query: { signal } });
  }

  async removeContainer(name: string, options: { force: boolean; volumes: boolean; link?: boolean }): Promise<void> {
    const query = { force: options.force, v: options.volumes, link: options.link || undefined };
    await request(this.address, "DELETE", container(name), { query });
  }

  /** Resolves to the promise of the end when the daemon has begun to wait: a start that follows is not missed. */
  async beginWait(name: string, condition: WaitCondition): Promise<{ exited: Promise<ContainerWaitResponse> }> {
    const response = await request(this.address, "POST", container(name, "wait"), { query: { condition } });
    const exited = response.json<ContainerWaitResponse>();
    // Whoever asked may fail before it gets to wait; that is not another error.
    exited.catch(() => undefined);
    return { exited };
  }

  async waitContainer(name: string, condition: WaitCondition): Promise<ContainerWaitResponse> {
    return (await this.beginWait(name, condition)).exited;
  }

  async resizeContainer(name: string, size: { h: number; w: number }): Promise<void> {
    await request(this.address, "POST", container(name, "resize"), { query: size });
  }

  attach(name: string, options: AttachQuery): Promise<HijackedConnection> {
    return hijack(this.address, container(name, "attach"), { query: { stream: true, ...options } });
  }

  /** docker's 8-byte frames, or raw bytes of a container with a terminal. */
  async logs(name: string, options: LogsQuery): Promise<AsyncGenerator<Uint8Array, void, void>> {
    const response = await request(this.address, "GET", container(name, "logs"), { query: { ...options } });
    return response.chunks();
  }

  /** The fast path: create, attach, start, wait and remove in one connection (src/api/schema/run-protocol.ts). */
  run(body: RunRequest, options: { auth?: string } = {}): Promise<HijackedConnection> {
    const headers = options.auth === undefined ? {} : { "X-Registry-Auth": options.auth };
    return hijack(this.address, "/tsd/run", { body, upgrade: "tsd-run", headers });
  }

  // Exec

  /** The fast path: create, start and inspect of an exec in one connection. */
  exec(body: ExecRunRequest): Promise<HijackedConnection> {
    return hijack(this.address, "/tsd/exec", { body, upgrade: "tsd-run" });
  }

  async resizeExec(id: string, size: { h: number; w: number }): Promise<void> {
    await request(this.address, "POST", `/exec/${id}/resize`, { query: size });
  }

  // Images

  listImages(options: { all: boolean; filters: Filters; manifests?: boolean }): Promise<ImageSummary[]> {
    const query = { all: options.all, manifests: options.manifests, filters: JSON.stringify(options.filters) };
    return this.#json("GET", "/images/json", query);
  }

  inspectImage(name: string, options: { platform?: OciPlatform } = {}): Promise<ImageInspect> {
    const query = options.platform && { platform: JSON.stringify(options.platform) };
    return this.#json("GET", `/images/${imagePath(name)}/json`, query);
  }

  imageHistory(name: string, options: { platform?: OciPlatform } = {}): Promise<ImageHistoryItem[]> {
    const query = options.platform && { platform: JSON.stringify(options.platform) };
    return this.#json("GET", `/images/${imagePath(name)}/history`, query);
  }

  async tagImage(name: string, target: { repo: string; tag?: string }): Promise<void> {
    await request(this.address, "POST", `/images/${imagePath(name)}/tag`, { query: target });
  }

  /** @param options.platforms only these of the image. */
  removeImage(
    name: string,
    options: { force: boolean; noprune: boolean; platforms?: readonly OciPlatform[] },
  ): Promise<ImageDeleteItem[]> {
    const { platforms, ...query } = options;
    const list = platforms?.map((platform) => JSON.stringify(platform));
    return this.#json("DELETE", `/images/${imagePath(name)}`, { ...query, platforms: list });
  }

  searchImages(options: { term: string; limit?: number; filters: Filters; auth?: string }): Promise<ImageSearchItem[]> {
    const { auth, filters, ...query } = options;
    return this.#json("GET", "/images/search", { ...query, filters: JSON.stringify(filters) }, undefined, {
      ...(auth !== undefined && { "x-registry-auth": auth }),
    });
  }

  // A registry's manifests

  registryManifest(
    reference: string,
    options: { insecure: boolean; auth?: string | undefined },
  ): Promise<RegistryManifest> {
    return this.#json("GET", "/tsd/registry/manifest", { reference, insecure: options.insecure }, undefined, {
      ...(options.auth !== undefined && { "x-registry-auth": options.auth }),
    });
  }

  pushRegistryManifest(
    reference: string,
    body: ManifestPush,
    options: { insecure: boolean; auth?: string | undefined },
  ): Promise<ManifestPushed> {
    return this.#json("PUT", "/tsd/registry/manifest", { reference, insecure: options.insecure }, body, {
      ...(options.auth !== undefined && { "x-registry-auth": options.auth }),
    });
  }

  async *pullImage(
    reference: { image: string; tag?: string; platform?: string },
    options: { signal?: AbortSignal; auth?: string } = {},
  ): AsyncGenerator<JsonMessage> {
    const { signal, auth } = options;
    const response = await request(this.address, "POST", "/images/create", {
      query: { fromImage: reference.image, tag: reference.tag, platform: reference.platform },
      ...(auth !== undefined && { headers: { "x-registry-auth": auth } }),
      ...(signal && { signal }),
    });
    yield* jsonLines<JsonMessage>(response.chunks());
  }

  /** @param body.directory absolute, on the daemon's host. */
  async *bundleImage(
    body: { image: string; directory: string; platform?: string; pull?: string },
    { auth }: { auth?: string } = {},
  ): AsyncGenerator<JsonMessage> {
    const response = await request(this.address, "POST", "/tsd/bundle", {
      body,
      ...(auth !== undefined && { headers: { "x-registry-auth": auth } }),
    });
    yield* jsonLines<JsonMessage>(response.chunks());
  }

  async #json<T>(
    method: string,
    path: string,
    query: Query = {},
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<T> {
    const options = { query, ...(body !== undefined && { body }), ...(headers && { headers }) };
    const response = await request(this.address, method, path, options);
    return response.json<T>();
  }
}

function container(name: string, action = ""): string {
  return `/containers/${encodeURIComponent(name)}${action === "" ? "" : `/${action}`}`;
}

/** Names of images keep their slashes. @throws EngineError invalid_argument for none: that would be another route. */
export function imagePath(name: string): string {
  if (name.trim() === "") throw new EngineError("invalid_argument", "image name cannot be blank");
  return name.split("/").map(encodeURIComponent).join("/");
}
