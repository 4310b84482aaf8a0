/** Checks a create request's values and fills in what clients leave to the daemon, as Docker does. */
import type { ContainerConfig, ContainerCreateRequest, HostConfig } from "../../api/schema/container-config.ts";
import { advice } from "../../core/advice.ts";
import { EngineError } from "../../core/errors.ts";
import { shortId } from "../../core/id.ts";
import { parseSignal } from "../../core/signals.ts";
import { tryParseAddress } from "../../network/address.ts";
import { checkNameServer } from "../../network/etc-files.ts";
import { builtinRuntime, type EngineConfiguration } from "../configuration.ts";
import { checkHealthcheck } from "./healthcheck.ts";
import { hostNetworkAndLinks } from "./links.ts";
import { logDefaults, settleLogConfig } from "./log-target.ts";
import { restarts } from "./restart-policy.ts";

const shmBytesDefault = 64 * 2 ** 20;

/** The request's ContainerConfig alone, without the parts that are stored on their own. */
export function containerConfigOf(request: ContainerCreateRequest): ContainerConfig {
  const { HostConfig: _host, NetworkingConfig: _networking, ...config } = request;
  return config;
}

/** @throws EngineError invalid_argument in docker's words. */
export function checkConfig(config: ContainerConfig): void {
  if (config.WorkingDir && !config.WorkingDir.startsWith("/")) {
    throw invalid(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  }
  if (config.WorkingDir?.includes("\0")) {
    throw invalid(`the working directory ${JSON.stringify(config.WorkingDir)} is invalid, it contains a NUL`);
  }
  if (config.StopSignal) parseSignal(config.StopSignal);
  checkHealthcheck(config.Healthcheck);
  for (const entry of config.Env ?? []) {
    if (entry === "" || entry.startsWith("=")) throw invalid(`invalid environment variable: ${entry}`);
    if (entry.includes("\0")) throw invalid(`invalid environment variable: ${JSON.stringify(entry)} contains a NUL`);
  }
  if (config.Hostname && (config.Hostname.length > 64 || /[\s/\0]/.test(config.Hostname))) {
    throw invalid(`invalid hostname: ${JSON.stringify(config.Hostname)}`);
  }
}

/** @throws EngineError invalid_argument, naming the field. */
export function checkHostConfig(host: HostConfig): void {
  const score = host.OomScoreAdj ?? 0;
  if (score < -1000 || score > 1000) {
    throw invalid(`Invalid value ${score}, range for oom score adj is [-1000, 1000]`);
  }
  if ((host.ShmSize ?? 0) < 0) throw invalid("SHM size can not be less than 0");
  for (const entry of host.ExtraHosts ?? []) checkExtraHost(entry);
  for (const server of host.Dns ?? []) checkNameServer(server);
  if (host.AutoRemove && restarts(host.RestartPolicy)) {
    throw invalid("can't create 'AutoRemove' container with restart policy");
  }
}

/**
 * What belongs to the network is the other container's, or the host's.
 * @param config as it was asked for: what the image adds is nobody's mistake.
 * @throws EngineError invalid_argument in docker's words.
 */
export function checkNetworkMode(config: ContainerConfig, host: HostConfig): void {
  const { NetworkMode = "" } = host;
  const refuse = (what: string) => invalid(`conflicting options: ${what}`);
  if (host.UTSMode === "host" && config.Hostname) throw refuse("hostname and the UTS mode");
  if (NetworkMode === "host" && host.Links?.length) throw invalid(hostNetworkAndLinks);
  if (!NetworkMode.startsWith("container:")) return;
  if (config.Hostname) throw refuse("hostname and the network mode");
  if (host.Links?.length) {
    throw refuse("container type network can't be used with links. This would result in undefined behavior");
  }
  if (host.Dns?.length) throw refuse("dns and the network mode");
  if (host.ExtraHosts?.length) throw refuse("custom host-to-IP mapping and the network mode");
  if (host.PublishAllPorts || Object.keys(host.PortBindings ?? {}).length > 0) {
    throw refuse("port publishing and the container type network mode");
  }
  if (Object.keys(config.ExposedPorts ?? {}).length > 0) {
    throw refuse("port exposing and the container type network mode");
  }
}

function checkExtraHost(entry: string): void {
  const { value } = splitExtraHost(entry);
  if (value !== "host-gateway" && tryParseAddress(unbracketed(value)) === undefined) {
    throw invalid(`invalid IP address in add-host: ${JSON.stringify(value)}`);
  }
}

/** `name:address` or `name=address`. @throws EngineError invalid_argument in docker's words. */
export function splitExtraHost(entry: string): { name: string; value: string } {
  const [, name, value] = /^([^:=]+)[:=](.+)$/.exec(entry) ?? [];
  if (name === undefined || value === undefined) throw invalid(`bad format for add-host: ${JSON.stringify(entry)}`);
  return { name, value };
}

/** `[::1]` as `::1`. */
export function unbracketed(address: string): string {
  return address.replace(/^\[(.*)\]$/, "$1");
}

/** On cgroup v2 Docker's default is a cgroup namespace of the container's own, privileged or not; on v1 the host's. */
export function normalizeHostConfig(
  host: HostConfig,
  configuration: EngineConfiguration,
  cgroupVersion: 1 | 2,
): HostConfig {
  return {
    ...host,
    NetworkMode: host.NetworkMode && host.NetworkMode !== "default" ? host.NetworkMode : "bridge",
    IpcMode: host.IpcMode || "private",
    CgroupnsMode: host.CgroupnsMode || (cgroupVersion === 2 ? "private" : "host"),
    ShmSize: host.ShmSize || shmBytesDefault,
    // As much swap as memory: what is applied, and what `inspect` shows.
    ...(host.Memory && !host.MemorySwap && { MemorySwap: host.Memory * 2 }),
    LogConfig: settleLogConfig(host.LogConfig, configuration.log ?? logDefaults),
    RestartPolicy: {
      Name: host.RestartPolicy?.Name || "no",
      MaximumRetryCount: host.RestartPolicy?.MaximumRetryCount ?? 0,
    },
    ...(host.CpuPercent && { CpuPercent: 0 }),
    ...securityOptions(host),
    Runtime: runtimeName(host.Runtime, configuration),
  };
}

/** Who shares the host's processes or memory cannot be kept apart by SELinux: Docker notes it so. */
function securityOptions({
  SecurityOpt = [],
  Privileged,
  PidMode,
  IpcMode,
}: HostConfig): Pick<HostConfig, "SecurityOpt"> {
  const isShared = Privileged === true || PidMode === "host" || IpcMode === "host";
  if (!isShared || SecurityOpt.some((option) => /^label(=|:|$)/.test(option))) return {};
  return { SecurityOpt: [...SecurityOpt, "label=disable"] };
}

/**
 * The name of a runtime that exists; an absolute path names itself.
 * @throws EngineError invalid_argument in docker's words.
 */
function runtimeName(name: string | undefined, configuration: EngineConfiguration): string {
  const chosen = name || configuration.defaultRuntime;
  const known = chosen === builtinRuntime || Object.hasOwn(configuration.runtimes, chosen) || chosen.startsWith("/");
  if (!known) {
    throw new EngineError("invalid_argument", `unknown or invalid runtime name: ${chosen}`, {
      stage: "create",
      hint: advice.runtime,
    });
  }
  return chosen;
}

/** The executable of a container's runtime; undefined for the one inside tsd. @throws EngineError not_found. */
export function runtimePath(name: string, configuration: EngineConfiguration): string | undefined {
  if (name === builtinRuntime) return undefined;
  const path = name.startsWith("/") ? name : configuration.runtimes[name];
  if (path !== undefined) return path;
  throw new EngineError(
    "not_found",
    `runtime ${name} is not known to this daemon: start it with --add-runtime ${name}=PATH`,
  );
}

/** As in Docker the short id names the host, unless the container shares the host's own name. */
export function hostnameFor(id: string, config: ContainerConfig, host: HostConfig, hostHostname: string): string {
  if (config.Hostname) return config.Hostname;
  return host.NetworkMode === "host" || host.UTSMode === "host" ? hostHostname : shortId(id);
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create" });
}
