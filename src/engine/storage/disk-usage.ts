/** `system df`: what images, containers and volumes take, in Docker's words. */

import type { ContainerSummary } from "../../api/schema/container.ts";
import type { DiskUsageKind, DiskUsageResponse, KindUsage } from "../../api/schema/disk-usage.ts";
import type { ImageSummary } from "../../api/schema/image.ts";
import type { VolumeUsageItem } from "../../api/schema/volume.ts";
import type { ContainerService } from "../container/containers.ts";
import type { EngineContext } from "../context.ts";
import { listImages } from "../image/list.ts";
import { volumeView } from "../volume/view.ts";
import { ownUsage } from "./own-usage.ts";

export async function diskUsage(
  context: EngineContext,
  containers: ContainerService,
  kinds: readonly DiskUsageKind[],
): Promise<DiskUsageResponse> {
  const has = (kind: DiskUsageKind) => kinds.includes(kind);
  return {
    ...(has("image") && { ImageUsage: await imageUsage(context) }),
    ...(has("container") && { ContainerUsage: await containerUsage(containers) }),
    ...(has("volume") && { VolumeUsage: await volumeUsage(context) }),
    // There is no builder yet, and so no cache.
    ...(has("build-cache") && {
      BuildCacheUsage: { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0, Items: [] },
    }),
  };
}

async function imageUsage(context: EngineContext): Promise<KindUsage<ImageSummary>> {
  const { totalBytes, reclaimableBytes } = await context.images.totals();
  const items = listImages(context, { filters: {}, sharedSize: true, manifests: false, identity: false });
  return {
    ActiveCount: items.filter(({ Containers }) => Containers > 0).length,
    TotalCount: items.length,
    Reclaimable: reclaimableBytes,
    TotalSize: totalBytes,
    Items: items,
  };
}

async function containerUsage(containers: ContainerService): Promise<KindUsage<ContainerSummary>> {
  const items = await containers.list({ all: true, size: true, filters: {} });
  const isActive = ({ State }: ContainerSummary) => ["running", "paused", "restarting"].includes(State);
  const size = (list: readonly ContainerSummary[]) => list.reduce((total, { SizeRw = 0 }) => total + SizeRw, 0);
  return {
    ActiveCount: items.filter(isActive).length,
    TotalCount: items.length,
    Reclaimable: size(items.filter((item) => !isActive(item))),
    TotalSize: size(items),
    Items: items,
  };
}

async function volumeUsage({ volumes }: EngineContext): Promise<KindUsage<VolumeUsageItem>> {
  const items: VolumeUsageItem[] = [];
  // What plugins keep, and what is mounted from elsewhere, takes nothing of this disk.
  for (const volume of await volumes.listLocal()) {
    if (volume.options?.device !== undefined) continue;
    const { bytes } = await ownUsage(volume.mountpoint);
    items.push({ ...volumeView(volume), UsageData: { RefCount: volumes.inUse(volume.name).length, Size: bytes } });
  }
  const unused = items.filter(({ UsageData }) => UsageData.RefCount === 0);
  const size = (list: readonly VolumeUsageItem[]) => list.reduce((total, { UsageData }) => total + UsageData.Size, 0);
  return {
    ActiveCount: items.length - unused.length,
    TotalCount: items.length,
    Reclaimable: size(unused),
    TotalSize: size(items),
    Items: items,
  };
}
