/** Device nodes that a container gets, and the rules of its devices cgroup. */
import { EngineError } from "../core/errors.ts";
import type { LinuxDevice, LinuxDeviceRule } from "../oci/runtime.ts";
import type { BundleHost, BundleHostConfig, HostDevice } from "./input.ts";

/**
 * Docker's rules: nothing but null, zero, full, random, urandom, tty, console and terminals. The runtime adds what
 * the specification calls default devices; the last rule keeps FUSE out even where a runtime would let it in.
 */
export function defaultDeviceRules(): LinuxDeviceRule[] {
  const allow = (major: number, minor: number): LinuxDeviceRule => {
    return { allow: true, type: "c", major, minor, access: "rwm" };
  };
  return [
    { allow: false, access: "rwm" },
    allow(1, 5),
    allow(1, 3),
    allow(1, 9),
    allow(1, 8),
    allow(5, 0),
    allow(5, 1),
    { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
  ];
}

export interface ContainerDevices {
  devices: LinuxDevice[];
  rules: LinuxDeviceRule[];
  /** Where the host has a device that has another name in the container, by that. */
  renamed: Map<string, string>;
}

/**
 * The nodes and rules of a create request.
 * @throws EngineError invalid_argument for a device that the host lacks or a rule that is none.
 */
export function containerDevices(hostConfig: BundleHostConfig, host: BundleHost): ContainerDevices {
  const renamed = new Map<string, string>();
  const mapped = (hostConfig.Devices ?? []).map((mapping) => ({ mapping, found: devicesOf(mapping, host, renamed) }));
  if (hostConfig.Privileged) {
    const own = host.devices().map((device) => nodeOf(device, device.path));
    const added = mapped.flatMap(({ mapping, found }) => (mapping.PathOnHost === mapping.PathInContainer ? [] : found));
    return { devices: [...own, ...added], rules: [{ allow: true, access: "rwm" }], renamed };
  }
  const rules = mapped.flatMap(({ mapping, found }) => {
    const access = mapping.CgroupPermissions || "rwm";
    if (!/^[rwm]+$/.test(access)) {
      throw new EngineError("invalid_argument", `invalid device mode: ${access}`, { path: mapping.PathOnHost });
    }
    return found.map(({ type, major, minor }): LinuxDeviceRule => ruleOf(type, major, minor, access));
  });
  return {
    devices: mapped.flatMap(({ found }) => found),
    rules: [...defaultDeviceRules(), ...rules, ...(hostConfig.DeviceCgroupRules ?? []).map(parseDeviceRule)],
    renamed,
  };
}

function devicesOf(
  mapping: NonNullable<BundleHostConfig["Devices"]>[number],
  host: BundleHost,
  renamed: Map<string, string>,
): LinuxDevice[] {
  const { PathOnHost, PathInContainer } = mapping;
  const found = host.devicesAt(PathOnHost);
  if (found.length === 0) {
    const reason = host.exists(PathOnHost) ? "not a device node" : "no such file or directory";
    throw new EngineError(
      "invalid_argument",
      `error gathering device information while adding custom device "${PathOnHost}": ${reason}`,
      { path: PathOnHost },
    );
  }
  const target = PathInContainer || PathOnHost;
  // A directory stands for the devices in it.
  return found.map((device) => {
    const below = device.path.startsWith(`${PathOnHost}/`) ? device.path.slice(PathOnHost.length) : "";
    const path = target + below;
    if (path !== device.path) renamed.set(path, device.path);
    return nodeOf(device, path);
  });
}

function nodeOf({ type, major, minor, fileMode, uid, gid }: HostDevice, path: string): LinuxDevice {
  return { type, path, major, minor, fileMode, uid, gid };
}

function ruleOf(type: LinuxDevice["type"], major: number | undefined, minor: number | undefined, access: string) {
  return { allow: true, type, access, ...(major !== undefined && { major }), ...(minor !== undefined && { minor }) };
}

/** `c 1:* rwm`: `--device-cgroup-rule`, in the syntax of the cgroup v1 files. */
function parseDeviceRule(text: string): LinuxDeviceRule {
  const match = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text === "a" ? "a *:* rwm" : text);
  if (match === null) {
    throw new EngineError("invalid_argument", `invalid device cgroup rule format: '${text}'`);
  }
  const number = (field: string): number => (field === "*" ? -1 : Number(field));
  const [, type, major, minor, access] = match;
  return {
    allow: true,
    type: type as "a" | "b" | "c",
    major: number(major!),
    minor: number(minor!),
    access: access!,
  };
}
