import type { CollectionPolicy } from "../image/collection/collected.ts";
import type { ProxySettings } from "../image/registry/proxies.ts";
import type { NetworkConfiguration } from "../network/configuration.ts";
import type { LogDefaults } from "./container/log-target.ts";
import type { EventRetention } from "./event/history.ts";

/** What the engine is told by whoever composes it: the daemon, or a test. */
export interface EngineConfiguration {
  /** Absolute directory of everything that lasts. */
  root: string;
  /** Absolute directory of what ends with the boot: sockets, shim and runtime state. */
  state: string;
  registryMirrors: string[];
  insecureRegistries: string[];
  /** Where registries' certificates and hosts.toml are; absent: the image part's own. */
  certificateDirectories?: string[];
  /** On the way to registries. */
  proxies?: ProxySettings;
  /** Silence of a registry after which a request is given up; absent: the image part's own. */
  registryTimeoutMs?: number;
  /** Of one unpacked layer; absent: the image part's own. */
  layerLimits?: { bytesMax?: number; entriesMax?: number };
  /** Garbage collection of images; absent: only when it is asked for, of what nothing refers to. */
  gc?: GcConfiguration;
  /** How many events are kept, and for how long; absent: the default. */
  events?: EventRetention;
  /** Further OCI runtimes: name to the path of the executable. */
  runtimes: Record<string, string>;
  /** Runtime of containers that name none: `tsd` is the one inside. */
  defaultRuntime: string;
  /** Absolute path below the cgroup mount points. */
  cgroupParent: string;
  /** Which containers share a shim's process: those of a project of compose, or none. Absent: none. */
  shimPer?: ShimPer;
  /** What a container may write that does not say it itself, in bytes; absent: no limit. */
  containerBytes?: number;
  /** `--userns-remap`; absent: containers are in the host's user namespace. */
  usernsRemap?: string;
  network: NetworkConfiguration;
  /** Where plugins are found; absent: where Docker's are. */
  pluginDirectories?: string[];
  /** Those that are asked about every request, as info shows them; absent: none. */
  authorizationPlugins?: string[];
  /** Where files of CDI are, later ones before earlier ones; absent: nowhere. */
  cdiFolders?: readonly string[];
  /** Absent: json-file without options. */
  log?: LogDefaults;
  debug: boolean;
  /** Clients are told so: docker's has checkpoints only then. Absent: no. */
  experimental?: boolean;
}

export type ShimPer = "container" | "project";

export interface GcConfiguration extends CollectionPolicy {
  /** On a schedule; off: only when it is asked for. */
  isOn: boolean;
  intervalMs: number;
}

/** The runtime inside tsd, as `run --runtime` names it. */
export const builtinRuntime = "tsd";
