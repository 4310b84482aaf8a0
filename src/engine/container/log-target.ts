/** What a container's shim is told of its log: the driver, with its options made definite for this container. */
import { hostname } from "node:os";
import type { HostConfig, LogConfig } from "../../api/schema/container-config.ts";
import { parseGoBool } from "../../core/go-bool.ts";
import { parseBytes, parseHumanSize } from "../../core/size.ts";
import { journalFieldName, logAttributes } from "../../logging/log-attributes.ts";
import { syslogAddress, syslogFacility } from "../../logging/log-options.ts";
import { defaultTag, logTag } from "../../logging/log-tag.ts";
import type { JournaldTarget, LogFiles, LogTarget, SyslogFormat, SyslogTarget } from "../../logging/log-target.ts";
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
const journalSocket = "/run/systemd/journal/socket";
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
    case "journald":
      return { ...journald(container, options), ...copy(paths, options, shown), ...delivery };
    case "syslog":
      return { ...syslog(container, options), ...copy(paths, options, shown), ...delivery };
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

function journald(container: Container, options: Options): JournaldTarget {
  const { id, name, definition } = container;
  const { Labels: labels = {}, Env: env = [], Image: image = "" } = definition.config;
  const tag = tagOf(container, options.tag);
  const own = logAttributes(options, { labels: labels ?? {}, env: env ?? [] }, journalFieldName);
  const named = Object.entries(own).filter(([field]) => field !== "");
  return {
    driver: "journald",
    socket: journalSocket,
    fields: {
      CONTAINER_ID: id.slice(0, 12),
      CONTAINER_ID_FULL: id,
      CONTAINER_NAME: name,
      CONTAINER_TAG: tag,
      IMAGE_NAME: image,
      SYSLOG_IDENTIFIER: tag,
      ...Object.fromEntries(named),
    },
  };
}

function syslog(container: Container, options: Options): SyslogTarget {
  const {
    "syslog-address": address,
    "syslog-facility": facility,
    "syslog-format": format,
    "syslog-tls-ca-cert": ca,
    "syslog-tls-cert": certificate,
    "syslog-tls-key": key,
  } = options;
  // As docker: whatever its value.
  const skipVerify = options["syslog-tls-skip-verify"] !== undefined;
  const tls = {
    ...(ca && { ca }),
    ...(certificate && { certificate }),
    ...(key && { key }),
    ...(skipVerify && { skipVerify }),
  };
  return {
    driver: "syslog",
    ...(address && { address: syslogAddress(address) }),
    facility: syslogFacility(facility || "daemon"),
    format: (format || "unix") as SyslogFormat,
    hostname: hostname(),
    tag: tagOf(container, options.tag),
    ...(Object.keys(tls).length > 0 && { tls }),
  };
}

/** What `logs` shows. */
function copy(
  paths: ContainerPaths,
  options: Options,
  shown: false | { attributes: Record<string, string> },
): { cache?: LogFiles & { attributes?: Record<string, string> } } {
  if (parseGoBool(options["cache-disabled"] ?? "false")) return {};
  return { cache: { ...files(paths.localLog, options, localLimits, true, "cache-"), ...shown } };
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
