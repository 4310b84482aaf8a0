/** Images as a client of a given API version expects to read them. */
import type { ImageInspect, ImageSummary } from "../schema/image.ts";

/** Until API 1.52 these were written when they were empty, too. */
const emptyConfig = {
  Cmd: null,
  Entrypoint: null,
  Env: null,
  Labels: null,
  OnBuild: null,
  User: "",
  Volumes: null,
  WorkingDir: "",
};

/** Until API 1.50 the configuration was written as a container's, with these that an image never has. */
const containerConfig = {
  Hostname: "",
  Domainname: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Image: "",
};

export function imageInspectOf(image: ImageInspect, api: number): object {
  const { Descriptor, Manifests, Identity, ...rest } = image;
  return {
    ...rest,
    ...(api >= 53 && { Identity }),
    ...(api >= 48 && { Descriptor, Manifests }),
    ...(api < 52 && {
      Parent: "",
      Comment: image.Comment ?? "",
      Author: image.Author ?? "",
      DockerVersion: "",
      GraphDriver: image.GraphDriver ?? { Name: "overlayfs", Data: null },
    }),
    Config: { ...(api < 50 && containerConfig), ...(api < 52 && emptyConfig), ...image.Config },
    ...(api < 45 && { Container: "", ContainerConfig: containerConfigOf(image) }),
    ...(api < 44 && { VirtualSize: image.Size, Created: image.Created ?? "0001-01-01T00:00:00Z" }),
  };
}

/** Of the container that an image was once built of nothing is known; clients look for the image's volumes in it. */
function containerConfigOf({ Config }: ImageInspect): object {
  return { ...containerConfig, ...emptyConfig, ...(Config.Volumes && { Volumes: Config.Volumes }) };
}

export function imageSummaryOf(image: ImageSummary, api: number): object {
  const { Descriptor, Manifests, Containers, ...rest } = image;
  return {
    ...rest,
    Containers: api >= 51 ? Containers : -1,
    ...(api >= 48 && { Descriptor }),
    ...(api >= 47 && { Manifests }),
    ...(api < 44 && { VirtualSize: image.Size }),
    ...(api < 43 && isNameless(image) && { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] }),
  };
}

function isNameless({ RepoTags, RepoDigests }: ImageSummary): boolean {
  return RepoTags.length === 0 && RepoDigests.length === 0;
}
