/**
 * What no container of tsd can have is refused by name when it is created: one that silently lacks it is worse than
 * none. What is kept and does nothing yet is said. Empty values ask for nothing and pass.
 */
import type { ContainerCreateRequest, HostConfig, Mount } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";
import { checkLogOptions } from "../../logging/log-options.ts";
import { healthWarnings } from "./healthcheck.ts";
import { type LogDefaults, settleLogConfig } from "./log-target.ts";
import { checkRestartPolicy } from "./restart-policy.ts";

/**
 * @param logs the daemon's own, for a container that says nothing of its log.
 * @throws EngineError invalid_argument in docker's words, or unsupported; naming the first field.
 */
export function refuseUnsupported({ HostConfig: host = {} }: ContainerCreateRequest, logs: LogDefaults): void {
  refuseWindows(host);
  if (host.Cgroup) throw unsupported("HostConfig.Cgroup", host.Cgroup, "cgroups of other containers");
  for (const mount of host.Mounts ?? []) refuseMount(mount);
  checkRestartPolicy(host.RestartPolicy ?? {});
  const { Type, Config } = settleLogConfig(host.LogConfig, logs);
  checkLogOptions(Type, Config);
}

function refuseWindows({ Isolation = "", IOMaximumBandwidth, IOMaximumIOps }: HostConfig): void {
  if (!["", "default"].includes(Isolation.toLowerCase())) {
    throw invalid(`invalid isolation (${Isolation}): linux only supports 'default'`);
  }
  if (IOMaximumBandwidth)
    throw invalid("invalid option: QoS maximum bandwidth configuration is not supported on linux");
  if (IOMaximumIOps) throw invalid("invalid option: QoS maximum IOPs configuration is not supported on linux");
}

function refuseMount({ Type, Target = "" }: Mount): void {
  if (Type === "cluster") {
    throw unsupported(`HostConfig.Mounts[${Target}].Type`, Type, "volumes of a swarm's cluster (tsd has no swarm)");
  }
  if (Type === "npipe") throw unsupported(`HostConfig.Mounts[${Target}].Type`, Type, "named pipes of Windows");
}

/** Of a request that is right, with what the image adds: what is kept and does nothing, or is discarded. */
export function unactedWarnings({ Healthcheck, HostConfig: host = {} }: ContainerCreateRequest): string[] {
  return [
    ...(host.CpuPercent ? ["linux does not support CPU percent. Percent discarded."] : []),
    ...(host.CpuCount ? ["linux does not support CPU count. Count discarded."] : []),
    ...healthWarnings(Healthcheck),
  ];
}

function invalid(message: string): EngineError {
  return new EngineError("invalid_argument", message, { stage: "create" });
}

function unsupported(field: string, value: string, what: string): EngineError {
  return new EngineError("unsupported", `${field} (${value}): tsd has no ${what}`, { stage: "create", path: field });
}
