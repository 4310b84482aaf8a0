import type { VolumeInspect } from "../api/schema/volume.ts";
import { nil, struct } from "./template/struct.ts";

/** A volume with the fields that docker's templates know, also those that are not in its JSON. */
export function volumeView(volume: VolumeInspect): object {
  return struct(volume, {
    ClusterVolume: nil("<nil>"),
    CreatedAt: volume.CreatedAt ?? "",
    Driver: volume.Driver,
    Labels: volume.Labels ?? nil("map[]"),
    Mountpoint: volume.Mountpoint,
    Name: volume.Name,
    Options: volume.Options ?? nil("map[]"),
    Scope: volume.Scope,
    Status: volume.Status ?? nil("map[]"),
    UsageData: nil("<nil>"),
  });
}
