/** `--log-opt` as Docker's drivers judge it when a container is created (moby, daemon/logger, ValidateLogOpt). */
import { EngineError, errorMessage } from "../core/errors.ts";
import { parseGoBool } from "../core/go-bool.ts";
import { parseBytes, parseHumanSize } from "../core/size.ts";
import { attributePattern } from "./log-attributes.ts";
import { logFilesMax } from "./log-names.ts";
import { checkTag } from "./log-tag.ts";
import type { SyslogTarget } from "./log-target.ts";

type Options = Readonly<Record<string, string>>;

interface Driver {
  options: readonly string[];
  /** How the driver speaks of an option that it does not have. */
  unknown?: (option: string) => string;
  check?: (options: Options) => void;
}

/** Which of a container's labels and variables go with its lines, and what they are tagged with. */
const attributes = ["labels", "labels-regex", "env", "env-regex", "tag"];
const fileOptions = ["max-size", "max-file", "compress"];

const drivers: Record<string, Driver> = {
  "json-file": { options: [...fileOptions, ...attributes], check: checkJsonFile },
  local: {
    options: [...fileOptions, ...attributes],
    unknown: (option) => `unknown log opt '${option}' for log driver local`,
    check: checkLocal,
  },
  syslog: {
    options: [
      ...attributes,
      "syslog-address",
      "syslog-facility",
      "syslog-format",
      "syslog-tls-ca-cert",
      "syslog-tls-cert",
      "syslog-tls-key",
      "syslog-tls-skip-verify",
    ],
    check: checkSyslog,
  },
  journald: { options: attributes },
};

/** Those that tsd has, as `info` shows them. */
export const logDrivers: readonly string[] = [...Object.keys(drivers), "none"].sort();

/** docker's others. */
const unbuilt: readonly string[] = ["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "logentries", "splunk"];

/** Of every driver: how its reader is waited for, and the files that keep what `logs` shows of a remote one. */
const common = ["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

/** @throws EngineError invalid_argument in docker's words; unsupported for a driver of docker's that tsd has not. */
export function checkLogOptions(name: string, options: Options): void {
  // Docker looks at none of them.
  if (name === "none") return;
  const driver = Object.hasOwn(drivers, name) ? drivers[name] : undefined;
  if (unbuilt.includes(name)) {
    const message = `log driver ${name}: tsd has ${logDrivers.join(", ")}`;
    throw new EngineError("unsupported", message, { stage: "create" });
  }
  if (driver === undefined) throw invalid(`error looking up logging plugin ${name}: plugin "${name}" not found`);
  checkCommon(options);
  driver.check?.(options);
  for (const option of Object.keys(options)) {
    if (common.includes(option) || driver.options.includes(option)) continue;
    throw invalid(driver.unknown?.(option) ?? `unknown log opt '${option}' for ${name} log driver`);
  }
  for (const option of ["labels-regex", "env-regex"]) attributePattern(options[option] ?? "");
  checkTag(options.tag ?? "");
}

function checkCommon(options: Options): void {
  const { mode = "", "max-buffer-size": buffer } = options;
  if (!["", "blocking", "non-blocking"].includes(mode)) throw invalid(`logger: logging mode not supported: ${mode}`);
  if (buffer !== undefined) {
    if (mode !== "non-blocking") {
      throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    }
    named("error parsing option max-buffer-size", () => parseBytes(buffer));
  }
  for (const option of ["cache-disabled", "cache-compress"]) {
    const value = options[option];
    if (value !== undefined && parseGoBool(value) === undefined) {
      throw invalid(`invalid value for option ${option}: ${value}`);
    }
  }
  checkLimits(options, "cache-");
}

/** Docker sees these when the container starts. */
function checkFileOptions(options: Options): void {
  checkLimits(options, "");
  checkBool(options, "compress");
}

/** Of the log's own files, or of those of its copy. */
function checkLimits(options: Options, prefix: "" | "cache-"): void {
  const [maxSize, maxFile] = [`${prefix}max-size`, `${prefix}max-file`];
  checkSize(options, maxSize);
  checkCount(options, maxFile);
  const { [maxSize]: size = "-1", [maxFile]: files = "1" } = options;
  if (size !== "-1") {
    const bytes = parseHumanSize(size);
    if (bytes < 1) throw invalid(`${maxSize} must be a positive number`);
    if (!Number.isSafeInteger(bytes))
      throw invalid(`invalid value for ${maxSize}: ${size} is more than a file can have`);
  }
  if (Number(files) < 1) throw invalid(`${maxFile} cannot be less than 1`);
  if (Number(files) > logFilesMax) throw invalid(`${maxFile} cannot be more than ${logFilesMax}`);
}

function checkJsonFile(options: Options): void {
  checkFileOptions(options);
  const { "max-size": size = "-1", "max-file": files = "1", compress = "" } = options;
  if (parseGoBool(compress) && (size === "-1" || Number(files) < 2)) {
    throw invalid("compress cannot be true when max-file is less than 2 or max-size is not set");
  }
}

function checkLocal(options: Options): void {
  checkFileOptions(options);
  const { "max-file": files, compress = "true" } = options;
  if (files === "1" && parseGoBool(compress)) {
    throw invalid("compression cannot be enabled when max file count is 1");
  }
}

/** RFC 5424, section 6.2.1, by the names of syslog(3). */
const facilities = [
  "kern",
  "user",
  "mail",
  "daemon",
  "auth",
  "syslog",
  "lpr",
  "news",
  "uucp",
  "cron",
  "authpriv",
  "ftp",
];

function checkSyslog(options: Options): void {
  const { "syslog-address": address, "syslog-facility": facility, "syslog-format": format } = options;
  if (address) syslogAddress(address);
  if (facility) syslogFacility(facility);
  if (format && !["rfc3164", "rfc5424", "rfc5424micro"].includes(format)) throw invalid("Invalid syslog format");
}

/** The number of a facility. @throws EngineError invalid_argument */
export function syslogFacility(text: string): number {
  const named = facilities.indexOf(text);
  if (named >= 0) return named;
  const [, local] = /^local([0-7])$/.exec(text) ?? [];
  if (local !== undefined) return 16 + Number(local);
  if (/^\d+$/.test(text) && Number(text) <= 23) return Number(text);
  throw invalid("invalid syslog facility");
}

/** @throws EngineError invalid_argument */
export function syslogAddress(text: string): NonNullable<SyslogTarget["address"]> {
  const wrong = () => invalid(`syslog-address should be in form proto://address, got ${text}`);
  const [, kind, rest = ""] = /^(udp|tcp|tcp\+tls|unix|unixgram):\/\/(.+)$/.exec(text) ?? [];
  if (kind === "unix" || kind === "unixgram") {
    if (!rest.startsWith("/")) throw wrong();
    return { kind, path: rest };
  }
  const [, bracketed, plain, port = "514"] =
    /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:/[\]]+))(?::(\d{1,5}))?\/?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  if (kind === undefined || host === undefined || Number(port) > 65_535) throw wrong();
  return { kind: kind as "udp" | "tcp" | "tcp+tls", host, port: Number(port) };
}

function checkSize(options: Options, option: string): void {
  const value = options[option];
  // Docker's word for no limit.
  if (value === undefined || value === "-1") return;
  named(`invalid value for ${option}`, () => parseHumanSize(value));
}

function checkCount(options: Options, option: string): void {
  const value = options[option];
  if (value === undefined || /^\d{1,9}$/.test(value)) return;
  throw invalid(`invalid value for ${option}: strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
}

function checkBool(options: Options, option: string): void {
  const value = options[option];
  if (value === undefined || value === "" || parseGoBool(value) !== undefined) return;
  throw invalid(`invalid value for ${option}: ${noBool(value)}`);
}

function noBool(value: string): string {
  return `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`;
}

function named(what: string, read: () => unknown): void {
  try {
    read();
  } catch (error) {
    throw invalid(`${what}: ${errorMessage(error)}`);
  }
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create" });
}
