/** The service that the API's system routes call. */
import { cpus, hostname, release } from "node:os";
import type { SystemInfo, VersionResponse } from "../../api/schema/system.ts";
import { commit, version } from "../../core/version.ts";
import { logDrivers } from "../../logging/log-options.ts";
import { builtinRuntime } from "../configuration.ts";
import { logDefaults } from "../container/log-target.ts";
import { projectState } from "../container/state.ts";
import type { EngineContext } from "../context.ts";
import { readForwarding, readMemoryTotal, readOperatingSystem, readUsage } from "./host.ts";
import { versionResponse } from "./version.ts";

/** What is found out once and does not change while the kernel runs. */
export interface HostFacts {
  /** Controllers of cgroups that this host has: `memory`, `cpu`, `pids` … */
  controllers: ReadonlySet<string>;
  /** Swap is counted and can be limited. */
  swapLimit: boolean;
  apparmor: boolean;
}

export class SystemService {
  readonly #context: EngineContext;
  readonly #engineId: string;
  readonly #readFacts: () => HostFacts;

  constructor(context: EngineContext, engineId: string, facts: () => HostFacts) {
    this.#context = context;
    this.#engineId = engineId;
    this.#readFacts = facts;
  }

  async version(): Promise<VersionResponse> {
    return versionResponse(this.#context.configuration.experimental === true);
  }

  async info(): Promise<SystemInfo> {
    const { configuration, cgroupVersion, events, networks, images, volumes } = this.#context;
    const { name, version: osVersion } = readOperatingSystem();
    const { descriptors, threads } = readUsage();
    const commitId = { ID: commit };
    const discovered = this.#context.bundles.discoveredDevices();
    return {
      ID: this.#engineId,
      ...this.#counts(),
      Images: images.list().length,
      Driver: "overlayfs",
      DriverStatus: [["driver-type", "tsd snapshots"]],
      DockerRootDir: configuration.root,
      Plugins: {
        Volume: volumes.drivers.names(),
        Network: ["bridge", "host", "ipvlan", "macvlan", "null"],
        Authorization: configuration.authorizationPlugins ?? null,
        Log: [...logDrivers],
      },
      ...this.#limits(),
      IPv4Forwarding: readForwarding(),
      Debug: configuration.debug,
      NFd: descriptors,
      NGoroutines: threads,
      SystemTime: new Date().toISOString(),
      LoggingDriver: (configuration.log ?? logDefaults).driver,
      CgroupDriver: "cgroupfs",
      CgroupVersion: cgroupVersion === 2 ? "2" : "1",
      NEventsListener: events.listeners,
      KernelVersion: release(),
      OperatingSystem: name,
      OSVersion: osVersion,
      OSType: "linux",
      Architecture: process.arch === "x64" ? "x86_64" : "aarch64",
      NCPU: cpus().length,
      MemTotal: readMemoryTotal(),
      IndexServerAddress: "https://index.docker.io/v1/",
      RegistryConfig: this.#registries(),
      GenericResources: null,
      HttpProxy: shownProxy(this.#context.configuration.proxies?.http),
      HttpsProxy: shownProxy(this.#context.configuration.proxies?.https),
      NoProxy: this.#context.configuration.proxies?.no ?? "",
      Name: hostname(),
      Labels: [],
      ExperimentalBuild: configuration.experimental === true,
      ServerVersion: version,
      Runtimes: this.#runtimes(),
      DefaultRuntime: configuration.defaultRuntime,
      Swarm: {
        NodeID: "",
        NodeAddr: "",
        LocalNodeState: "inactive",
        ControlAvailable: false,
        Error: "",
        RemoteManagers: null,
      },
      LiveRestoreEnabled: true,
      Isolation: "",
      InitBinary: "tsd",
      ContainerdCommit: commitId,
      RuncCommit: commitId,
      InitCommit: commitId,
      SecurityOptions: this.#securityOptions(),
      ...addressPools(configuration.network.pools),
      FirewallBackend: { Driver: "nftables" },
      CDISpecDirs: [...(configuration.cdiFolders ?? [])],
      DiscoveredDevices: discovered.names.map((ID) => ({ Source: "cdi", ID })),
      Warnings: [...this.#warnings(), ...networks.warnings(), ...discovered.warnings],
    };
  }

  #counts(): Pick<SystemInfo, "Containers" | "ContainersRunning" | "ContainersPaused" | "ContainersStopped"> {
    const states = this.#context.containers.all().map(({ state }) => projectState(state));
    const running = states.filter(({ Running }) => Running).length;
    const paused = states.filter(({ Paused }) => Paused).length;
    return {
      Containers: states.length,
      ContainersRunning: running,
      ContainersPaused: paused,
      ContainersStopped: states.length - running - paused,
    };
  }

  #limits(): Pick<
    SystemInfo,
    | "MemoryLimit"
    | "SwapLimit"
    | "CpuCfsPeriod"
    | "CpuCfsQuota"
    | "CPUShares"
    | "CPUSet"
    | "PidsLimit"
    | "OomKillDisable"
  > {
    const { controllers, swapLimit } = this.#readFacts();
    const cpu = controllers.has("cpu");
    return {
      MemoryLimit: controllers.has("memory"),
      SwapLimit: swapLimit,
      CpuCfsPeriod: cpu,
      CpuCfsQuota: cpu,
      CPUShares: cpu,
      CPUSet: controllers.has("cpuset"),
      PidsLimit: controllers.has("pids"),
      // Version 2 has no such switch.
      OomKillDisable: this.#context.cgroupVersion === 1 && controllers.has("memory"),
    };
  }

  #registries(): SystemInfo["RegistryConfig"] {
    const { registryMirrors, insecureRegistries } = this.#context.configuration;
    const cidrs = insecureRegistries.filter((entry) => entry.includes("/"));
    const insecure = insecureRegistries.filter((entry) => !entry.includes("/"));
    return {
      InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8", ...cidrs],
      IndexConfigs: {
        "docker.io": { Name: "docker.io", Mirrors: registryMirrors, Secure: true, Official: true },
        ...Object.fromEntries(insecure.map((Name) => [Name, { Name, Mirrors: [], Secure: false, Official: false }])),
      },
      Mirrors: registryMirrors,
    };
  }

  #runtimes(): SystemInfo["Runtimes"] {
    const added = Object.entries(this.#context.configuration.runtimes).map(([name, path]) => [name, { path }]);
    return { [builtinRuntime]: { path: "tsd", runtimeArgs: ["runtime"] }, ...Object.fromEntries(added) };
  }

  #securityOptions(): string[] {
    return [
      ...(this.#readFacts().apparmor ? ["name=apparmor"] : []),
      "name=seccomp,profile=builtin",
      ...(this.#context.remap === undefined ? [] : ["name=userns"]),
      ...(this.#context.cgroupVersion === 2 ? ["name=cgroupns"] : []),
    ];
  }

  #warnings(): string[] {
    const limits = this.#limits();
    const { insecureRegistries } = this.#context.configuration;
    return [
      ...(limits.MemoryLimit ? [] : ["WARNING: No memory limit support"]),
      ...(limits.SwapLimit ? [] : ["WARNING: No swap limit support"]),
      ...(limits.CpuCfsQuota ? [] : ["WARNING: No cpu cfs quota support"]),
      ...(limits.PidsLimit ? [] : ["WARNING: No pids limit support"]),
      ...insecureRegistries.map((entry) => `WARNING: ${entry} is spoken to without verified TLS`),
    ];
  }
}

/** Those of `--default-address-pool`, `10.10.0.0/16 size 24`; Docker does not name those that it has by itself either. */
export function addressPools(pools: readonly string[] = []): Pick<SystemInfo, "DefaultAddressPools"> {
  if (pools.length === 0) return {};
  return {
    DefaultAddressPools: pools.map((pool) => {
      const [Base = "", , size] = pool.split(" ");
      return { Base, Size: Number(size) };
    }),
  };
}

/** As Docker shows a proxy: without its password. */
function shownProxy(proxy: string | undefined): string {
  if (proxy === undefined) return "";
  const url = new URL(proxy);
  if (url.username !== "" || url.password !== "") {
    url.username = "xxxxx";
    url.password = "xxxxx";
  }
  return url.href.replace(/\/$/, "");
}
