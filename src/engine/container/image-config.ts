/** What a container takes from its image: Docker's rules for merging the image's config into the request's. */
import type { ContainerConfig } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import type { ImageConfigDefaults } from "../../oci/image.ts";
import { mergeHealthcheck } from "./healthcheck.ts";

/** The request's config with what the image adds; the request wins. */
export function mergeImageConfig(request: ContainerConfig, image: ImageConfigDefaults): ContainerConfig {
  const ports = { ...image.ExposedPorts, ...request.ExposedPorts };
  const volumes = { ...image.Volumes, ...request.Volumes };
  const healthcheck = mergeHealthcheck(request.Healthcheck, image.Healthcheck);
  const { Entrypoint: _entrypoint, Volumes: _volumes, ...others } = request;
  return {
    ...withoutEmpty({
      User: image.User ?? "",
      WorkingDir: image.WorkingDir ?? "",
      StopSignal: image.StopSignal ?? "",
      ...(image.Shell && { Shell: image.Shell }),
      ...(typeof image.StopTimeout === "number" && { StopTimeout: image.StopTimeout }),
    }),
    ...withoutEmpty(others),
    Env: mergeEnv(request.Env ?? [], image.Env ?? []),
    Labels: { ...image.Labels, ...request.Labels },
    ...mergeCommand(request, image),
    ...(healthcheck && { Healthcheck: healthcheck }),
    ...(Object.keys(ports).length > 0 && { ExposedPorts: ports }),
    ...(Object.keys(volumes).length > 0 && { Volumes: volumes }),
  };
}

/** An empty string in the request inherits, as absence does: clients written in Go send both. */
function withoutEmpty(config: ContainerConfig): ContainerConfig {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== "")) as ContainerConfig;
}

/** The request's variables first; a bare `NAME`, which is shown, takes the image's and the daemon's variable away. */
function mergeEnv(request: readonly string[], image: readonly string[]): string[] {
  const named = new Set(request.map(variableName));
  return [...request, ...image.filter((entry) => !named.has(variableName(entry)))];
}

function variableName(entry: string): string {
  const separator = entry.indexOf("=");
  return separator < 0 ? entry : entry.slice(0, separator);
}

/**
 * A new entry point drops the image's command with the image's entry point. `[""]` asks for none at all; `[]`, as
 * against absence, drops the image's entry point and keeps its command.
 */
function mergeCommand(
  request: ContainerConfig,
  image: ImageConfigDefaults,
): Pick<ContainerConfig, "Entrypoint" | "Cmd"> {
  const given = request.Entrypoint ?? [];
  const own = given.length > 0;
  const entrypoint = own ? given : request.Entrypoint === undefined ? (image.Entrypoint ?? []) : [];
  const command = request.Cmd?.length || own ? (request.Cmd ?? []) : (image.Cmd ?? []);
  const cleared = entrypoint.length === 1 && entrypoint[0] === "";
  // Absent, which clients read as null, where there is none: as docker shows it.
  return { ...(entrypoint.length > 0 && !cleared && { Entrypoint: entrypoint }), Cmd: command };
}

/** @throws EngineError invalid_argument in docker's words when there is nothing to run. */
export function commandOf(config: ContainerConfig): string[] {
  const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (command.length === 0) throw new EngineError("invalid_argument", "no command specified");
  return command;
}
