import type { ContainerCreateRequest, HostConfig, Ulimit } from "../api/schema/container-config.ts";
import { parseCdiName } from "../core/cdi-name.ts";
import { EngineError } from "../core/errors.ts";
import type { ContainerFlagValues } from "./container-flags.ts";
import { deviceMapping } from "./device-flag.ts";
import { exposedPorts } from "./expose-flag.ts";
import { keyValues, UsageError } from "./flags.ts";
import { healthcheck, logConfig, restartPolicy } from "./life-flags.ts";
import { networkingRequest } from "./networking-request.ts";
import { parsePublish } from "./publish-flag.ts";
import { capabilities, checkNamespaceModes, securityOptions } from "./security-flags.ts";
import { environment, readLines } from "./variables.ts";
import { volumeFlags } from "./volume-flag.ts";

/**
 * The Engine API's create request from the flags of `run` and `create`, as docker's command line makes it: what
 * names a file or a variable on the client's side is resolved here, all else is left to the daemon to judge.
 */
export function createRequest(
  flags: ContainerFlagValues,
  given: ReadonlySet<string>,
  image: string,
  args: string[],
  detached: boolean,
): ContainerCreateRequest {
  const attach = attachedStreams(flags, detached);
  const networking = networkingRequest(flags);
  const published = parsePublish(flags.publish);
  const volumes = volumeFlags(flags.volume);
  const check = healthcheck(flags);
  checkNamespaceModes(flags);
  const exposed = { ...published.exposedPorts, ...exposedPorts(flags.expose) };
  return {
    Hostname: flags.hostname,
    Domainname: flags.domainname,
    User: flags.user,
    AttachStdin: attach.has("stdin"),
    AttachStdout: attach.has("stdout"),
    AttachStderr: attach.has("stderr"),
    Tty: flags.tty,
    OpenStdin: flags.interactive,
    StdinOnce: flags.interactive && attach.has("stdin"),
    Env: environment(flags["env-file"], flags.env),
    ...(args.length > 0 && { Cmd: args }),
    Image: image,
    Volumes: volumes.anonymous,
    WorkingDir: flags.workdir,
    ...(check !== undefined && { Healthcheck: check }),
    ...(given.has("entrypoint") && { Entrypoint: [flags.entrypoint] }),
    Labels: { ...labelsFromFiles(flags["label-file"]), ...keyValues(flags.label, "label") },
    ...(flags["stop-signal"] && { StopSignal: flags["stop-signal"] }),
    ...(given.has("stop-timeout") && { StopTimeout: flags["stop-timeout"] }),
    ...(Object.keys(exposed).length > 0 && { ExposedPorts: exposed }),
    HostConfig: {
      ...hostConfig(flags, given),
      Binds: volumes.binds,
      Annotations: { ...published.annotations, ...keyValues(flags.annotation, "annotation") },
      NetworkMode: networking.NetworkMode,
      PortBindings: published.portBindings,
    },
    NetworkingConfig: networking.NetworkingConfig,
  };
}

function hostConfig(flags: ContainerFlagValues, given: ReadonlySet<string>): HostConfig {
  return {
    AutoRemove: flags.rm,
    BlkioWeight: flags["blkio-weight"],
    BlkioWeightDevice: flags["blkio-weight-device"],
    BlkioDeviceReadBps: flags["device-read-bps"],
    BlkioDeviceReadIOps: flags["device-read-iops"],
    BlkioDeviceWriteBps: flags["device-write-bps"],
    BlkioDeviceWriteIOps: flags["device-write-iops"],
    CapAdd: capabilities(flags["cap-add"]),
    CapDrop: capabilities(flags["cap-drop"]),
    CgroupParent: flags["cgroup-parent"],
    CgroupnsMode: flags.cgroupns,
    CpuPeriod: flags["cpu-period"],
    CpuQuota: flags["cpu-quota"],
    CpuRealtimePeriod: flags["cpu-rt-period"],
    CpuRealtimeRuntime: flags["cpu-rt-runtime"],
    CpuShares: flags["cpu-shares"],
    CpusetCpus: flags["cpuset-cpus"],
    CpusetMems: flags["cpuset-mems"],
    ...devices(flags),
    DeviceCgroupRules: flags["device-cgroup-rule"],
    Dns: flags.dns,
    DnsOptions: flags["dns-option"],
    DnsSearch: flags["dns-search"],
    ExtraHosts: flags["add-host"],
    GroupAdd: flags["group-add"],
    ...(given.has("init") && { Init: flags.init }),
    IpcMode: flags.ipc,
    Isolation: flags.isolation,
    ...(flags.link.length > 0 && { Links: flags.link }),
    LogConfig: logConfig(flags["log-driver"], flags["log-opt"]),
    Memory: flags.memory,
    MemoryReservation: flags["memory-reservation"],
    MemorySwap: flags["memory-swap"],
    ...swappiness(flags["memory-swappiness"]),
    ...(flags.mount.length > 0 && { Mounts: flags.mount }),
    NanoCpus: flags.cpus,
    ...(given.has("oom-kill-disable") && { OomKillDisable: flags["oom-kill-disable"] }),
    OomScoreAdj: flags["oom-score-adj"],
    PidMode: flags.pid,
    ...(given.has("pids-limit") && { PidsLimit: flags["pids-limit"] }),
    Privileged: flags.privileged,
    PublishAllPorts: flags["publish-all"],
    ReadonlyRootfs: flags["read-only"],
    ...restart(flags),
    Runtime: flags.runtime,
    ...securityOptions(flags["security-opt"]),
    ShmSize: flags["shm-size"],
    ...(flags["storage-opt"].length > 0 && { StorageOpt: storageOptions(flags["storage-opt"]) }),
    Sysctls: keyValues(flags.sysctl, "sysctl"),
    Tmpfs: Object.fromEntries(flags.tmpfs.map(tmpfsMount)),
    UTSMode: flags.uts,
    Ulimits: flags.ulimit.map(ulimit).sort((a, b) => (a.Name < b.Name ? -1 : 1)),
    UsernsMode: flags.userns,
    VolumeDriver: flags["volume-driver"],
    VolumesFrom: flags["volumes-from"],
  };
}

/** A name of CDI's is no path: it is asked for of the daemon, which knows the files of CDI. */
function devices(flags: ContainerFlagValues): Pick<HostConfig, "Devices" | "DeviceRequests"> {
  const names = flags.device.filter((device) => parseCdiName(device) !== undefined);
  const requests = [...flags.gpus, ...(names.length > 0 ? [{ Driver: "cdi", DeviceIDs: names }] : [])];
  return {
    Devices: flags.device.filter((device) => !names.includes(device)).map(deviceMapping),
    ...(requests.length > 0 && { DeviceRequests: requests }),
  };
}

/** -1 asks for nothing. */
function swappiness(value: number): Pick<HostConfig, "MemorySwappiness"> {
  if (value < -1 || value > 100)
    throw new UsageError(`invalid value: ${value}. Valid memory swappiness range is 0-100`);
  return value === -1 ? {} : { MemorySwappiness: value };
}

function restart(flags: ContainerFlagValues): Pick<HostConfig, "RestartPolicy"> {
  const policy = restartPolicy(flags.restart);
  if (flags.rm && policy.Name !== undefined && policy.Name !== "no") {
    throw new UsageError("conflicting options: cannot specify both --restart and --rm");
  }
  return { RestartPolicy: policy };
}

function storageOptions(options: string[]): Record<string, string> {
  if (!options.every((option) => option.includes("="))) throw new UsageError("invalid storage option");
  return keyValues(options, "storage-opt");
}

/** Which streams are attached: those of `-a`, else output unless detached, and input with `-i`. */
export function attachedStreams(
  flags: Pick<ContainerFlagValues, "attach" | "interactive">,
  detached: boolean,
): Set<"stdin" | "stdout" | "stderr"> {
  const streams = new Set<"stdin" | "stdout" | "stderr">();
  for (const name of flags.attach) {
    const stream = name.toLowerCase();
    if (stream !== "stdin" && stream !== "stdout" && stream !== "stderr") {
      throw new EngineError(
        "invalid_argument",
        `invalid argument ${JSON.stringify(name)} for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR`,
      );
    }
    streams.add(stream);
  }
  if (detached && streams.size > 0) {
    throw new UsageError("conflicting options: cannot specify both --attach and --detach", 1);
  }
  if (detached) return streams;
  if (streams.size === 0) streams.add("stdout").add("stderr");
  return flags.interactive ? streams.add("stdin") : streams;
}

function labelsFromFiles(files: string[]): Record<string, string> {
  return keyValues(files.flatMap(readLines), "label-file");
}

/** `/path[:options]` */
function tmpfsMount(text: string): [string, string] {
  const colon = text.indexOf(":");
  return colon === -1 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
}

/** `nofile=1024[:2048]` */
function ulimit(text: string): Ulimit {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match) {
    throw new EngineError(
      "invalid_argument",
      `invalid argument ${JSON.stringify(text)} for "--ulimit" flag: invalid ulimit argument: ${text}`,
    );
  }
  const soft = Number(match[2]);
  const hard = Number(match[3] ?? soft);
  if (hard !== -1 && soft > hard) {
    throw new EngineError(
      "invalid_argument",
      `invalid argument ${JSON.stringify(text)} for "--ulimit" flag: ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`,
    );
  }
  return { Name: match[1]!, Soft: soft, Hard: hard };
}
