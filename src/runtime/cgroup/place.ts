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

type PlaceOfHierarchy = Place & { hierarchy: Hierarchy };

/** Written with loops: the first use of each function of arrays takes a short command 0.05 ms. */
export class Places {
  readonly #places: PlaceOfHierarchy[] = [];

  constructor(hierarchies: readonly Hierarchy[], path: string) {
    for (const version of [1, 2] as const) {
      for (const hierarchy of hierarchies) {
        if (hierarchy.version !== version) continue;
        const { mountPoint } = hierarchy;
        const above = mountPoint.endsWith("/") ? mountPoint.slice(0, -1) : mountPoint;
        this.#places.push({ version, directory: above + path, hierarchy });
      }
    }
  }

  /** 2 where v2 is all that the host has. */
  get version(): 1 | 2 {
    return this.#places[0]?.version ?? 2;
  }

  /** One for each hierarchy, v1's first. */
  all(): readonly PlaceOfHierarchy[] {
    return this.#places;
  }

  /** The v2 one, with or without controllers. */
  unified(): Place | undefined {
    const last = this.#places[this.#places.length - 1];
    return last?.version === 2 ? last : undefined;
  }

  /** Where a controller, by v1's name for it, has its files; undefined where the host or this cgroup lacks it. */
  find(controller: string): Place | undefined {
    for (const place of this.#places) {
      if (place.version === 1 && place.hierarchy.controllers.includes(controller)) return place;
    }
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
}
