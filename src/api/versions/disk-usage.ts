/** What `system df` answers to a client of a given API version. */
import type { DiskUsageResponse, KindUsage } from "../schema/disk-usage.ts";
import { summaryOf } from "./containers.ts";
import { imageSummaryOf } from "./images.ts";

/**
 * Until 1.51 lists of everything; from 1.52 on sums, with lists when `verbose` asks for them. A client of 1.52 that says
 * nothing of `verbose` gets both.
 */
export function diskUsageOf(usage: DiskUsageResponse, api: number, verbose: boolean | undefined): object {
  const { ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage } = usage;
  const images = ImageUsage?.Items?.map((image) => ({
    ...imageSummaryOf(image, api),
    // Old clients reckon from it how many images are active.
    Containers: image.Containers,
  }));
  const containers = ContainerUsage?.Items?.map((container) => summaryOf(container, api));
  const brief = <Item>({ Items: _items, ...sums }: KindUsage<Item>, items: object[] | undefined) => ({
    ...sums,
    ...(verbose && items && items.length > 0 && { Items: items }),
  });
  return {
    ...((api < 52 || (api === 52 && verbose === undefined)) && {
      ...(ImageUsage && { LayersSize: ImageUsage.TotalSize, Images: images }),
      ...(ContainerUsage && { Containers: containers }),
      ...(VolumeUsage && { Volumes: VolumeUsage.Items }),
      ...(BuildCacheUsage && { BuildCache: [] }),
      ...(BuildCacheUsage && api < 42 && { BuilderSize: 0 }),
    }),
    ...(api >= 52 && {
      ...(ImageUsage && { ImageUsage: brief(ImageUsage, images) }),
      ...(ContainerUsage && { ContainerUsage: brief(ContainerUsage, containers) }),
      ...(VolumeUsage && { VolumeUsage: brief(VolumeUsage, VolumeUsage.Items) }),
      ...(BuildCacheUsage && { BuildCacheUsage: brief(BuildCacheUsage, []) }),
    }),
  };
}
