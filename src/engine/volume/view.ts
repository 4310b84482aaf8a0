/** Volumes as the Engine API shows them. */
import type { VolumeInspect } from "../../api/schema/volume.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import { rfc3339Seconds } from "../../core/timestamp.ts";
import type { VolumeDetails } from "./volumes.ts";

/** What Docker says of a volume that was made without a name; its prune takes those that have this label. */
export const anonymousLabel = "com.docker.volume.anonymous";

export function volumeView(volume: VolumeDetails): VolumeInspect {
  const { name, driver, options, mountpoint, scope, createdAt } = volume;
  return {
    CreatedAt: rfc3339Seconds(createdAt),
    Driver: driver,
    Labels: orNull(labelsOf(volume)),
    Mountpoint: mountpoint,
    Name: name,
    Options: orNull(options ?? {}),
    Scope: scope,
  };
}

export function labelsOf({ anonymous, labels }: Pick<VolumeDetails, "anonymous" | "labels">): Record<string, string> {
  return anonymous ? { ...labels, [anonymousLabel]: "" } : labels;
}

function orNull(map: Record<string, string>): Record<string, string> | null {
  return Object.keys(map).length > 0 ? inKeyOrder(map) : null;
}
