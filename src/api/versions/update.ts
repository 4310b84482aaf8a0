/** What older clients mean by an update of a container. */
import type { ContainerUpdateRequest } from "../schema/container-config.ts";

/** Fields that the client's version did not have are dropped. @returns a new request. */
export function updateRequestOf(request: ContainerUpdateRequest, api: number): ContainerUpdateRequest {
  const adjusted = { ...request };
  if (api < 40) delete adjusted.PidsLimit;
  // 0 and any negative number are "unlimited": other than with a create, where they say nothing.
  if (adjusted.PidsLimit !== undefined) adjusted.PidsLimit = Math.max(0, adjusted.PidsLimit);
  if (api < 55) {
    // They were not looked at, and clients sent empty ones that were not to change anything.
    delete adjusted.BlkioWeightDevice;
    delete adjusted.BlkioDeviceReadBps;
    delete adjusted.BlkioDeviceWriteBps;
    delete adjusted.BlkioDeviceReadIOps;
    delete adjusted.BlkioDeviceWriteIOps;
  }
  return adjusted;
}
