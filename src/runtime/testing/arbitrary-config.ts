/** Random configurations that the specification allows and tsd builds, for property tests. */
import * as fc from "fast-check";
import { capabilityNames } from "../../../ffi/constants/capability.ts";
import { type LinuxNamespaceType, type OciProcess, type RuntimeConfig, rlimitTypes } from "../../oci/runtime.ts";
import { cleanPath } from "../plan/emit.ts";
import { arbitrarySeccomp } from "./arbitrary-seccomp.ts";

type Arbitrary<T> = fc.Arbitrary<T>;

/** A record whose keys may all be absent. */
function partial<T extends object>(model: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<Partial<T>> {
  return fc.record(model, { requiredKeys: [] }) as unknown as Arbitrary<Partial<T>>;
}

/** Names as hostile images have them: spaces, quotes, control characters, other scripts, JavaScript's own words. */
const name: Arbitrary<string> = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9_.-]{0,8}$/),
  fc.constantFrom(
    "constructor",
    "__proto__",
    "toString",
    "a b",
    'q"q',
    "new\nline",
    "é",
    "日本",
    "🂡",
    "...",
    "\u001b[31m",
  ),
);
const absolutePath: Arbitrary<string> = fc
  .array(fc.oneof({ weight: 8, arbitrary: name }, fc.constantFrom(".", "..", "")), { minLength: 1, maxLength: 4 })
  .map((parts) => `/${parts.join("/")}`);
const text: Arbitrary<string> = fc.oneof(name, absolutePath, fc.constant(""));
/** 2^32 - 1 stands for nobody. */
const uint32: Arbitrary<number> = fc.oneof(fc.constantFrom(0, 1, 1000, 65534, 0xfffffffe), fc.nat(0xfffffffe));
const uint64: Arbitrary<number | bigint> = fc.oneof(
  fc.constantFrom(0, 1, 2 ** 32, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n),
  fc.maxSafeNat(),
);
const int64: Arbitrary<number> = fc.oneof(fc.constantFrom(-1, 0, 1), fc.maxSafeInteger());

const variable: Arbitrary<string> = fc
  .tuple(fc.constantFrom("A", "PATH", "HOME", "TOKEN"), text)
  .map((it) => it.join("="));
const args: Arbitrary<string[]> = fc
  .tuple(
    fc.oneof(
      name,
      absolutePath.filter((path) => !path.endsWith("/.")),
    ),
    fc.array(text, { maxLength: 4 }),
  )
  .map(([command, rest]) => [command, ...rest]);

const capabilities: Arbitrary<string[]> = fc.uniqueArray(
  fc.constantFrom(...Object.keys(capabilityNames), "CAP_OF_THE_FUTURE", "constructor"),
);
const rlimits = fc.uniqueArray(
  fc.record({ type: fc.constantFrom(...rlimitTypes), bounds: fc.tuple(uint64, uint64) }).map(({ type, bounds }) => {
    const [soft, hard] = BigInt(bounds[0]) <= BigInt(bounds[1]) ? bounds : [bounds[1], bounds[0]];
    return { type, soft, hard };
  }),
  { selector: ({ type }) => type },
);

const scheduler = fc.record(
  {
    policy: fc.constantFrom("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_IDLE", "SCHED_DEADLINE"),
    nice: fc.integer({ min: -20, max: 19 }),
    priority: fc.nat(99),
    flags: fc.uniqueArray(fc.constantFrom("SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN")),
    runtime: fc.maxSafeNat(),
    deadline: fc.maxSafeNat(),
    period: fc.maxSafeNat(),
  },
  { requiredKeys: ["policy"] },
);
const ioPriority = fc.record(
  {
    class: fc.constantFrom("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"),
    priority: fc.nat(7),
  },
  { requiredKeys: ["class"] },
);

/** A process.json. */
export const arbitraryProcess: Arbitrary<OciProcess> = fc.record(
  {
    terminal: fc.boolean(),
    consoleSize: fc.record({ height: fc.nat(0xffff), width: fc.nat(0xffff) }),
    user: partial({
      uid: uint32,
      gid: uint32,
      umask: fc.nat(0o777),
      additionalGids: fc.array(uint32, { maxLength: 5 }),
    }),
    args,
    env: fc.array(variable, { maxLength: 4 }),
    cwd: absolutePath,
    capabilities: partial({
      bounding: capabilities,
      effective: capabilities,
      inheritable: capabilities,
      permitted: capabilities,
      ambient: capabilities,
    }),
    rlimits,
    noNewPrivileges: fc.boolean(),
    apparmorProfile: text,
    selinuxLabel: text,
    oomScoreAdj: fc.integer({ min: -1000, max: 1000 }),
    scheduler,
    ioPriority,
  },
  { requiredKeys: ["args", "cwd"] },
) as unknown as Arbitrary<OciProcess>;

const options = (...more: string[]): Arbitrary<string[]> =>
  fc.array(
    fc.oneof(
      fc.constantFrom(
        ..."ro rw nosuid suid nodev dev noexec exec noatime relatime strictatime nodiratime nosymfollow".split(" "),
        ..."rro rrw rnosuid rnodev rnoexec rnoatime private rprivate shared rslave slave runbindable".split(" "),
        ...more,
      ),
    ),
    { maxLength: 6 },
  );
/** Below /proc there is nothing to mount on, and the root is not for mounts. */
const destination = absolutePath.filter((path) => {
  const first = cleanPath(path).split("/")[1]!;
  return first !== "" && !["proc", "dev", "sys"].includes(first);
});
const fileSystem = fc.record(
  {
    destination: fc.oneof(destination, fc.constantFrom("/dev/shm", "/dev/mqueue", "/sys", "/a/../b")),
    type: fc.constantFrom("tmpfs", "mqueue", "devpts", "sysfs", "overlay"),
    source: text,
    options: options("size=65536k", "mode=755", "sync", "defaults", "newinstance", "constructor"),
  },
  { requiredKeys: ["destination", "type"] },
);
const bind = fc.record(
  {
    destination: fc.oneof(destination, fc.constant("/dev"), fc.constant("/proc/cpuinfo")),
    type: fc.constantFrom("bind", "rbind"),
    source: fc.oneof(absolutePath, name),
    options: options("rbind", "bind"),
  },
  { requiredKeys: ["destination", "type", "source"] },
);
const cgroup = fc.record(
  { destination: fc.constant("/sys/fs/cgroup"), type: fc.constantFrom("cgroup", "cgroup2"), options: options() },
  { requiredKeys: ["destination", "type"] },
);
const remount = fc.record({
  destination: fc.oneof(fc.constant("/"), destination),
  options: options().map((some) => ["remount", ...some]),
});
const proc = fc.record({ destination: fc.constant("/proc"), type: fc.constant("proc"), source: fc.constant("proc") });
const devTmpfs = fc.record({
  destination: fc.constant("/dev"),
  type: fc.constant("tmpfs"),
  options: options("mode=755"),
});
const mounts = fc.array(fc.oneof(fileSystem, bind, cgroup, remount, proc, devTmpfs), { maxLength: 6 });

const device = fc.record(
  {
    type: fc.constantFrom("c", "b", "u", "p"),
    path: fc.oneof(
      absolutePath.filter((path) => /\/[^./][^/]*$/.test(path)),
      fc.constantFrom("/dev/fuse", "/dev/null", "/dev/net/tun", "/dev/a/../b"),
    ),
    major: fc.nat(4095),
    minor: fc.nat(0xfffff),
    fileMode: fc.nat(0o7777),
    uid: uint32,
    gid: uint32,
  },
  { requiredKeys: ["type", "path", "major", "minor"] },
);

const hook = fc.record(
  {
    path: absolutePath,
    args: fc.array(text, { minLength: 1, maxLength: 3 }),
    env: fc.array(variable, { maxLength: 3 }),
    timeout: fc.integer({ min: 1, max: 3600 }),
  },
  { requiredKeys: ["path"] },
);
const hookList = fc.array(hook, { maxLength: 2 });
const hooks = partial({
  prestart: hookList,
  createRuntime: hookList,
  createContainer: hookList,
  startContainer: hookList,
  poststart: hookList,
  poststop: hookList,
});

const resources = partial({
  unified: fc.dictionary(fc.constantFrom("memory.high", "pids.max"), fc.constant("max")),
  devices: fc.array(
    fc.record(
      {
        allow: fc.boolean(),
        type: fc.constantFrom("a", "b", "c"),
        major: int64,
        minor: int64,
        access: fc.constantFrom("r", "rw", "rwm"),
      },
      { requiredKeys: ["allow"] },
    ),
    { maxLength: 3 },
  ),
  pids: partial({ limit: int64 }),
  cpu: partial({
    cpus: fc.constantFrom("0", "0-1"),
    shares: fc.nat(),
    quota: int64,
    period: fc.nat(),
    idle: fc.nat(1),
  }),
  memory: partial({
    limit: int64,
    reservation: int64,
    swap: int64,
    swappiness: fc.nat(100),
    disableOOMKiller: fc.boolean(),
  }),
  blockIO: partial({ weight: fc.integer({ min: 10, max: 1000 }) }),
  hugepageLimits: fc.array(fc.record({ pageSize: fc.constantFrom("2MB", "1GB"), limit: fc.nat() }), { maxLength: 2 }),
});

const idMappings = fc.array(
  fc.record({ containerID: uint32, hostID: uint32, size: fc.integer({ min: 1, max: 65536 }) }),
  {
    minLength: 1,
    maxLength: 3,
  },
);
const namespaceTypes: LinuxNamespaceType[] = ["pid", "network", "uts", "ipc", "user", "cgroup", "time"];
const namespaces = fc.record({
  mount: fc.constantFrom("own", "own", "own", "joined"),
  others: fc.dictionary(fc.constantFrom(...namespaceTypes), fc.constantFrom("own", "joined")),
});

const linux = partial({
  devices: fc.array(device, { maxLength: 3 }),
  resources,
  cgroupsPath: fc.constantFrom("/a/b", "a", ""),
  rootfsPropagation: fc.constantFrom("private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", ""),
  seccomp: arbitrarySeccomp,
  sysctl: fc.dictionary(
    fc.constantFrom("net.ipv4.ip_forward", "net/ipv4/conf/eth0.1/rp_filter", "kernel.msgmax", "kernel.domainname"),
    fc.constantFrom("0", "1 2 3", ""),
  ),
  maskedPaths: fc.array(absolutePath, { maxLength: 4 }),
  readonlyPaths: fc.array(absolutePath, { maxLength: 4 }),
  mountLabel: name,
  memoryPolicy: fc.record({
    mode: fc.constantFrom("MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_PREFERRED", "MPOL_LOCAL"),
    nodes: fc.constantFrom("", "0", "0-3,7"),
    flags: fc.uniqueArray(fc.constantFrom("MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES")),
  }),
  personality: partial({
    domain: fc.constantFrom("LINUX", "LINUX32"),
    flags: fc.uniqueArray(fc.constantFrom("ADDR_NO_RANDOMIZE", "READ_IMPLIES_EXEC", "UNAME26")),
  }),
  timeOffsets: partial({
    boottime: partial({ secs: int64, nanosecs: fc.nat(999_999_999) }),
    monotonic: partial({ secs: int64, nanosecs: fc.nat(999_999_999) }),
  }),
  uidMappings: idMappings,
  gidMappings: idMappings,
});

/** What the compiler accepts: fields that need a namespace are left out where it is not there. */
export const arbitraryConfig: Arbitrary<RuntimeConfig> = fc
  .record({
    base: fc.record(
      {
        ociVersion: fc.constantFrom("1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"),
        process: arbitraryProcess,
        root: fc.record({ path: fc.constantFrom("rootfs", "/", "/srv/a b"), readonly: fc.boolean() }),
        hostname: name,
        domainname: name,
        mounts,
        hooks,
        annotations: fc.dictionary(name, text),
      },
      { requiredKeys: ["ociVersion", "process", "root"] },
    ),
    linux,
    namespaces,
  })
  .map(({ base, linux: some, namespaces: { mount, others } }) => {
    const types: Partial<Record<LinuxNamespaceType, string>> = { mount, ...others };
    const list = Object.entries(types).map(([type, kind]) =>
      kind === "own" ? { type } : { type, path: `/proc/1/ns/${type}` },
    );
    const consistent = leaveOut(some, types);
    const { hostname, domainname, ...rest } = base;
    const names = { ...(hostname !== undefined && { hostname }), ...(domainname !== undefined && { domainname }) };
    const config = { ...rest, ...(types.uts === "own" && names), linux: { ...consistent, namespaces: list } };
    return config as unknown as RuntimeConfig;
  });

function leaveOut(linuxFields: Record<string, unknown>, types: Partial<Record<LinuxNamespaceType, string>>): object {
  const fields = { ...linuxFields };
  const { user, time, network, ipc, uts } = types;
  if (user === undefined) for (const key of ["uidMappings", "gidMappings"]) delete fields[key];
  if (user === "own") {
    for (const key of ["uidMappings", "gidMappings"]) fields[key] ??= [{ containerID: 0, hostID: 1000, size: 1 }];
  }
  if (time !== "own") delete fields.timeOffsets;
  const needs: Record<string, unknown> = {
    "net.": network,
    "net/": network,
    "kernel.msgmax": ipc,
    "kernel.domainname": uts,
  };
  const sysctls = Object.entries((fields.sysctl ?? {}) as object).filter(([key]) =>
    Object.entries(needs).some(([prefix, namespace]) => key.startsWith(prefix) && namespace !== undefined),
  );
  if (fields.sysctl !== undefined) fields.sysctl = Object.fromEntries(sysctls);
  return fields;
}
