/** `--log-opt` as Docker's drivers judge it when a container is created (moby, daemon/logger, ValidateLogOpt). */
import { EngineError, errorMessage } from "../core/errors.ts";
import { parseGoBool } from "../core/go-bool.ts";
import { parseGoDuration } from "../core/go-duration.ts";
import { parseBytes } from "../core/size.ts";
import { logFilesMax } from "./json-file.ts";

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
    check: checkFileOptions,
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
  gelf: {
    options: [
      ...attributes,
      "gelf-address",
      "gelf-compression-level",
      "gelf-compression-type",
      "gelf-tcp-max-reconnect",
      "gelf-tcp-reconnect-delay",
    ],
    check: checkGelf,
  },
  fluentd: {
    options: [
      ...attributes,
      "fluentd-address",
      "fluentd-async",
      "fluentd-async-connect",
      "fluentd-async-reconnect-interval",
      "fluentd-buffer-limit",
      "fluentd-max-retries",
      "fluentd-read-timeout",
      "fluentd-request-ack",
      "fluentd-retry-wait",
      "fluentd-sub-second-precision",
      "fluentd-write-timeout",
    ],
    check: checkFluentd,
  },
  awslogs: {
    options: [
      "awslogs-create-group",
      "awslogs-create-stream",
      "awslogs-credentials-endpoint",
      "awslogs-datetime-format",
      "awslogs-endpoint",
      "awslogs-force-flush-interval-seconds",
      "awslogs-format",
      "awslogs-group",
      "awslogs-max-buffered-events",
      "awslogs-multiline-pattern",
      "awslogs-region",
      "awslogs-stream",
      "tag",
    ],
    check: checkAwslogs,
  },
  splunk: {
    options: [
      ...attributes,
      "splunk-caname",
      "splunk-capath",
      "splunk-format",
      "splunk-gzip",
      "splunk-gzip-level",
      "splunk-index",
      "splunk-index-acknowledgment",
      "splunk-insecureskipverify",
      "splunk-source",
      "splunk-sourcetype",
      "splunk-token",
      "splunk-url",
      "splunk-verify-connection",
    ],
  },
  gcplogs: {
    options: [
      "env",
      "env-regex",
      "gcp-log-cmd",
      "gcp-meta-id",
      "gcp-meta-name",
      "gcp-meta-zone",
      "gcp-project",
      "labels",
      "labels-regex",
    ],
    unknown: (option) => `${JSON.stringify(option)} is not a valid option for the gcplogs driver`,
  },
};

/** Of every driver: how its reader is waited for, and the files that keep what `logs` shows of a remote one. */
const common = ["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

/** @throws EngineError invalid_argument in docker's words. */
export function checkLogOptions(name: string, options: Options): void {
  // Docker looks at none of them.
  if (name === "none") return;
  const driver = Object.hasOwn(drivers, name) ? drivers[name] : undefined;
  if (driver === undefined) throw invalid(`error looking up logging plugin ${name}: plugin "${name}" not found`);
  checkCommon(options);
  driver.check?.(options);
  for (const option of Object.keys(options)) {
    if (common.includes(option) || driver.options.includes(option)) continue;
    throw invalid(driver.unknown?.(option) ?? `unknown log opt '${option}' for ${name} log driver`);
  }
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
  checkSize(options, "cache-max-size");
  checkCount(options, "cache-max-file");
}

/** Docker sees these when the container starts. */
function checkFileOptions(options: Options): void {
  checkSize(options, "max-size");
  checkCount(options, "max-file");
  checkBool(options, "compress");
  const { "max-size": size = "-1", "max-file": files = "1" } = options;
  if (size !== "-1") {
    const bytes = parseBytes(size);
    if (bytes < 1) throw invalid("max-size must be a positive number");
    if (!Number.isSafeInteger(bytes)) throw invalid(`invalid value for max-size: ${size} is more than a file can have`);
  }
  if (Number(files) < 1) throw invalid("max-file cannot be less than 1");
  if (Number(files) > logFilesMax) throw invalid(`max-file cannot be more than ${logFilesMax}`);
}

function checkJsonFile(options: Options): void {
  checkFileOptions(options);
  const { "max-size": size = "-1", "max-file": files = "1", compress = "" } = options;
  if (parseGoBool(compress) && (size === "-1" || Number(files) < 2)) {
    throw invalid("compress cannot be true when max-file is less than 2 or max-size is not set");
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
  if (address !== undefined && !/^(udp|tcp|tcp\+tls|unix|unixgram):\/\//.test(address)) {
    throw invalid(`syslog-address should be in form proto://address, got ${address}`);
  }
  const isNumber = /^\d+$/.test(facility ?? "") && Number(facility) <= 23;
  if (facility && !isNumber && !facilities.includes(facility) && !/^local[0-7]$/.test(facility)) {
    throw invalid("invalid syslog facility");
  }
  if (format && !["rfc3164", "rfc5424", "rfc5424micro"].includes(format)) throw invalid("Invalid syslog format");
}

function checkGelf(options: Options): void {
  const { "gelf-address": address } = options;
  if (!address) throw invalid("gelf-address is a required parameter");
  const [, scheme, rest = ""] = /^([a-z][a-z+.-]*):\/\/(.*)$/.exec(address) ?? [];
  if (scheme === undefined) throw invalid(`gelf-address should be in form proto://address, got ${address}`);
  if (scheme !== "udp" && scheme !== "tcp") throw invalid("gelf: endpoint needs to be TCP or UDP");
  if (!/:\d+$/.test(rest)) throw invalid("gelf: please provide gelf-address as proto://host:port");
  const values = (option: string, isFine: (value: string) => boolean) => {
    const value = options[option];
    if (value === undefined || isFine(value)) return;
    throw invalid(`unknown value ${JSON.stringify(value)} for log opt ${JSON.stringify(option)} for gelf log driver`);
  };
  values("gelf-compression-type", (value) => ["gzip", "zlib", "none"].includes(value));
  values("gelf-compression-level", (value) => /^(-1|\d)$/.test(value));
  for (const option of ["gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"]) {
    const value = options[option];
    if (value === undefined) continue;
    if (scheme !== "tcp") throw invalid(`${JSON.stringify(option)} is only valid for TCP`);
    if (!/^\d+$/.test(value)) throw invalid(`${JSON.stringify(option)} must be a positive integer`);
  }
  const compresses = options["gelf-compression-type"] !== undefined || options["gelf-compression-level"] !== undefined;
  if (scheme === "tcp" && compresses) throw invalid("compression is only supported on UDP");
}

function checkFluentd(options: Options): void {
  const { "fluentd-address": address } = options;
  if (address) {
    const [, scheme, rest = ""] = /^([a-z]+):\/\/(.*)$/.exec(address) ?? [undefined, "tcp", address];
    const port = /:([^:\]]*)$/.exec(rest)?.[1];
    const isPath = scheme === "unix" && rest.startsWith("/");
    const isServer = (scheme === "tcp" || scheme === "tls") && (port === undefined || /^\d{1,5}$/.test(port));
    if (!isPath && !isServer) throw invalid(`invalid fluentd-address ${address}`);
  }
  checkSize(options, "fluentd-buffer-limit");
  for (const option of [
    "fluentd-retry-wait",
    "fluentd-async-reconnect-interval",
    "fluentd-read-timeout",
    "fluentd-write-timeout",
  ]) {
    const value = options[option];
    if (value !== undefined && parseGoDuration(value) === undefined) {
      throw invalid(`invalid value for ${option}: time: invalid duration ${JSON.stringify(value)}`);
    }
  }
  checkCount(options, "fluentd-max-retries");
  for (const option of [
    "fluentd-async",
    "fluentd-async-connect",
    "fluentd-request-ack",
    "fluentd-sub-second-precision",
  ]) {
    checkBool(options, option);
  }
}

function checkAwslogs(options: Options): void {
  if (!options["awslogs-group"]) throw invalid("must specify a value for log opt 'awslogs-group'");
  for (const option of ["awslogs-create-group", "awslogs-create-stream"]) {
    const value = options[option];
    if (!value || parseGoBool(value) !== undefined) continue;
    throw invalid(`must specify valid value for log opt '${option}': ${noBool(value)}`);
  }
  for (const option of ["awslogs-force-flush-interval-seconds", "awslogs-max-buffered-events"]) {
    const value = options[option];
    if (!value || (/^\d+$/.test(value) && Number(value) > 0)) continue;
    throw invalid(`must specify a positive integer for log opt '${option}': ${value}`);
  }
  const together = (one: string, other: string) => {
    if (options[one] === undefined || options[other] === undefined) return;
    throw invalid(`you cannot configure log opt '${one}' and '${other}' at the same time`);
  };
  together("awslogs-datetime-format", "awslogs-multiline-pattern");
  const { "awslogs-format": format } = options;
  if (format === undefined) return;
  if (format !== "json/emf") throw invalid(`unsupported log format '${format}'`);
  together("awslogs-format", "awslogs-datetime-format");
  together("awslogs-format", "awslogs-multiline-pattern");
}

function checkSize(options: Options, option: string): void {
  const value = options[option];
  // Docker's word for no limit.
  if (value === undefined || value === "-1") return;
  named(`invalid value for ${option}`, () => parseBytes(value));
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

/** What tsd itself does of a container's logging: the rest is kept in its record until the drivers are built. */
const acted: readonly string[] = ["max-size", "max-file"];

/** Says what of a log configuration that is right does not happen. */
export function logWarnings(name: string, options: Options): string[] {
  if (name === "none") return [];
  if (name !== "json-file") {
    return [
      `The log driver ${name} is not built in this version of tsd: it is kept in the container's configuration, and the log is written as json-file does, without options.`,
    ];
  }
  const idle = Object.keys(options).filter((option) => !acted.includes(option) && options[option] !== "");
  if (idle.length === 0) return [];
  return [
    `The log options ${idle.join(", ")} do nothing in this version of tsd: they are kept in the container's configuration.`,
  ];
}
