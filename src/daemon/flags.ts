/** The daemon's command line, with pflag's syntax: `--name value`, `--name=value`, `-n value`, `-nvalue`, repeatable. */
import { EngineError, errorMessage } from "../core/errors.ts";
import { parseGoDuration } from "../core/go-duration.ts";
import { type LogLevel, logLevels } from "../core/log.ts";
import { parseBytes } from "../core/size.ts";
import type { ShimPer } from "../engine/configuration.ts";
import type { LogDefaults } from "../engine/container/log-target.ts";
import type { EventRetention } from "../engine/event/history.ts";
import type { NetworkConfiguration } from "../network/configuration.ts";
import { dockerdFlagOf, hasValue, isDockerdFlag, refusalOf } from "./dockerd-flags.ts";
import { readEventOptions } from "./event-flags.ts";
import type { Flag } from "./flag.ts";
import { type GcOptions, readGcOptions } from "./gc-flags.ts";
import { logFlags, readLogDefaults } from "./log-flags.ts";
import { networkFlags, readNetworkOptions } from "./network-flags.ts";
import { readStorageOptions, type StorageOptions } from "./storage-flags.ts";

export interface DaemonOptions {
  root: string;
  state: string;
  /** `unix:///path`. */
  hosts: string[];
  logLevel: LogLevel;
  pidFile: string | undefined;
  /** Of the socket; absent: `tsd`, else `docker`, else root's. */
  group: string | undefined;
  registryMirrors: string[];
  insecureRegistries: string[];
  /** Absent: the image part's own. */
  certificateDirectories: string[] | undefined;
  /** Silence of a registry after which a request is given up; absent: the default. */
  registryTimeoutMs: number | undefined;
  /** What one layer may unpack to; absent: the defaults. */
  maxLayerBytes: number | undefined;
  maxLayerFiles: number | undefined;
  events: EventRetention;
  gc: GcOptions;
  /** Name to the path of an OCI runtime's executable. */
  runtimes: Record<string, string>;
  defaultRuntime: string;
  cgroupParent: string;
  shimPer: ShimPer;
  storage: StorageOptions;
  /** Whose subordinate ids containers get. */
  usernsRemap: string | undefined;
  /** Names, in the order in which they are asked. */
  authorizationPlugins: string[];
  /** Absent: where Docker's are. */
  pluginDirectories: string[] | undefined;
  /** Where files of CDI are; none switches CDI off. */
  cdiFolders: string[];
  experimental: boolean;
  log: LogDefaults;
  network: NetworkConfiguration;
}

export type DaemonCommand = { kind: "run"; options: DaemonOptions } | { kind: "help" } | { kind: "version" };

export const defaultRoot = "/var/lib/tsd";
export const defaultState = "/run/tsd";

const flags: Record<string, Flag> = {
  "add-runtime": { value: "list", help: "Register a further OCI runtime: NAME=PATH" },
  "authorization-plugin": { value: "list", help: "Plugin that is asked whether each request is allowed" },
  "cgroup-parent": { value: "string", help: 'Parent cgroup of all containers (default "/tsd")' },
  "cdi-spec-dir": {
    value: "list",
    help: 'Directory with CDI files, which --device and --gpus look for devices in; "" for none (default "/etc/cdi", "/var/run/cdi")',
  },
  "certs-dir": {
    value: "list",
    help: 'Directory with HOST/hosts.toml and certificates of registries (default "/etc/tsd/certs.d", "/etc/docker/certs.d")',
  },
  debug: { short: "D", help: "Same as --log-level debug" },
  "default-runtime": { value: "string", help: 'OCI runtime of containers that name none (default "tsd")' },
  "events-max-age": { value: "duration", help: 'How long events are kept (default "720h")' },
  "events-max-count": { value: "number", help: "How many events are kept at most; 0 keeps none (default 50000)" },
  experimental: { help: "Tell clients so: docker's has checkpoints only then" },
  gc: { value: "string", help: 'Garbage collection of images: on or off (default "on")' },
  "gc-interval": { value: "duration", help: 'Time between two collections (default "1h")' },
  "gc-keep-for": { value: "duration", help: 'Never remove images used within this time (default "24h")' },
  "gc-max-used": { value: "string", help: "Size, or % of the file system, that images may take (default none)" },
  "gc-min-free": { value: "string", help: 'Size, or % of the file system, to keep free (default "5%", at most 20g)' },
  group: { short: "G", value: "string", help: 'Group of the socket (default "tsd", else "docker", else root)' },
  help: { short: "h", help: "Print usage" },
  host: { short: "H", value: "list", help: 'Socket to listen on (default "unix:///run/tsd/tsd.sock")' },
  "insecure-registry": { value: "list", help: "Registry that may be spoken to without verified TLS" },
  "log-level": { short: "l", value: "string", help: `One of ${logLevels.join(", ")} (default "info")` },
  "max-layer-files": { value: "number", help: "Most entries that a layer may have (default 10000000)" },
  "max-layer-size": { value: "bytes", help: 'Most bytes that a layer may unpack to (default "128g")' },
  pidfile: { short: "p", value: "string", help: "File for the daemon's process id" },
  "plugin-dir": {
    value: "list",
    help: 'Directory with sockets, .spec and .json files of plugins (default "/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")',
  },
  "registry-mirror": { value: "list", help: "Mirror to try before Docker Hub" },
  "registry-timeout": { value: "duration", help: 'Silence after which a registry is given up (default "30s")' },
  root: { value: "string", help: `Directory of everything that lasts (default "${defaultRoot}")` },
  "shim-per": {
    value: "string",
    help: 'What has a shim process of its own: each "container", or each "project" of compose (default "container")',
  },
  state: { value: "string", help: `Directory of what lasts until the next boot (default "${defaultState}")` },
  "storage-opt": { value: "list", help: "Storage option: overlay2.size=SIZE is what a container may write" },
  "userns-remap": {
    value: "string",
    help: 'User namespace of containers: "default", "auto", or USER[:GROUP] of /etc/subuid',
  },
  version: { short: "v", help: "Print version information and quit" },
  ...logFlags,
  ...networkFlags,
};

export function daemonHelp(): string {
  const sorted = Object.entries(flags).sort(([a], [b]) => (a < b ? -1 : 1));
  const rows = sorted.map(([name, { short, value, help }]) => {
    const type = value === undefined ? "" : ` ${value}`;
    return [`  ${short === undefined ? "    " : `-${short}, `}--${name}${type}`, help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 3;
  const table = rows.map(([left, help]) => left.padEnd(width) + help).join("\n");
  return `Usage:  tsd daemon [OPTIONS]\n\nRuns the container engine until it is told to stop; containers outlive it.\n\nOptions:\n${table}\n`;
}

/** @throws EngineError invalid_argument in the words of docker's own parser. */
export function parseDaemonArguments(args: readonly string[]): DaemonCommand {
  const given = readFlags(args);
  if (isOn(given, "help")) return { kind: "help" };
  if (isOn(given, "version")) return { kind: "version" };
  const state = absolute(last(given, "state") ?? defaultState, "state");
  const hosts = (given.get("host") ?? []).map(parseHost);
  return {
    kind: "run",
    options: {
      root: absolute(last(given, "root") ?? defaultRoot, "root"),
      state,
      hosts: hosts.length > 0 ? hosts : [`unix://${state}/tsd.sock`],
      logLevel: isOn(given, "debug") ? "debug" : parseLogLevel(last(given, "log-level") ?? "info"),
      pidFile: last(given, "pidfile"),
      group: last(given, "group"),
      registryMirrors: (given.get("registry-mirror") ?? []).map(parseMirror),
      insecureRegistries: given.get("insecure-registry") ?? [],
      certificateDirectories: given.get("certs-dir")?.map((path) => absolute(path, "certs-dir")),
      registryTimeoutMs: read(given, "registry-timeout", parseGoDuration),
      maxLayerBytes: read(given, "max-layer-size", parseBytes),
      maxLayerFiles: read(given, "max-layer-files", (text) => (/^\d+$/.test(text) ? Number(text) : undefined)),
      events: eventOptions(given),
      gc: gcOptions(given),
      runtimes: Object.fromEntries((given.get("add-runtime") ?? []).map(parseRuntime)),
      defaultRuntime: last(given, "default-runtime") ?? "tsd",
      cgroupParent: last(given, "cgroup-parent") ?? "/tsd",
      shimPer: parseShimPer(last(given, "shim-per") ?? "container"),
      storage: storageOptions(given),
      usernsRemap: last(given, "userns-remap"),
      authorizationPlugins: given.get("authorization-plugin") ?? [],
      pluginDirectories: given.get("plugin-dir")?.map((path) => absolute(path, "plugin-dir")),
      cdiFolders: cdiFolders(given),
      experimental: isOn(given, "experimental") === true,
      log: logDefaultsOf(given),
      network: networkOptions(given),
    },
  };
}

function parseShimPer(text: string): ShimPer {
  if (text === "container" || text === "project") return text;
  throw usage(`invalid argument "${text}" for "--shim-per" flag: it is "container" or "project"`);
}

type Given = Map<string, string[]>;

function readFlags(args: readonly string[]): Given {
  const given: Given = new Map();
  for (let index = 0; index < args.length; index++) {
    const { name, attached, shown } = splitArgument(args[index]!);
    if (!Object.hasOwn(flags, name)) {
      index += checkDockerds(name, attached, args[index + 1]);
      continue;
    }
    const flag = flags[name]!;
    const values = given.get(name) ?? [];
    given.set(name, values);
    if (flag.value === undefined) {
      const state = attached ?? "true";
      if (state !== "true" && state !== "false") throw usage(`invalid argument "${attached}" for "${shown}" flag`);
      values.splice(0, values.length, state);
      continue;
    }
    const value = attached ?? args[++index];
    if (value === undefined) throw usage(`flag needs an argument: ${shown}`);
    if (flag.value !== "list") values.length = 0;
    values.push(value);
  }
  return given;
}

/** @returns how many words its value is. @throws EngineError that says what tsd has in the flag's place. */
function checkDockerds(name: string, attached: string | undefined, next: string | undefined): 0 | 1 {
  const isSeparate = attached === undefined && hasValue(name);
  const value = attached ?? (hasValue(name) ? (next ?? "") : "true");
  const reason = refusalOf(name, value);
  if (reason !== undefined) throw usage(`--${name}${value === "" || value === "true" ? "" : `=${value}`}: ${reason}`);
  return isSeparate ? 1 : 0;
}

function splitArgument(arg: string): { name: string; attached: string | undefined; shown: string } {
  if (arg.startsWith("--")) {
    const separator = arg.indexOf("=");
    const name = separator < 0 ? arg.slice(2) : arg.slice(2, separator);
    if (!Object.hasOwn(flags, name) && !isDockerdFlag(name)) throw usage(`unknown flag: --${name}`);
    return { name, attached: separator < 0 ? undefined : arg.slice(separator + 1), shown: `--${name}` };
  }
  if (!arg.startsWith("-") || arg === "-") throw usage(`"tsd daemon" accepts no arguments: ${arg}`);
  const found = Object.entries(flags).find(([, flag]) => flag.short === arg[1]);
  const dockerds = dockerdFlagOf(arg[1]!);
  if (dockerds !== undefined) return { name: dockerds, attached: arg.slice(2) || undefined, shown: `-${arg[1]}` };
  if (found === undefined) throw usage(`unknown shorthand flag: '${arg[1]}' in ${arg}`);
  const [name, flag] = found;
  const rest = arg.slice(2);
  if (flag.value === undefined && rest !== "") throw usage(`unknown shorthand flag: '${rest[0]}' in ${arg}`);
  return { name, attached: rest === "" ? undefined : rest.replace(/^=/, ""), shown: `-${arg[1]}` };
}

function usage(message: string): EngineError {
  return new EngineError("invalid_argument", message, { hint: "See 'tsd daemon --help'." });
}

function last(given: Given, name: string): string | undefined {
  return given.get(name)?.at(-1);
}

/** Of a switch; undefined where it is not given. */
function isOn(given: Given, name: string): boolean | undefined {
  const state = last(given, name);
  return state === undefined ? undefined : state === "true";
}

/** A flag's value as a number above 0; undefined where it is not given. */
function read(given: Given, name: string, parse: (text: string) => number | undefined): number | undefined {
  const text = last(given, name);
  if (text === undefined) return undefined;
  let value: number | undefined;
  try {
    value = parse(text);
  } catch (error) {
    throw usage(`invalid argument "${text}" for "--${name}" flag: ${errorMessage(error)}`);
  }
  if (value === undefined || !(value > 0)) throw usage(`invalid argument "${text}" for "--${name}" flag`);
  return value;
}

function gcOptions(given: Given): GcOptions {
  try {
    return readGcOptions((name) => last(given, name));
  } catch (error) {
    throw usage(errorMessage(error));
  }
}

function eventOptions(given: Given): EventRetention {
  try {
    return readEventOptions((name) => last(given, name));
  } catch (error) {
    throw usage(errorMessage(error));
  }
}

function storageOptions(given: Given): StorageOptions {
  try {
    return readStorageOptions(given.get("storage-opt") ?? []);
  } catch (error) {
    throw usage(errorMessage(error));
  }
}

/** As dockerd: one that is empty switches CDI off. */
function cdiFolders(given: Given): string[] {
  const folders = given.get("cdi-spec-dir") ?? ["/etc/cdi", "/var/run/cdi"];
  if (folders.length === 1 && folders[0] === "") return [];
  return folders.map((folder) => absolute(folder, "cdi-spec-dir"));
}

function logDefaultsOf(given: Given): LogDefaults {
  try {
    return readLogDefaults(last(given, "log-driver"), given.get("log-opt") ?? []);
  } catch (error) {
    throw usage(errorMessage(error));
  }
}

function networkOptions(given: Given): NetworkConfiguration {
  try {
    return readNetworkOptions({
      last: (name) => last(given, name),
      all: (name) => given.get(name),
      isOn: (name) => isOn(given, name),
    });
  } catch (error) {
    throw usage(errorMessage(error));
  }
}

function absolute(path: string, flag: string): string {
  if (!path.startsWith("/")) throw usage(`--${flag} ${path}: must be an absolute path`);
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}

function parseHost(text: string): string {
  if (text.startsWith("unix:///")) return text;
  if (text.startsWith("/")) return `unix://${text}`;
  if (text.startsWith("tcp://")) {
    throw usage(`--host ${text}: listening on TCP is not built, because it would give root to whoever can reach it`);
  }
  if (text.startsWith("fd://")) throw usage(`--host ${text}: socket activation is not built; tsd opens its own socket`);
  throw usage(`invalid bind address (${text}): use unix:///path`);
}

function parseLogLevel(text: string): LogLevel {
  const level = logLevels.find((known) => known === text);
  if (level === undefined) throw usage(`unable to parse logging level: ${text}`);
  return level;
}

function parseMirror(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw new EngineError("invalid_argument", `invalid mirror: ${text} is no URL`, { cause: error });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw usage(`invalid mirror: unsupported scheme "${url.protocol.slice(0, -1)}" in ${text}`);
  }
  if (url.username !== "" || url.search !== "" || url.hash !== "") {
    throw usage(`invalid mirror: ${text} must have neither user, query nor fragment`);
  }
  return text.replace(/\/+$/, "");
}

function parseRuntime(text: string): [string, string] {
  const separator = text.indexOf("=");
  const [name, path] = [text.slice(0, separator), text.slice(separator + 1)];
  if (separator <= 0 || !path.startsWith("/")) {
    throw usage(`invalid runtime "${text}": write NAME=PATH with an absolute path`);
  }
  if (name === "tsd") throw usage(`runtime name 'tsd' is reserved for the one inside tsd`);
  return [name, path];
}
