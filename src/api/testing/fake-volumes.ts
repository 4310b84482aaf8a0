/** Volumes that are records alone, for tests of the routes and of clients. */
import { EngineError } from "../../core/errors.ts";
import type { VolumeBackend } from "../backend/volumes.ts";
import type { VolumeCreateRequest, VolumeInspect } from "../schema/volume.ts";

export class FakeVolumes implements VolumeBackend {
  readonly #call: (call: string) => void;
  readonly #volumes = new Map<string, VolumeInspect>();

  constructor(call: (call: string) => void) {
    this.#call = call;
  }

  async list(filters: Record<string, string[]>): Promise<{ Volumes: VolumeInspect[]; Warnings: string[] }> {
    this.#call(`volumes ${JSON.stringify(filters)}`);
    const isAsked = filters.driver?.includes("silent");
    return { Volumes: [...this.#volumes.values()], Warnings: isAsked ? ["silent: no answer"] : [] };
  }

  async inspect(name: string): Promise<VolumeInspect> {
    return { ...this.#find(name), Status: { mood: "good" } };
  }

  async create(request: VolumeCreateRequest): Promise<VolumeInspect> {
    this.#call(`create volume ${JSON.stringify(request)}`);
    const { Driver = "local", DriverOpts, Labels } = request;
    const Name = request.Name || "a".repeat(64);
    if (Driver === "nosuch") {
      throw new EngineError("not_found", `create ${Name}: error looking up volume plugin nosuch: plugin not found`);
    }
    const volume: VolumeInspect = {
      CreatedAt: "2026-01-02T03:04:05Z",
      Driver,
      Labels: Labels ?? null,
      Mountpoint: `/volumes/${Name}/_data`,
      Name,
      Options: DriverOpts ?? null,
      Scope: "local",
    };
    this.#volumes.set(Name, volume);
    return volume;
  }

  async remove(name: string, { force }: { force: boolean }): Promise<void> {
    this.#call(`remove volume ${name} ${force}`);
    if (name === "busy") throw new EngineError("conflict", "remove busy: volume is in use - [c0ffee]");
    if (!this.#volumes.delete(name) && !force) throw notFound(name);
  }

  async prune(
    filters: Record<string, string[]>,
    { all }: { all: boolean },
  ): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }> {
    this.#call(`prune volumes ${all} ${JSON.stringify(filters)}`);
    const names = all ? [...this.#volumes.keys()] : [];
    for (const name of names) this.#volumes.delete(name);
    return { VolumesDeleted: names, SpaceReclaimed: names.length * 1000 };
  }

  #find(name: string): VolumeInspect {
    const volume = this.#volumes.get(name);
    if (volume === undefined) throw notFound(name);
    return volume;
  }
}

function notFound(name: string): EngineError {
  return new EngineError("not_found", `get ${name}: no such volume`);
}
