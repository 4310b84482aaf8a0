import type { ContainerInspect, ContainerSummary } from "../schema/container.ts";
import type { ContainerCreateRequest } from "../schema/container-config.ts";
import type { ImageInspect, ImageSummary } from "../schema/image.ts";

const imageId = `sha256:${"1".repeat(64)}`;
const networks = { bridge: { NetworkID: "n", EndpointID: "e", IPAddress: "10.0.0.2", Gateway: "10.0.0.1" } };

export function fakeInspect(
  id: string,
  name: string,
  request: ContainerCreateRequest,
  running: boolean,
  exitCode: number,
): ContainerInspect {
  const { HostConfig = {}, NetworkingConfig: _, ...config } = request;
  const [path = "", ...args] = request.Cmd ?? [];
  return {
    Id: id,
    Created: "2026-01-02T03:04:05.123456789Z",
    Path: path,
    Args: args,
    State: {
      Status: running ? "running" : "exited",
      Running: running,
      Paused: false,
      Restarting: false,
      OOMKilled: false,
      Dead: false,
      Pid: running ? 42 : 0,
      ExitCode: exitCode,
      Error: "",
      StartedAt: "2026-01-02T03:04:05Z",
      FinishedAt: "0001-01-01T00:00:00Z",
    },
    Image: imageId,
    ResolvConfPath: "",
    HostnamePath: "",
    HostsPath: "",
    LogPath: "",
    Name: `/${name}`,
    RestartCount: 0,
    Driver: "overlayfs",
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: null,
    HostConfig,
    Mounts: [],
    Config: config,
    NetworkSettings: { SandboxID: "s", SandboxKey: "/run/s", Ports: {}, Networks: networks },
  };
}

export function fakeSummary(
  id: string,
  name: string,
  request: ContainerCreateRequest,
  running: boolean,
): ContainerSummary {
  return {
    Id: id,
    Names: [`/${name}`],
    Image: request.Image ?? "",
    ImageID: imageId,
    Command: (request.Cmd ?? []).join(" "),
    Created: 1_767_323_045,
    Ports: [],
    Labels: request.Labels ?? {},
    State: running ? "running" : "exited",
    Status: running ? "Up 2 seconds" : "Exited (0) 2 seconds ago",
    HostConfig: { NetworkMode: "bridge" },
    NetworkSettings: { Networks: networks },
    Mounts: [],
  };
}

export function fakeImage(name: string): { summary: ImageSummary; inspect: ImageInspect } {
  return {
    summary: {
      Id: imageId,
      ParentId: "",
      RepoTags: [`${name}:latest`],
      RepoDigests: [],
      Created: 1_767_323_045,
      Size: 4_261_574,
      SharedSize: -1,
      Labels: {},
      Containers: 2,
    },
    inspect: {
      Id: imageId,
      RepoTags: [`${name}:latest`],
      RepoDigests: [],
      Config: { Cmd: ["sh"] },
      Architecture: "amd64",
      Os: "linux",
      Size: 4_261_574,
      RootFS: { Type: "layers" },
      Metadata: {},
    },
  };
}
