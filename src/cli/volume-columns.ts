import type { VolumeInspect, VolumeUsageItem } from "../api/schema/volume.ts";
import { formatHumanSize } from "../core/size.ts";
import { type Column, labelColumn, labelsText } from "./format.ts";

/** What lists know nothing of: containers and sizes are system df's, the rest a cluster's. */
const unknown = "N/A";

type ListedVolume = VolumeInspect & Partial<Pick<VolumeUsageItem, "UsageData">>;

/** Of `volume ls` and of `system df -v`. */
export const volumeColumns: Column<ListedVolume>[] = [
  { name: "Driver", header: "DRIVER", value: ({ Driver }) => Driver },
  { name: "Name", header: "VOLUME NAME", value: ({ Name }) => Name },
  { name: "Scope", header: "SCOPE", value: ({ Scope }) => Scope },
  { name: "Mountpoint", header: "MOUNTPOINT", value: ({ Mountpoint }) => Mountpoint },
  { name: "Labels", header: "LABELS", value: ({ Labels }) => labelsText(Labels ?? {}) },
  labelColumn(({ Labels }) => Labels ?? {}),
  { name: "Links", header: "LINKS", value: ({ UsageData }) => (UsageData ? String(UsageData.RefCount) : unknown) },
  { name: "Size", header: "SIZE", value: ({ UsageData }) => (UsageData ? formatHumanSize(UsageData.Size) : unknown) },
  { name: "Group", header: "GROUP", value: () => unknown },
  { name: "Availability", header: "AVAILABILITY", value: () => unknown },
  { name: "Status", header: "STATUS", value: () => unknown },
];
