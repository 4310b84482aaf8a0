import type { Filters } from "../schema/filters.ts";
import type { VolumesPruneResponse } from "../schema/prune.ts";
import type { VolumeCreateRequest, VolumeInspect, VolumeListResponse } from "../schema/volume.ts";

/** Volumes, as the routes need them. All methods throw EngineError: not_found ("get x: no such volume"). */
export interface VolumeBackend {
  /** Names of filters are already checked against Docker's list, and `dangling`; other values are not. */
  list(filters: Filters): Promise<VolumeListResponse>;
  inspect(name: string): Promise<VolumeInspect>;
  /** The volume of that name, made when there is none. @throws EngineError invalid_argument for a name or an option. */
  create(request: Omit<VolumeCreateRequest, "ClusterVolumeSpec">): Promise<VolumeInspect>;
  /**
   * @param options.force also where there is none, or its driver cannot be asked.
   * @throws EngineError conflict while a container has it, forced or not.
   */
  remove(name: string, options: { force: boolean }): Promise<void>;
  /**
   * Removes local volumes that no container has, and that were made without options.
   * @param filters by labels. @param options.all those with names, too, not only anonymous ones.
   */
  prune(filters: Filters, options: { all: boolean }): Promise<VolumesPruneResponse>;
}
