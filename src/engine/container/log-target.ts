/** What a container's shim is told of its log: the driver, with its options made definite for this container. */
import { hostname } from "node:os";
import type { HostConfig, LogConfig } from "../../api/schema/container-config.ts";
import { parseGoBool } from "../../core/go-bool.ts";
import { parseBytes, parseHumanSize } from "../../core/size.ts";
import { logAttributes } from "../../logging/log-attributes.ts";
import { defaultTag, logTag } from "../../logging/log-tag.ts";
import type { LogFiles, LogTarget } from "../../logging/log-target.ts";
import type { ContainerPaths } from "../layout.ts";
import type { Container } from "./container.ts";

/** The daemon's `--log-driver` and `--log-opt`. */
export interface LogDefaults {
  driver: string;
  options: Readonly<Record<string, string>>;
}

export const logDefaults: LogDefaults = { driver: "json-file", options: {} };

/** The request's log, with the daemon's driver where it names none, and the daemon's options where it has that driver. */
export function settleLogConfig(requested: HostConfig["LogConfig"], defaults: LogDefaults): Required<LogConfig> {
  const Type = requested?.Type || defaults.driver;
  const Config = requested?.Config ?? {};
  return { Type, Config: Type === defaults.driver ? { ...defaults.options, ...Config } : Config };
}

type Options = Readonly<Record<string, string>>;

/**
 * json-file's where nothing is said of the size: a container that writes without end fills no disk. docker has no limit
 * there; `max-size=-1` is none.
 */
const jsonFileLimits = { maxSizeBytes: 100_000_000, maxFiles: 5 };
/** docker's, of the driver local and of the copies of what goes elsewhere. */
const localLimits = { maxSizeBytes: 20_971_520, maxFiles: 5 };
/** docker's max-buffer-size. */
const bufferBytesDefault = 2 ** 20;

/** @throws EngineError for what was accepted by another version and is wrong. */
export function logTarget(container: Container, paths: ContainerPaths): LogTarget {
  const { Type = logDefaults.driver, Config: options = {} } = container.definition.hostConfig.LogConfig ?? {};
  const delivery = options.mode === "non-blocking" && {
    bufferBytes: options["max-buffer-size"] === undefined ? bufferBytesDefault : parseBytes(options["max-buffer-size"]),
  };
  const attributes = attributesOf(container, options);
  const shown = Object.keys(attributes).length > 0 && { attributes };
  switch (Type) {
    case "none":
      return { driver: "none" };
    case "local":
      return { driver: "local", ...files(paths.localLog, options, localLimits, true), ...shown, ...delivery };
    default:
      return { driver: "json-file", ...files(paths.log, options, jsonFileLimits, false), ...shown, ...delivery };
  }
}

/** As docker, which has the tag among the attributes of these drivers only where one is asked for. */
function attributesOf(container: Container, options: Options): Record<string, string> {
  const { config } = container.definition;
  const tag = options.tag;
  return {
    ...logAttributes(options, { labels: config.Labels ?? {}, env: config.Env ?? [] }),
    ...(tag && { tag: tagOf(container, tag) }),
  };
}

export function tagOf({ id, name, definition }: Container, template: string = defaultTag): string {
  const { config, command, imageId } = definition;
  const known = {
    ID: id.slice(0, 12),
    FullID: id,
    Name: name,
    ImageID: imageId.slice(0, 12),
    ImageFullID: imageId,
    ImageName: config.Image ?? "",
    Hostname: hostname(),
    Command: command.join(" "),
    DaemonName: "tsd",
  };
  return logTag(template, known, config.Labels ?? {});
}

/**
 * @param limits where nothing is said. One file, as with docker, where a size is asked for and no number of files.
 */
function files(path: string, options: Options, limits: typeof localLimits, compresses: boolean, prefix = ""): LogFiles {
  const { [`${prefix}max-size`]: size, [`${prefix}max-file`]: count, [`${prefix}compress`]: compress } = options;
  const maxSizeBytes = size === undefined ? limits.maxSizeBytes : size === "-1" ? undefined : parseHumanSize(size);
  const given = count === undefined ? undefined : Number(count);
  const maxFiles = given ?? (size === undefined || compresses ? limits.maxFiles : 1);
  const isCompressed = maxFiles > 1 && ((compress && parseGoBool(compress)) ?? compresses);
  return {
    path,
    ...(maxSizeBytes !== undefined && { maxSizeBytes }),
    ...(maxFiles > 1 && { maxFiles }),
    ...(isCompressed && { compress: true }),
  };
}
