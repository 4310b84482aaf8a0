/**
 * config.json of an OCI bundle and the state JSON, as the runtime specification 1.3.0 has them for Linux.
 *
 * The types are inferred from the schemas. Code that only needs the types imports them with `import type`, so that
 * valibot is loaded by those alone who read a file that somebody else wrote.
 */
import * as v from "valibot";
import { parse } from "./parse.ts";
import { record } from "./record.ts";

/** Everything of a schema but its properties. */
const template = v.looseObject({}) as unknown as v.ObjectSchema<v.ObjectEntries, undefined>;

/**
 * Keeps unknown properties, as the specification's "Extensibility" asks, but does not let typed code see them. A list
 * is no object, which valibot would have it be.
 * @param properties is asked when the first such object is read: most files have a few of the forty that there are.
 */
function open<const Entries extends v.ObjectEntries>(properties: () => Entries): v.ObjectSchema<Entries, undefined> {
  let made: v.ObjectSchema<Entries, undefined> | undefined;
  const whole = () => {
    made ??= v.looseObject(properties()) as unknown as v.ObjectSchema<Entries, undefined>;
    return made;
  };
  return {
    ...(template as v.ObjectSchema<Entries, undefined>),
    get entries() {
      return whole().entries;
    },
    "~run"(dataset, config) {
      if (!Array.isArray(dataset.value)) return whole()["~run"](dataset, config);
      v._addIssue(this, "type", dataset, config);
      return dataset as unknown as v.FailureDataset<never>;
    },
  };
}

const text = v.string();
const texts = v.array(v.string());
const flag = v.boolean();
const textMap = record(v.string());

function integer(min: number, max: number) {
  return v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));
}
const uint32 = integer(0, 0xffffffff);
const int32 = integer(-0x80000000, 0x7fffffff);
const uint16 = integer(0, 0xffff);
const wholeNumber = v.union([v.pipe(v.number(), v.integer()), v.bigint()], "not an integer");
const uint64Max = 2n ** 64n - 1n;
const int64Max = 2n ** 63n - 1n;
/** All 64 bits matter (a rlimit, an argument that seccomp compares): a bigint where a number would lose some. */
const exactUint64 = v.pipe(
  wholeNumber,
  v.check((value) => value >= 0 && value <= uint64Max, "not between 0 and 2^64 - 1"),
);
/** A quantity: what lies beyond 2^53 is rounded. */
const uint64 = v.pipe(exactUint64, v.transform(Number));
const int64 = v.pipe(
  wholeNumber,
  v.check((value) => value >= -int64Max - 1n && value <= int64Max, "not between -2^63 and 2^63 - 1"),
  v.transform(Number),
);
const cpuList = v.pipe(v.string(), v.regex(/^[0-9, -]*$/, "not a list of CPUs such as 0-3,7"));

const idMapping = open(() => ({ containerID: uint32, hostID: uint32, size: uint32 }));

const hook = open(() => ({
  path: v.pipe(v.string(), v.regex(/^\//, "not an absolute path")),
  args: v.optional(texts),
  env: v.optional(texts),
  /** Seconds. */
  timeout: v.optional(integer(1, 0x7fffffff)),
}));
const hooks = v.optional(v.array(hook));

const containerHooks = open(() => ({
  prestart: hooks,
  createRuntime: hooks,
  createContainer: hooks,
  startContainer: hooks,
  poststart: hooks,
  poststop: hooks,
}));
/** In the order in which they run. */
export const hookNames: readonly string[] = Object.keys(containerHooks.entries);

const mount = open(() => ({
  destination: v.pipe(v.string(), v.minLength(1, "empty")),
  source: v.optional(text),
  type: v.optional(text),
  options: v.optional(texts),
  uidMappings: v.optional(v.array(idMapping)),
  gidMappings: v.optional(v.array(idMapping)),
}));

/** Resource limits by the names of getrlimit(2). */
export const rlimitTypes = [
  "RLIMIT_AS",
  "RLIMIT_CORE",
  "RLIMIT_CPU",
  "RLIMIT_DATA",
  "RLIMIT_FSIZE",
  "RLIMIT_LOCKS",
  "RLIMIT_MEMLOCK",
  "RLIMIT_MSGQUEUE",
  "RLIMIT_NICE",
  "RLIMIT_NOFILE",
  "RLIMIT_NPROC",
  "RLIMIT_RSS",
  "RLIMIT_RTPRIO",
  "RLIMIT_RTTIME",
  "RLIMIT_SIGPENDING",
  "RLIMIT_STACK",
] as const;

const rlimit = v.pipe(
  open(() => ({ type: v.picklist(rlimitTypes), soft: exactUint64, hard: exactUint64 })),
  v.forward(
    v.check((limit) => limit.soft <= limit.hard, "above the hard limit"),
    ["soft"],
  ),
);

const process = open(() => ({
  terminal: v.optional(flag),
  consoleSize: v.optional(open(() => ({ height: uint64, width: uint64 }))),
  user: v.optional(
    open(() => ({
      uid: v.optional(uint32),
      gid: v.optional(uint32),
      umask: v.optional(uint32),
      additionalGids: v.optional(v.array(uint32)),
      username: v.optional(text),
    })),
  ),
  args: v.optional(texts),
  env: v.optional(texts),
  cwd: v.pipe(v.string(), v.regex(/^\//, "not an absolute path")),
  capabilities: v.optional(
    open(() => ({
      bounding: v.optional(texts),
      effective: v.optional(texts),
      inheritable: v.optional(texts),
      permitted: v.optional(texts),
      ambient: v.optional(texts),
    })),
  ),
  rlimits: v.optional(
    v.pipe(
      v.array(rlimit),
      v.check((limits) => new Set(limits.map((limit) => limit.type)).size === limits.length, "a type is given twice"),
    ),
  ),
  noNewPrivileges: v.optional(flag),
  apparmorProfile: v.optional(text),
  oomScoreAdj: v.optional(integer(-1000, 1000)),
  selinuxLabel: v.optional(text),
  ioPriority: v.optional(
    open(() => ({
      class: v.picklist(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
      priority: v.optional(integer(0, 7)),
    })),
  ),
  scheduler: v.optional(
    open(() => ({
      policy: v.picklist([
        "SCHED_OTHER",
        "SCHED_FIFO",
        "SCHED_RR",
        "SCHED_BATCH",
        "SCHED_ISO",
        "SCHED_IDLE",
        "SCHED_DEADLINE",
      ]),
      nice: v.optional(int32),
      priority: v.optional(int32),
      flags: v.optional(
        v.array(
          v.picklist([
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
          ]),
        ),
      ),
      runtime: v.optional(uint64),
      deadline: v.optional(uint64),
      period: v.optional(uint64),
    })),
  ),
  execCPUAffinity: v.optional(open(() => ({ initial: v.optional(cpuList), final: v.optional(cpuList) }))),
}));

const device = open(() => ({
  type: v.picklist(["c", "b", "u", "p"]),
  path: v.pipe(v.string(), v.regex(/^\//, "not an absolute path")),
  major: v.optional(int64),
  minor: v.optional(int64),
  /** Permission bits; other tools put the file type in too. */
  fileMode: v.optional(uint32),
  uid: v.optional(uint32),
  gid: v.optional(uint32),
}));

export const seccompAction = v.picklist([
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
]);
export const seccompOperator = v.picklist([
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
]);
const seccompArgument = open(() => ({
  index: integer(0, 5),
  value: exactUint64,
  valueTwo: v.optional(exactUint64),
  op: seccompOperator,
}));
const seccompRule = open(() => ({
  names: v.pipe(texts, v.minLength(1, "empty")),
  action: seccompAction,
  errnoRet: v.optional(uint32),
  args: v.optional(v.array(seccompArgument)),
}));
const seccomp = open(() => ({
  defaultAction: seccompAction,
  defaultErrnoRet: v.optional(uint32),
  flags: v.optional(
    v.array(
      v.picklist([
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
      ]),
    ),
  ),
  listenerPath: v.optional(text),
  listenerMetadata: v.optional(text),
  architectures: v.optional(v.array(v.pipe(v.string(), v.regex(/^SCMP_ARCH_[A-Z0-9_]+$/, "not a SCMP_ARCH_ name")))),
  syscalls: v.optional(v.array(seccompRule)),
}));

const deviceRule = open(() => ({
  allow: flag,
  type: v.optional(v.picklist(["a", "b", "c", "u", "p", ""])),
  major: v.optional(int64),
  minor: v.optional(int64),
  access: v.optional(v.pipe(v.string(), v.regex(/^[rwm]*$/, "not made of r, w and m"))),
}));
const blockDevice = { major: int64, minor: int64 };
const throttles = v.optional(v.array(open(() => ({ ...blockDevice, rate: v.optional(uint64) }))));
const resources = open(() => ({
  unified: v.optional(textMap),
  devices: v.optional(v.array(deviceRule)),
  pids: v.optional(open(() => ({ limit: v.optional(int64) }))),
  blockIO: v.optional(
    open(() => ({
      weight: v.optional(uint16),
      leafWeight: v.optional(uint16),
      weightDevice: v.optional(
        v.array(open(() => ({ ...blockDevice, weight: v.optional(uint16), leafWeight: v.optional(uint16) }))),
      ),
      throttleReadBpsDevice: throttles,
      throttleWriteBpsDevice: throttles,
      throttleReadIOPSDevice: throttles,
      throttleWriteIOPSDevice: throttles,
    })),
  ),
  cpu: v.optional(
    open(() => ({
      cpus: v.optional(text),
      mems: v.optional(text),
      /** Microseconds, as are quota, burst and the realtime fields. */
      period: v.optional(uint64),
      quota: v.optional(int64),
      burst: v.optional(uint64),
      realtimePeriod: v.optional(uint64),
      realtimeRuntime: v.optional(int64),
      shares: v.optional(uint64),
      idle: v.optional(int64),
    })),
  ),
  hugepageLimits: v.optional(
    v.array(
      open(() => ({
        pageSize: v.pipe(v.string(), v.regex(/^[1-9][0-9]*[KMG]B$/, "not a size such as 2MB")),
        limit: uint64,
      })),
    ),
  ),
  memory: v.optional(
    open(() => ({
      /** Bytes; -1 is no limit. */
      limit: v.optional(int64),
      reservation: v.optional(int64),
      /** Memory and swap together, as in cgroup v1. */
      swap: v.optional(int64),
      kernel: v.optional(int64),
      kernelTCP: v.optional(int64),
      swappiness: v.optional(uint64),
      disableOOMKiller: v.optional(flag),
      useHierarchy: v.optional(flag),
      checkBeforeUpdate: v.optional(flag),
    })),
  ),
  network: v.optional(
    open(() => ({
      classID: v.optional(uint32),
      priorities: v.optional(v.array(open(() => ({ name: text, priority: uint32 })))),
    })),
  ),
  rdma: v.optional(
    v.record(
      v.string(),
      open(() => ({ hcaHandles: v.optional(uint32), hcaObjects: v.optional(uint32) })),
    ),
  ),
}));

const namespaceType = v.picklist(["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"]);
const namespace = open(() => ({
  type: namespaceType,
  path: v.optional(v.pipe(v.string(), v.regex(/^(\/|$)/, "not an absolute path"))),
}));

const timeOffset = v.optional(open(() => ({ secs: v.optional(int64), nanosecs: v.optional(uint32) })));
const linux = open(() => ({
  devices: v.optional(v.array(device)),
  netDevices: v.optional(
    v.record(
      v.string(),
      open(() => ({ name: v.optional(text) })),
    ),
  ),
  uidMappings: v.optional(v.array(idMapping)),
  gidMappings: v.optional(v.array(idMapping)),
  namespaces: v.optional(
    v.pipe(
      v.array(namespace),
      v.check((list) => new Set(list.map((entry) => entry.type)).size === list.length, "a type is given twice"),
    ),
  ),
  resources: v.optional(resources),
  cgroupsPath: v.optional(text),
  rootfsPropagation: v.optional(
    v.picklist(["private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable", ""]),
  ),
  seccomp: v.optional(seccomp),
  sysctl: v.optional(textMap),
  maskedPaths: v.optional(texts),
  readonlyPaths: v.optional(texts),
  mountLabel: v.optional(text),
  intelRdt: v.optional(
    open(() => ({
      closID: v.optional(text),
      schemata: v.optional(texts),
      l3CacheSchema: v.optional(text),
      memBwSchema: v.optional(text),
      enableMonitoring: v.optional(flag),
    })),
  ),
  memoryPolicy: v.optional(
    open(() => ({
      mode: v.picklist([
        "MPOL_DEFAULT",
        "MPOL_BIND",
        "MPOL_INTERLEAVE",
        "MPOL_WEIGHTED_INTERLEAVE",
        "MPOL_PREFERRED",
        "MPOL_PREFERRED_MANY",
        "MPOL_LOCAL",
      ]),
      nodes: v.optional(text),
      flags: v.optional(v.array(v.picklist(["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]))),
    })),
  ),
  personality: v.optional(
    open(() => ({ domain: v.optional(v.picklist(["LINUX", "LINUX32"])), flags: v.optional(texts) })),
  ),
  timeOffsets: v.optional(open(() => ({ boottime: timeOffset, monotonic: timeOffset }))),
}));

const runtimeConfig = open(() => ({
  ociVersion: v.pipe(v.string(), v.regex(/^1\.\d+\.\d+(?:[-+].*)?$/, "not a version of the 1.x specification")),
  process: v.optional(process),
  root: v.optional(open(() => ({ path: v.pipe(v.string(), v.minLength(1, "empty")), readonly: v.optional(flag) }))),
  hostname: v.optional(text),
  domainname: v.optional(text),
  mounts: v.optional(v.array(mount)),
  hooks: v.optional(containerHooks),
  annotations: v.optional(textMap),
  linux: v.optional(linux),
}));

const state = open(() => ({
  ociVersion: text,
  id: text,
  status: v.picklist(["creating", "created", "running", "stopped"]),
  /** Absent or 0 once the container has stopped. */
  pid: v.optional(integer(0, 0x7fffffff)),
  bundle: text,
  annotations: v.optional(textMap),
}));

export type RuntimeConfig = v.InferOutput<typeof runtimeConfig>;
export type OciProcess = v.InferOutput<typeof process>;
export type OciUser = NonNullable<OciProcess["user"]>;
export type OciCapabilities = NonNullable<OciProcess["capabilities"]>;
export type OciRlimit = v.InferOutput<typeof rlimit>;
export type OciMount = v.InferOutput<typeof mount>;
export type OciHook = v.InferOutput<typeof hook>;
export type OciHooks = NonNullable<RuntimeConfig["hooks"]>;
export type OciLinux = v.InferOutput<typeof linux>;
export type LinuxNamespace = v.InferOutput<typeof namespace>;
export type LinuxNamespaceType = v.InferOutput<typeof namespaceType>;
export type LinuxIdMapping = v.InferOutput<typeof idMapping>;
export type LinuxDevice = v.InferOutput<typeof device>;
export type LinuxDeviceRule = v.InferOutput<typeof deviceRule>;
export type LinuxResources = v.InferOutput<typeof resources>;
export type LinuxSeccomp = v.InferOutput<typeof seccomp>;
export type LinuxSeccompRule = v.InferOutput<typeof seccompRule>;
export type LinuxSeccompArgument = v.InferOutput<typeof seccompArgument>;
export type LinuxSeccompAction = v.InferOutput<typeof seccompAction>;
export type LinuxSeccompOperator = v.InferOutput<typeof seccompOperator>;
/** What `state` prints and what hooks read on their standard input. */
export type OciState = v.InferOutput<typeof state>;

/**
 * Reads the text of a config.json; `path` names the file in errors.
 * @throws EngineError invalid_argument with the path of the field: `…/config.json: process.rlimits[0].type: …`.
 */
export function parseRuntimeConfig(json: string, path: string): RuntimeConfig {
  return parse(runtimeConfig, json, path);
}

/** Reads the text of a process.json, as `exec --process` takes it. Errors as of parseRuntimeConfig. */
export function parseProcess(json: string, path: string): OciProcess {
  return parse(process, json, path);
}

/** Reads the text of a resources.json, as `update --resources` takes it. Errors as of parseRuntimeConfig. */
export function parseResources(json: string, path: string): LinuxResources {
  return parse(resources, json, path);
}

/** Reads the state JSON that another runtime printed. Errors as of parseRuntimeConfig. */
export function parseState(json: string, path: string): OciState {
  return parse(state, json, path);
}
