/** A container's directory in one hierarchy, and which of them serves a controller. */
import { EngineError } from "../../core/errors.ts";
import { readOptional } from "./files.ts";
import type { Hierarchy } from "./hierarchy.ts";

export interface Place {
  version: 1 | 2;
  /** Absolute. */
  directory: string;
}

/** v1's controllers that v2 has under another name, or a part of the core. */
const v2Names: Record<string, string> = { blkio: "io", cpuacct: "cpu" };

export class Places {
  readonly #hierarchies: readonly Hierarchy[];
  readonly #path: string;

  constructor(hierarchies: readonly Hierarchy[], path: string) {
    this.#hierarchies = hierarchies;
    this.#path = path;
  }

  /** 2 where v2 is all that the host has. */
  get version(): 1 | 2 {
    return this.#hierarchies.some((hierarchy) => hierarchy.version === 1) ? 1 : 2;
  }

  /** One for each hierarchy, v1's first. */
  all(): (Place & { hierarchy: Hierarchy })[] {
    return [...this.#hierarchies]
      .sort((a, b) => a.version - b.version)
      .map((hierarchy) => ({ version: hierarchy.version, directory: this.#directory(hierarchy), hierarchy }));
  }

  /** The v2 one, with or without controllers. */
  unified(): Place | undefined {
    return this.all().find((place) => place.version === 2);
  }

  /** Where a controller, by v1's name for it, has its files; undefined where the host or this cgroup lacks it. */
  find(controller: string): Place | undefined {
    const v1 = this.#hierarchies.find((it) => it.version === 1 && it.controllers.includes(controller));
    if (v1 !== undefined) return { version: 1, directory: this.#directory(v1) };
    const v2 = this.unified();
    if (v2 === undefined) return undefined;
    const enabled = readOptional(`${v2.directory}/cgroup.controllers`)?.trim().split(" ") ?? [];
    return enabled.includes(v2Names[controller] ?? controller) ? v2 : undefined;
  }

  /** As find. @throws EngineError unsupported: a limit that cannot be set is not passed over. */
  require(controller: string, field: string): Place {
    const place = this.find(controller);
    if (place !== undefined) return place;
    const v2 = this.unified();
    const where =
      v2 === undefined ? "no hierarchy of cgroup v1 has it" : `it is not in ${v2.directory}/cgroup.controllers`;
    throw new EngineError("unsupported", `${field}: the ${controller} controller is missing: ${where}`, {
      hint: "grep . /proc/cgroups /sys/fs/cgroup/cgroup.controllers shows what the kernel has",
    });
  }

  #directory(hierarchy: Hierarchy): string {
    return `${hierarchy.mountPoint.replace(/\/$/, "")}${this.#path}`;
  }
}
