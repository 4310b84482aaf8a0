/**
 * config.json of a container: what dockerd makes of an image and a create request before it calls runc
 * (moby, daemon/oci_linux.go), as a function of its input alone.
 */
import { EngineError } from "../core/errors.ts";
import {
  type LinuxIdMapping,
  type LinuxNamespace,
  type LinuxNamespaceType,
  type LinuxSeccomp,
  type OciLinux,
  type OciMount,
  type OciProcess,
  type RuntimeConfig,
  rlimitTypes,
} from "../oci/runtime.ts";
import { containerCapabilities } from "./capabilities.ts";
import { containerDevices } from "./devices.ts";
import { containerEnvironment } from "./environment.ts";
import type { BundleHost, BundleHostConfig, BundleImageConfig, BundleInput, BundleUser } from "./input.ts";
import { containerMounts, rootPropagation } from "./mounts.ts";
import { containerResources } from "./resources.ts";
import { defaultSeccomp } from "./seccomp-default.ts";
import { seccompFromProfile } from "./seccomp-profile.ts";
import { parseSecurityOptions, type SecurityOptions } from "./security-options.ts";

/**
 * The oldest version of the specification that has everything written here (recursive read-only mounts are of 1.1).
 * Runtimes refuse a version that they do not know, Debian 12's crun anything above this one.
 */
const bundleVersion = "1.1.0";

/** Where `--init` puts its program: Docker's path, which images and scripts know. */
export const initPathInContainer = "/sbin/docker-init";

/** moby, daemon/pkg/oci/defaults.go: what leaks facts of the host or its other users. */
const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/**
 * The OCI configuration of a container.
 * @throws EngineError invalid_argument, in docker's words where it has some, for what the request asks and cannot have.
 */
export function bundleConfig(input: BundleInput): RuntimeConfig {
  const { config, hostConfig, host } = input;
  const security = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  const capabilities = containerCapabilities(askedCapabilities(hostConfig), host.capabilities);
  const namespaces = containerNamespaces(input);
  const { devices, rules, renamed } = containerDevices(hostConfig, host);
  const seccomp = seccompOf(input, security, capabilities);
  const propagation = rootPropagation(input);
  const ownsHostname = namespaces.some((namespace) => namespace.type === "uts" && !namespace.path);
  const withInit = runsInit(hostConfig);
  const mounts = containerMounts({
    hostConfig,
    mounts: input.mounts,
    tmpfs: input.tmpfs ?? [],
    host,
    writableCgroups: security.writableCgroups,
  });
  leaveTerminalsGroup(mounts, input);
  if (withInit) {
    if (input.initPath === undefined) throw new EngineError("unsupported", "no init program is there for --init");
    const options = ["bind", "ro", ...(input.userNamespace === undefined ? [] : ["idmap"])];
    mounts.push({ destination: initPathInContainer, type: "bind", source: input.initPath, options });
  }
  // No node can be made in a user namespace: a runtime mounts the host's of the same name.
  const binds = input.userNamespace === undefined ? new Map<string, string>() : renamed;
  for (const [destination, source] of binds) mounts.push({ destination, type: "bind", source, options: ["bind"] });
  return {
    ociVersion: bundleVersion,
    process: containerProcess(input, security, capabilities, withInit),
    root: { path: input.rootfs, ...(hostConfig.ReadonlyRootfs && { readonly: true }) },
    ...(ownsHostname && { hostname: hostnameOf(input) }),
    mounts,
    ...(hostConfig.Annotations && { annotations: hostConfig.Annotations }),
    linux: {
      sysctl: { ...domainName(config, ownsHostname), ...containerSysctls(input, namespaces) },
      cgroupsPath: input.cgroupsPath,
      resources: containerResources(hostConfig, host, rules),
      namespaces,
      ...idMappings(input),
      devices: devices.filter(({ path }) => !binds.has(path)),
      ...(seccomp !== undefined && { seccomp }),
      ...(propagation !== undefined && { rootfsPropagation: propagation }),
      ...hiddenPaths(hostConfig, host, security),
    },
  };
}

/**
 * The process alone: of a container that is there, for a further one.
 * @throws EngineError invalid_argument as bundleConfig.
 */
export function bundleProcess(input: BundleInput): OciProcess {
  const capabilities = containerCapabilities(askedCapabilities(input.hostConfig), input.host.capabilities);
  return containerProcess(input, parseSecurityOptions(input.hostConfig.SecurityOpt ?? []), capabilities, false);
}

/**
 * The OCI configuration of an image that no create request was made for: `tsd bundle IMAGE DIR`. It is Docker's
 * default container without a network, and depends on no daemon: `runc run` takes it too.
 */
export function imageBundleConfig(
  image: BundleImageConfig,
  options: { host: BundleHost; user: BundleUser; rootfs?: string; hostname?: string; terminal?: boolean },
): RuntimeConfig {
  const { host, user, rootfs = "rootfs", hostname = "tsd", terminal = false } = options;
  const command = [...(image.Entrypoint ?? []), ...(image.Cmd ?? [])];
  const config = bundleConfig({
    id: hostname,
    config: {
      Hostname: hostname,
      Tty: terminal,
      // An image without a command is a bundle all the same; it has to be edited like `runc spec`'s.
      Cmd: command.length > 0 ? command : ["sh"],
      Env: image.Env ?? [],
      WorkingDir: image.WorkingDir ?? "",
    },
    hostConfig: { NetworkMode: "none" },
    rootfs,
    user,
    mounts: [],
    cgroupsPath: "",
    host,
  });
  // Without a path each runtime makes one of the container's id.
  const { cgroupsPath: _unset, ...linux } = config.linux!;
  return { ...config, linux };
}

function askedCapabilities({ CapAdd: add = [], CapDrop: drop = [], Privileged: privileged = false }: BundleHostConfig) {
  return { add, drop, privileged };
}

function containerProcess(
  input: BundleInput,
  security: SecurityOptions,
  capabilities: string[],
  withInit: boolean,
): OciProcess {
  const { config, hostConfig, user } = input;
  const command = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (command.length === 0) throw new EngineError("invalid_argument", "no command specified");
  const cut = [...command, ...(config.Env ?? [])].find((text) => text.includes("\0"));
  if (cut !== undefined) throw new EngineError("invalid_argument", `${JSON.stringify(cut)} contains a NUL`);
  const terminal = config.Tty ?? false;
  const [height = 0, width = 0] = hostConfig.ConsoleSize ?? [];
  const apparmor = apparmorProfile(input, security);
  const rlimits = containerRlimits(hostConfig);
  return {
    terminal,
    ...(terminal && height > 0 && width > 0 && { consoleSize: { height, width } }),
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: withInit ? [initPathInContainer, "--", ...command] : command,
    env: containerEnvironment({
      hostname: hostnameOf(input),
      terminal,
      extra: input.extraEnvironment ?? [],
      given: config.Env ?? [],
      home: user.home,
    }),
    cwd: config.WorkingDir || "/",
    capabilities: capabilitySets(capabilities, user.uid),
    ...(rlimits.length > 0 && { rlimits }),
    ...(security.noNewPrivileges && { noNewPrivileges: true }),
    ...(apparmor !== undefined && { apparmorProfile: apparmor }),
    oomScoreAdj: hostConfig.OomScoreAdj ?? 0,
  };
}

/**
 * The inheritable set stays empty (CVE-2022-24769), and a user other than root begins without effective ones, which
 * execve(2) would take away in any case.
 */
function capabilitySets(capabilities: string[], uid: number): NonNullable<OciProcess["capabilities"]> {
  if (uid !== 0) return { bounding: capabilities };
  return { bounding: capabilities, effective: capabilities, permitted: capabilities };
}

function hostnameOf({ id, config }: BundleInput): string {
  return config.Hostname || id.slice(0, 12);
}

function idMappings({ userNamespace }: BundleInput): Pick<OciLinux, "uidMappings" | "gidMappings"> {
  return userNamespace === undefined ? {} : { uidMappings: userNamespace.uids, gidMappings: userNamespace.gids };
}

/** An init makes sense as process 1 of a pid namespace, and nowhere else. */
export function runsInit({ Init, PidMode }: BundleHostConfig): boolean {
  return (Init ?? false) && !PidMode;
}

function containerRlimits({ Ulimits = [] }: BundleHostConfig): NonNullable<OciProcess["rlimits"]> {
  return Ulimits.map(({ Name, Soft, Hard }) => {
    const type = rlimitTypes.find((candidate) => candidate === `RLIMIT_${Name.toUpperCase()}`);
    if (type === undefined) throw new EngineError("invalid_argument", `invalid ulimit type: ${Name}`);
    const [soft, hard] = [rlimitValue(Soft), rlimitValue(Hard)];
    if (soft > hard) {
      const message = `ulimit ${Name}: the soft limit must be less than or equal to the hard limit: ${Soft} > ${Hard}`;
      throw new EngineError("invalid_argument", message);
    }
    return { type, soft, hard };
  });
}

/** getrlimit(2): RLIM_INFINITY is all ones, which people write as -1. */
function rlimitValue(value: number): number | bigint {
  return value < 0 ? 2n ** 64n - 1n : value;
}

/** Undefined where the kernel has no AppArmor: a runtime would refuse to set a profile there. */
function apparmorProfile(input: BundleInput, security: SecurityOptions): string | undefined {
  if (!input.host.apparmor) return undefined;
  if (security.apparmor) return security.apparmor;
  return input.hostConfig.Privileged ? "unconfined" : input.defaultApparmorProfile;
}

function seccompOf(input: BundleInput, security: SecurityOptions, capabilities: string[]): LinuxSeccomp | undefined {
  const context = { capabilities, kernel: input.host.kernel };
  const { seccomp } = security;
  if (seccomp === "unconfined") return undefined;
  if (seccomp && seccomp !== "builtin") return seccompFromProfile(seccomp, context);
  if (input.hostConfig.Privileged && !seccomp) return undefined;
  return (
    (seccomp ? undefined : input.defaultSeccomp) ?? defaultSeccomp(capabilities, input.host.kernel, input.keepsProjects)
  );
}

function containerNamespaces(input: BundleInput): LinuxNamespace[] {
  const { hostConfig, config, host, namespacePaths = {} } = input;
  const namespaces: LinuxNamespace[] = [{ type: "mount" }];
  if (input.userNamespace !== undefined) namespaces.push({ type: "user", path: input.userNamespace.path });
  const add = (type: LinuxNamespaceType, mode: string | undefined, path: string | undefined): void => {
    if (mode === "host") return;
    if (mode?.startsWith("container:") && path === undefined) {
      throw new EngineError("invalid_argument", `invalid ${type} mode: ${mode}: the container is not running`);
    }
    namespaces.push(path === undefined ? { type } : { type, path });
  };
  add("network", config.NetworkDisabled ? "none" : hostConfig.NetworkMode, namespacePaths.network);
  add("uts", checkMode("UTS", hostConfig.UTSMode, /^(host)?$/), namespacePaths.uts);
  add("pid", checkMode("PID", hostConfig.PidMode, /^(host|container:.+)?$/), namespacePaths.pid);
  const ipcModes = /^(none|private|shareable|host|container:.+)?$/;
  add("ipc", checkMode("IPC", hostConfig.IpcMode, ipcModes), namespacePaths.ipc);
  if (checkCgroupMode(hostConfig.CgroupnsMode, host) === "private") namespaces.push({ type: "cgroup" });
  return namespaces;
}

function checkMode(what: string, mode: string | undefined, valid: RegExp): string {
  if (valid.test(mode ?? "")) return mode ?? "";
  throw new EngineError("invalid_argument", `invalid ${what} mode: ${mode}`);
}

/** Docker's default: private where there is one hierarchy, the host's where there are many. */
function checkCgroupMode(mode: string | undefined, host: BundleHost): "private" | "host" {
  if (!mode) return host.cgroupVersion === 2 ? "private" : "host";
  if (mode === "private" || mode === "host") return mode;
  throw new EngineError("invalid_argument", `invalid cgroup namespace mode: ${mode}`);
}

/**
 * Two settings of a network namespace that make capabilities unnecessary, as Docker sets them since 20.10: ping and
 * low ports for everybody inside. Not where the network belongs to somebody else.
 */
function containerSysctls(input: BundleInput, namespaces: LinuxNamespace[]): Record<string, string> {
  const mode = input.hostConfig.NetworkMode ?? "";
  const isOwn = namespaces.some(({ type }) => type === "network") && !mode.startsWith("container:");
  const sysctls: Record<string, string> = {};
  // No group beyond those of its user namespace can be named in it.
  const groups = input.userNamespace?.gids.find(({ containerID }) => containerID === 0)?.size ?? 2 ** 31;
  const lastGroup = Math.min(groups, 2 ** 31) - 1;
  const defaults = { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": `0 ${lastGroup}` };
  for (const [name, value] of Object.entries(defaults)) {
    if (isOwn && input.host.sysctlExists(name)) sysctls[name] = value;
  }
  return { ...sysctls, ...input.hostConfig.Sysctls };
}

/** A small user namespace may have no group 5 (tty), and a devpts takes none that it does not have. */
function leaveTerminalsGroup(mounts: readonly OciMount[], { userNamespace }: BundleInput): void {
  const hasGroup = ({ containerID, size }: LinuxIdMapping) => containerID <= 5 && containerID + size > 5;
  if (userNamespace === undefined || userNamespace.gids.some(hasGroup)) return;
  for (const mount of mounts) {
    if (mount.type === "devpts") mount.options = mount.options?.filter((option) => option !== "gid=5");
  }
}

/** As a sysctl, like Docker: `domainname` came with 1.1 of the specification, and runc took it up in 1.2. */
function domainName({ Domainname }: BundleInput["config"], ownsHostname: boolean): Record<string, string> {
  return ownsHostname && Domainname ? { "kernel.domainname": Domainname } : {};
}

/** The paths of /proc and /sys that a container cannot read or write: Docker's, the request's, or none. */
export function hiddenPaths(
  hostConfig: BundleHostConfig,
  host: BundleHost,
  security: SecurityOptions = parseSecurityOptions(hostConfig.SecurityOpt ?? []),
): { maskedPaths?: string[]; readonlyPaths?: string[] } {
  if (hostConfig.Privileged || security.systemPathsUnconfined) return {};
  const thermal = host.thermalThrottleCpus.map((cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`);
  return {
    maskedPaths: hostConfig.MaskedPaths ?? [...maskedPaths, ...thermal],
    readonlyPaths: hostConfig.ReadonlyPaths ?? readonlyPaths,
  };
}
