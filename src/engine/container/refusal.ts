/**
 * What this version does not build is refused by name when a container is created: a container that silently lacks
 * its restart policy or its published port is worse than none. Empty values ask for nothing and pass.
 */
import type { ContainerConfig, ContainerCreateRequest, HostConfig, Mount } from "../../api/schema/container-config.ts";
import { EngineError } from "../../core/errors.ts";

/** True when the field asks for something that is not built. */
type Asks<T> = (value: T) => boolean;
type Refusals<T> = Partial<{ [Field in keyof T]-?: { asks: Asks<NonNullable<T[Field]>>; what: string } }>;

const some: Asks<readonly unknown[]> = (value) => value.length > 0;
const positive: Asks<number> = (value) => value > 0;
const other =
  (...words: string[]): Asks<string> =>
  (value) =>
    !words.includes(value);

const hostRefusals: Refusals<HostConfig> = {
  RestartPolicy: { asks: (policy) => !["", "no", undefined].includes(policy.Name), what: "restart policies" },
  DeviceRequests: { asks: some, what: "device requests (GPUs, CDI)" },
  Isolation: { asks: other("", "default"), what: "isolation technologies" },
  Cgroup: { asks: other(""), what: "cgroups of other containers" },
  CpuCount: { asks: positive, what: "Windows limits" },
  CpuPercent: { asks: positive, what: "Windows limits" },
  IOMaximumIOps: { asks: positive, what: "Windows limits" },
  IOMaximumBandwidth: { asks: positive, what: "Windows limits" },
};

const logOptions = new Set(["max-size", "max-file"]);

/** @throws EngineError unsupported, naming the first field. */
export function refuseUnbuilt(request: ContainerCreateRequest): void {
  const host = request.HostConfig ?? {};
  for (const field of Object.keys(hostRefusals) as (keyof HostConfig)[]) {
    const refusal = hostRefusals[field] as { asks: Asks<unknown>; what: string };
    const value = host[field];
    if (value !== undefined && value !== null && refusal.asks(value)) {
      throw unbuilt(`HostConfig.${field}`, JSON.stringify(value), refusal.what);
    }
  }
  refuseHealthcheck(request);
  refuseLogConfig(host);
  for (const mount of host.Mounts ?? []) refuseMount(mount);
}

function refuseHealthcheck(config: ContainerConfig): void {
  const test = config.Healthcheck?.Test;
  if (test === undefined || test.length === 0 || test[0] === "NONE") return;
  throw unbuilt("Healthcheck", JSON.stringify(test), "health checks");
}

function refuseLogConfig(host: HostConfig): void {
  const { Type = "", Config = {} } = host.LogConfig ?? {};
  if (!["", "json-file", "none"].includes(Type))
    throw unbuilt("HostConfig.LogConfig.Type", Type, "log drivers other than json-file and none");
  for (const option of Object.keys(Config)) {
    if (Type !== "none" && logOptions.has(option)) continue;
    throw unbuilt("HostConfig.LogConfig.Config", option, `such options of the log driver ${Type || "json-file"}`);
  }
}

function refuseMount({ Type, Target = "" }: Mount): void {
  if (Type === "cluster" || Type === "npipe") {
    throw unbuilt(`HostConfig.Mounts[${Target}].Type`, Type, "mounts of this type");
  }
}

function unbuilt(field: string, value: string, what: string): EngineError {
  const shown = value === "" ? "" : ` (${value})`;
  return new EngineError("unsupported", `${field}${shown}: ${what} are not built in this version of tsd`, {
    stage: "create",
    path: field,
  });
}
