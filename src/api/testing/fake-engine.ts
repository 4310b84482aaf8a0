/** Backends whose containers run in this process, for tests of the routes and of clients. */
import { EngineError } from "../../core/errors.ts";
import { newId } from "../../core/id.ts";
import { parseSignal } from "../../core/signals.ts";
import { apiVersion, minApiVersion } from "../../core/version.ts";
import type { ArchiveBackend } from "../backend/archives.ts";
import type { Backends } from "../backend/backends.ts";
import type { CheckpointBackend } from "../backend/checkpoints.ts";
import type { ContainerBackend, LogOptions, TerminalSize } from "../backend/containers.ts";
import type { ExecBackend } from "../backend/exec.ts";
import type { FileBackend } from "../backend/files.ts";
import type { ImageBackend } from "../backend/images.ts";
import type { NetworkBackend } from "../backend/networks.ts";
import type { ObservationBackend } from "../backend/observation.ts";
import type { PortBackend } from "../backend/ports.ts";
import type { RegistryBackend } from "../backend/registry.ts";
import type { RegistryManifestBackend } from "../backend/registry-manifests.ts";
import type { StorageBackend } from "../backend/storage.ts";
import type { StoryBackend } from "../backend/story.ts";
import type { EventBackend, SystemBackend } from "../backend/system.ts";
import type { VolumeBackend } from "../backend/volumes.ts";
import type { ContainerInspect, ContainerWaitResponse } from "../schema/container.ts";
import type { ContainerCreateRequest } from "../schema/container-config.ts";
import type { EventMessage } from "../schema/event.ts";
import type { ExecCreateRequest, ExecInspect } from "../schema/exec.ts";
import { encodeFrame, frameType } from "../schema/run-protocol.ts";
import type { SystemInfo } from "../schema/system.ts";
import { FakeArchives } from "./fake-archives.ts";
import { fakeCheckpoints } from "./fake-checkpoints.ts";
import { FakeFiles } from "./fake-files.ts";
import { FakeNetworks } from "./fake-networks.ts";
import { fakeImage, fakeInspect, fakeSummary } from "./fake-objects.ts";
import { FakeObservation } from "./fake-observation.ts";
import { FakeProcess } from "./fake-process.ts";
import { FakeRegistry } from "./fake-registry.ts";
import { fakeVerbs } from "./fake-verbs.ts";
import { FakeVolumes } from "./fake-volumes.ts";

interface FakeContainer {
  id: string;
  name: string;
  request: ContainerCreateRequest;
  process: FakeProcess;
  running: boolean;
}

interface FakeExec {
  id: string;
  container: string;
  request: ExecCreateRequest;
  process: FakeProcess;
  exitCode: number | null;
}

export class FakeEngine implements Backends {
  readonly created = new Map<string, FakeContainer>();
  readonly executed = new Map<string, FakeExec>();
  /** What the routes have asked for, in order: `resize x 24x80`. */
  readonly calls: string[] = [];
  readonly attached: AbortSignal[] = [];
  readonly #listeners = new Set<(event: EventMessage) => void>();
  readonly #history: EventMessage[] = [];
  readonly pulled = new Set(["busybox"]);

  readonly storage: StorageBackend = {
    collect: async ({ isDryRun }) => {
      this.calls.push(`collect ${isDryRun}`);
      return { Items: [], SpaceReclaimed: 0 };
    },
    diskUsage: async (kinds) => {
      this.calls.push(`df ${kinds.join(" ")}`);
      return {};
    },
    pruneImages: async (filters) => {
      this.calls.push(`prune images ${JSON.stringify(filters)}`);
      return { ImagesDeleted: [], SpaceReclaimed: 0 };
    },
    pruneContainers: async (filters) => {
      this.calls.push(`prune containers ${JSON.stringify(filters)}`);
      return { ContainersDeleted: [], SpaceReclaimed: 0 };
    },
    rootUsage: async () => {
      throw new EngineError("not_found", "this engine has no root");
    },
    fsck: async function* () {
      yield* [];
    },
  };

  readonly checkpoints: CheckpointBackend = fakeCheckpoints(
    (ref) => this.#find(ref),
    (call) => this.calls.push(call),
  );

  readonly containers: ContainerBackend = {
    ...fakeVerbs({ find: (ref) => this.#find(ref), note: (call) => this.calls.push(call) }),
    create: async (request, { name, platform }) => {
      this.calls.push(`create ${name ?? "-"} ${platform ?? "-"}`);
      const image = request.Image ?? "";
      if (!this.pulled.has(image)) throw new EngineError("not_found", `No such image: ${image}`);
      if (name && [...this.created.values()].some((container) => container.name === name)) {
        throw new EngineError("already_exists", `Conflict. The container name "/${name}" is already in use`);
      }
      const id = newId();
      const process = new FakeProcess(request.Cmd ?? [], request.Tty === true);
      this.created.set(id, { id, name: name ?? `fake_${id.slice(0, 4)}`, request, process, running: false });
      this.emit("container", "create", id, { image, name: name ?? "" });
      return { Id: id, Warnings: [] };
    },
    list: async ({ all, filters }) => {
      this.calls.push(`list ${JSON.stringify(filters)}`);
      const shown = [...this.created.values()].filter((container) => all || container.running);
      return shown.map(({ id, name, request, running }) => fakeSummary(id, name, request, running));
    },
    inspect: async (ref) => this.#inspect(ref),
    start: async (ref) => {
      const container = this.#find(ref);
      if (container.running) throw new EngineError("not_modified", "container already started");
      void this.#reap(container);
      container.process.start();
      container.running = true;
      this.emit("container", "start", container.id, { image: container.request.Image ?? "", name: container.name });
    },
    stop: async (ref, { signal, timeoutSeconds }) => {
      const container = this.#find(ref);
      this.calls.push(`stop ${signal ?? "-"} ${timeoutSeconds ?? "-"}`);
      if (!container.running) throw new EngineError("not_modified", "container already stopped");
      container.process.kill(15);
      await container.process.exited;
    },
    kill: async (ref, signal) => {
      const container = this.#find(ref);
      const number = parseSignal(signal);
      this.calls.push(`kill ${number}`);
      if (number !== 28) container.process.kill(number);
    },
    wait: async (ref, condition) => {
      const container = this.#find(ref);
      this.calls.push(`wait ${condition}`);
      return { exited: container.process.exited.then((StatusCode): ContainerWaitResponse => ({ StatusCode })) };
    },
    attach: async (ref, options, signal) => {
      this.attached.push(signal);
      return this.#find(ref).process.attach(options, signal);
    },
    run: async ({ create, name, platform, attach, detach }, onCreated, signal) => {
      const created = await this.containers.create(create, { ...(name && { name }), ...(platform && { platform }) });
      onCreated(created);
      const { process } = this.#find(created.Id);
      const streamed = !detach && (attach.stdin || attach.stdout || attach.stderr);
      const stream = streamed ? process.attach(attach, signal) : undefined;
      if (streamed) this.attached.push(signal);
      await this.containers.start(created.Id);
      return {
        id: created.Id,
        exited: process.exited.then((StatusCode) => ({ StatusCode })),
        ...(stream && { stream }),
      };
    },
    logs: async (ref, options, signal) => {
      const container = this.#find(ref);
      const terminal = container.request.Tty === true;
      return { terminal, output: logOutput(container.process, terminal, options, signal) };
    },
    resize: async (ref, size) => void this.calls.push(`resize ${this.#find(ref).name} ${written(size)}`),
    remove: async (ref, { force }) => {
      const container = this.#find(ref);
      if (container.running && !force) {
        throw new EngineError("conflict", `cannot remove container "${ref}": container is running`);
      }
      container.process.kill(9);
      this.created.delete(container.id);
      this.emit("container", "destroy", container.id, { name: container.name });
    },
  };

  readonly exec: ExecBackend = {
    create: async (ref, request) => {
      const container = this.#find(ref);
      if (!container.running) throw new EngineError("conflict", `container ${ref} is not running`);
      const id = newId();
      const process = new FakeProcess(request.Cmd ?? [], request.Tty === true);
      this.executed.set(id, { id, container: container.id, request, process, exitCode: null });
      return { Id: id };
    },
    checkStart: async (id) => {
      if (this.#findExec(id).exitCode !== null)
        throw new EngineError("conflict", `exec ${id} has already been started`);
    },
    start: async (id, { size }, signal) => {
      const exec = this.#findExec(id);
      if (size) this.calls.push(`exec size ${written(size)}`);
      const { AttachStdin = false, AttachStdout = false, AttachStderr = false } = exec.request;
      const stream = exec.process.attach({ stdin: AttachStdin, stdout: AttachStdout, stderr: AttachStderr }, signal);
      this.#startExec(exec);
      return stream;
    },
    run: async (ref, request, onCreated, signal) => {
      const { Id } = await this.exec.create(ref, request);
      onCreated(Id);
      const { process } = this.#findExec(Id);
      return { stream: await this.exec.start(Id, {}, signal), exited: process.exited };
    },
    startDetached: async (id) => this.#startExec(this.#findExec(id)),
    resize: async (id, size) => void this.calls.push(`exec resize ${this.#findExec(id).id} ${written(size)}`),
    inspect: async (id) => this.#inspectExec(id),
  };

  readonly observation: ObservationBackend = new FakeObservation(
    (call) => this.calls.push(call),
    (ref) => this.#find(ref),
  );
  readonly registry: RegistryBackend = new FakeRegistry((call) => this.calls.push(call));
  readonly stories: StoryBackend = {
    why: async (reference, { lines }) => {
      this.calls.push(`why ${reference} ${lines}`);
      const none = { Sent: [], LastLines: [], Next: [] };
      return { Id: "", Name: reference, Image: "", Status: "running", Cause: "none", Summary: "It runs.", ...none };
    },
  };

  readonly ports: PortBackend = {
    list: async () => [
      {
        ContainerID: "f".repeat(64),
        ContainerName: "web",
        HostIp: "::",
        HostPort: 8080,
        PrivatePort: 80,
        Type: "tcp",
        Mode: "socket",
        ReachableFrom: "everywhere",
        InputRules: true,
      },
    ],
  };

  readonly networks: NetworkBackend = new FakeNetworks((call) => this.calls.push(call));
  readonly volumes: VolumeBackend = new FakeVolumes((call) => this.calls.push(call));
  readonly archives: ArchiveBackend = new FakeArchives((call) => this.calls.push(call));
  readonly files: FileBackend = new FakeFiles((call) => this.calls.push(call));
  readonly images: ImageBackend = {
    pull: (reference, { platform, auth }) => this.#pull(reference, platform, auth?.username),
    bundle: ({ image, directory }) => this.#bundle(image, directory),
    exists: async (reference) => this.pulled.has(reference),
    list: async ({ filters }) => {
      this.calls.push(`images ${JSON.stringify(filters)}`);
      return [...this.pulled].map((name) => fakeImage(name).summary);
    },
    inspect: async (reference) => {
      if (!this.pulled.has(reference)) throw new EngineError("not_found", `No such image: ${reference}`);
      return fakeImage(reference).inspect;
    },
    history: async (reference, { platform }) => {
      this.calls.push(`history ${reference} ${platform ?? "-"}`);
      return [];
    },
    attestations: async (reference, { types, statement }) => {
      this.calls.push(`attestations ${reference} ${types} ${statement}`);
      return [];
    },
    search: async ({ term, limit, filters }) => {
      this.calls.push(`search ${term} ${limit} ${JSON.stringify(filters)}`);
      return [];
    },
    tag: async (reference, target) => void this.calls.push(`tag ${reference} ${target}`),
    remove: async (reference, { force, platforms }) => {
      this.calls.push(["remove image", reference, force, ...platforms].join(" "));
      if (!this.pulled.delete(reference)) throw new EngineError("not_found", `No such image: ${reference}`);
      return [{ Untagged: reference }, { Deleted: `sha256:${"0".repeat(64)}` }];
    },
  };

  readonly registryManifests: RegistryManifestBackend = {
    read: async (reference, { insecure }) => {
      this.calls.push(`manifest ${reference} ${insecure}`);
      if (reference.includes("missing")) throw new EngineError("not_found", `manifest for ${reference} not found`);
      return { Descriptor: { mediaType: "m", digest: `sha256:${"0".repeat(64)}`, size: 2 }, Raw: "e30=" };
    },
    push: async (reference, { Images }) => {
      this.calls.push(`push manifest ${reference} ${Images.length}`);
      return { Digest: `sha256:${"0".repeat(64)}` };
    },
  };

  readonly system: SystemBackend = {
    version: async () => {
      const engine = { ApiVersion: apiVersion, MinAPIVersion: minApiVersion, Os: "linux", Arch: "amd64" };
      return {
        Platform: { Name: "tsd" },
        Version: "9.9.9",
        ...engine,
        GitCommit: "abc",
        GoVersion: "none",
        KernelVersion: "6",
        BuildTime: "2026-01-02T03:04:05.000000000+00:00",
        Components: [{ Name: "Engine", Version: "9.9.9", Details: { ...engine, GitCommit: "abc" } }],
      };
    },
    info: async () => ({ ID: "fake", Name: "fake-host", ServerVersion: "9.9.9", NCPU: 2 }) as unknown as SystemInfo,
  };

  readonly events: EventBackend = {
    subscribe: ({ sinceNano, untilNano }, signal) => {
      const queue: EventMessage[] = sinceNano === undefined ? [] : [...this.#history];
      let wake: () => void = () => undefined;
      const listener = (event: EventMessage) => {
        queue.push(event);
        wake();
      };
      this.#listeners.add(listener);
      signal.addEventListener("abort", () => wake(), { once: true });
      const listeners = this.#listeners;
      return (async function* () {
        try {
          for (;;) {
            const event = queue.shift();
            if (event) yield event;
            else if (signal.aborted || untilNano !== undefined) return;
            else {
              await new Promise<void>((resolve) => {
                wake = resolve;
              });
            }
          }
        } finally {
          listeners.delete(listener);
        }
      })();
    },
  };

  get listening(): number {
    return this.#listeners.size;
  }

  emit(type: EventMessage["Type"], action: string, id: string, attributes: Record<string, string>): void {
    const event: EventMessage = {
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: "local",
      time: 1_629_574_695,
      timeNano: 1_629_574_695_515_050_031n,
    };
    this.#history.push(event);
    for (const listener of this.#listeners) listener(event);
  }

  async #reap(container: FakeContainer): Promise<void> {
    const status = await container.process.exited;
    container.running = false;
    this.emit("container", "die", container.id, { exitCode: String(status), name: container.name });
    if (container.request.HostConfig?.AutoRemove) this.created.delete(container.id);
  }

  #startExec(exec: FakeExec): void {
    void exec.process.exited.then((status) => {
      exec.exitCode = status;
    });
    exec.process.start();
  }

  async *#pull(reference: string, platform: string | undefined, user: string | undefined) {
    this.calls.push(`pull ${reference} ${platform ?? "-"} ${user ?? "-"}`);
    if (/(^|\/)missing\b/.test(reference)) throw new EngineError("not_found", `pull access denied for ${reference}`);
    yield { status: `Pulling from library/${reference}`, id: "latest" };
    if (/(^|\/)broken\b/.test(reference)) throw new EngineError("corrupt", "layer abc: wrong digest");
    yield { status: "Downloading", progressDetail: { current: 1, total: 2 }, id: "abc" };
    this.pulled.add(reference.replace(/:latest$/, ""));
    this.pulled.add(reference);
    yield { status: `Status: Downloaded newer image for ${reference}` };
  }

  async *#bundle(image: string, directory: string) {
    if (!this.pulled.has(image)) throw new EngineError("not_found", `No such image: ${image}`);
    yield { status: `Writing ${directory}` };
  }

  #find(ref: string): FakeContainer {
    for (const container of this.created.values()) {
      if (container.id.startsWith(ref) || container.name === ref) return container;
    }
    throw new EngineError("not_found", `No such container: ${ref}`);
  }

  #findExec(id: string): FakeExec {
    const exec = this.executed.get(id);
    if (!exec) throw new EngineError("not_found", `No such exec instance: ${id}`);
    return exec;
  }

  #inspect(ref: string): ContainerInspect {
    const { id, name, request, running, process } = this.#find(ref);
    return fakeInspect(id, name, request, running, process.status ?? 0);
  }

  #inspectExec(id: string): ExecInspect {
    const { container, request, exitCode } = this.#findExec(id);
    const [entrypoint = "", ...args] = request.Cmd ?? [];
    return {
      ID: id,
      Running: exitCode === null,
      ExitCode: exitCode,
      ProcessConfig: { tty: request.Tty === true, entrypoint, arguments: args, privileged: false },
      OpenStdin: request.AttachStdin === true,
      OpenStdout: request.AttachStdout === true,
      OpenStderr: request.AttachStderr === true,
      CanRemove: false,
      ContainerID: container,
      DetachKeys: request.DetachKeys ?? "",
      Pid: 0,
    };
  }
}

function written({ rows, columns }: TerminalSize): string {
  return `${rows}x${columns}`;
}

async function* logOutput(
  process: FakeProcess,
  terminal: boolean,
  options: LogOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let sent = options.tail === undefined ? 0 : Math.max(0, process.written.length - options.tail);
  for (;;) {
    const ended = process.status !== undefined;
    const batch = process.written.slice(sent).filter(({ stream }) => options[stream]);
    sent = process.written.length;
    for (const { stream, time, line } of batch) {
      const text = Buffer.concat([Buffer.from(options.timestamps ? `${time} ` : ""), line]);
      yield terminal ? text : encodeFrame(frameType[stream], text);
    }
    if (batch.length > 0) continue;
    if (ended || !options.follow || signal.aborted) return;
    await process.changed(signal);
  }
}
