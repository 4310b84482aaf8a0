/** What older clients mean by a create request, and what newer ones may no longer say. */
import { invalid } from "../errors.ts";
import type { ContainerCreateRequest, HostConfig, Mount } from "../schema/container-config.ts";

/**
 * The request as a client of this API version means it: fields that its version did not have are dropped, defaults
 * that have changed since are filled in. @returns a new request; the given one is left alone.
 */
export function createRequestOf(request: ContainerCreateRequest, api: number): ContainerCreateRequest {
  const adjusted: ContainerCreateRequest = { ...request, HostConfig: hostConfigOf(request.HostConfig ?? {}, api) };
  if (api < 44 && Object.keys(request.NetworkingConfig?.EndpointsConfig ?? {}).length > 1) {
    throw invalid("Container cannot be created with multiple network endpoints before API 1.44");
  }
  if (api < 44 && request.Healthcheck !== undefined) {
    const { StartInterval: _, ...healthcheck } = request.Healthcheck;
    adjusted.Healthcheck = healthcheck;
  }
  moveMacAddress(adjusted, api);
  return adjusted;
}

function hostConfigOf(given: HostConfig, api: number): HostConfig {
  const hostConfig = { ...given };
  // 0, -1 and any other negative number have all meant "unlimited".
  if (hostConfig.PidsLimit !== undefined && hostConfig.PidsLimit <= 0) delete hostConfig.PidsLimit;
  if (api < 42) delete hostConfig.ConsoleSize;
  if (api < 43) delete hostConfig.Annotations;
  if (api < 40 && !hostConfig.IpcMode) hostConfig.IpcMode = "shareable";
  if (hostConfig.Mounts !== undefined) hostConfig.Mounts = hostConfig.Mounts.map((mount) => mountOf(mount, api));
  return hostConfig;
}

function mountOf(given: Mount, api: number): Mount {
  const mount = { ...given };
  if (mount.BindOptions !== undefined) {
    const bind = { ...mount.BindOptions };
    if (api < 40) delete bind.NonRecursive;
    if (api < 42) delete bind.CreateMountpoint;
    if (api < 44) {
      // Who asks for it relies on it: it is not passed over.
      if (mount.Type === "bind" && bind.ReadOnlyForceRecursive) {
        throw invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
      }
      delete bind.ReadOnlyNonRecursive;
      delete bind.ReadOnlyForceRecursive;
    }
    mount.BindOptions = bind;
  }
  // Options of another kind of mount were not checked before 1.42, and clients sent them.
  if (api < 42) {
    if (mount.Type !== "bind") delete mount.BindOptions;
    if (mount.Type !== "volume") delete mount.VolumeOptions;
    if (mount.Type !== "tmpfs") delete mount.TmpfsOptions;
  }
  if (api < 46 && mount.TmpfsOptions !== undefined) {
    const { Options: _, ...tmpfs } = mount.TmpfsOptions;
    mount.TmpfsOptions = tmpfs;
  }
  if (api < 45 && mount.VolumeOptions?.Subpath) throw invalid("VolumeOptions.Subpath needs API v1.45 or newer");
  if (api < 48 && mount.Type === "image") throw invalid("mounts of type image need API v1.48 or newer");
  return mount;
}

/** Config.MacAddress went from the container to its endpoint in API 1.44, and is refused since 1.52. */
function moveMacAddress(request: ContainerCreateRequest, api: number): void {
  const address = request.MacAddress;
  delete request.MacAddress;
  if (!address) return;
  if (api >= 52) throw invalid("Config.MacAddress is gone since API 1.52: set MacAddress in EndpointsConfig");
  const mode = request.HostConfig?.NetworkMode || "default";
  const endpoints = { ...request.NetworkingConfig?.EndpointsConfig };
  const named =
    endpoints[mode] !== undefined || Object.keys(endpoints).length !== 1 ? mode : Object.keys(endpoints)[0]!;
  const own = endpoints[named]?.MacAddress;
  if (own && own.toLowerCase() !== address.toLowerCase()) {
    throw invalid(`the container-wide MAC address ${address} is not that of its endpoint ${named}, ${own}`);
  }
  endpoints[named] = { ...endpoints[named], MacAddress: address };
  request.NetworkingConfig = { ...request.NetworkingConfig, EndpointsConfig: endpoints };
}
