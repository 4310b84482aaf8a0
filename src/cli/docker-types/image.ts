/** The types of images in docker's client, in the notation of ../template/type-table.ts. */
export const imageTypes: Record<string, string> = {
  "image.InspectResponse":
    "ID=Id string; RepoTags RepoDigests []string; Parent Comment string; Created? string; Container? string; ContainerConfig? *container.Config; DockerVersion Author string; Config *v1.DockerOCIImageConfig; Architecture string; Variant? string; Os string; OsVersion? string; Size int64; VirtualSize? int64; GraphDriver storage.DriverData; RootFS image.RootFS; Metadata image.Metadata; Descriptor? *v1.Descriptor; Manifests? []image.ManifestSummary",
  "v1.DockerOCIImageConfig": "...v1.ImageConfig; ...v1.DockerOCIImageConfigExt",
  "v1.ImageConfig":
    "User? string; ExposedPorts? map[string]struct {}; Env? Entrypoint? Cmd? []string; Volumes? map[string]struct {}; WorkingDir? string; Labels? map[string]string; StopSignal? string; ArgsEscaped? bool",
  "v1.DockerOCIImageConfigExt": "Healthcheck? *v1.HealthcheckConfig; OnBuild? Shell? []string",
  "image.RootFS": "Type? string; Layers? []string",
  "image.Metadata": "LastTagTime? time.Time",
  "v1.Descriptor":
    "MediaType=mediaType string; Digest=digest digest.Digest; Size=size int64; URLs=urls? []string; Annotations=annotations? map[string]string; Data=data? []uint8; Platform=platform? *v1.Platform; ArtifactType=artifactType? string",
  "digest.Digest": "= string",
  "v1.Platform":
    "Architecture=architecture OS=os string; OSVersion=os.version? string; OSFeatures=os.features? []string; Variant=variant? string",
  "image.ManifestSummary":
    "ID string; Descriptor v1.Descriptor; Available bool; Size image.manifestSize; Kind image.ManifestKind; ImageData? *image.ImageProperties; AttestationData? *image.AttestationProperties",
  "image.manifestSize": "Content Total int64",
  "image.ManifestKind": "= string",
  "image.ImageProperties": "Platform v1.Platform; Size image.unpackedSize; Containers []string",
  "image.unpackedSize": "Unpacked int64",
  "image.AttestationProperties": "For digest.Digest",
};
