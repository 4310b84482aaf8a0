/** What CDI's edits make of a container's config.json, in the order of the reference implementation. */
import { EngineError } from "../../core/errors.ts";
import type { LinuxDevice, OciHooks, OciMount, RuntimeConfig } from "../../oci/runtime.ts";
import type { BundleHost } from "../input.ts";
import type { CdiDeviceNode, CdiEdits } from "./spec.ts";

/**
 * @param config is changed.
 * @throws EngineError invalid_argument for a device that the host has not.
 */
export function applyEdits(
  config: RuntimeConfig,
  edits: CdiEdits,
  host: Pick<BundleHost, "devicesAt" | "exists">,
): void {
  const process = config.process!;
  process.env = withVariables(process.env ?? [], edits.env ?? []);
  for (const node of edits.deviceNodes ?? []) addDevice(config, node, host);
  addMounts(config, edits.mounts ?? []);
  for (const { hookName, ...hook } of edits.hooks ?? []) {
    config.hooks ??= {};
    const name = hookName as keyof OciHooks;
    config.hooks[name] = [...(config.hooks[name] ?? []), hook];
  }
  const linux = config.linux!;
  if (edits.intelRdt !== undefined) {
    const { enableCMT: _cmt, enableMBM: _mbm, ...intelRdt } = edits.intelRdt;
    linux.intelRdt = intelRdt;
  }
  for (const { hostInterfaceName, name } of edits.netDevices ?? []) {
    linux.netDevices = { ...linux.netDevices, [hostInterfaceName]: { name } };
  }
  const groups = (edits.additionalGids ?? []).filter((gid) => gid !== 0);
  if (groups.length === 0) return;
  process.user = {
    ...process.user,
    additionalGids: [...new Set([...(process.user?.additionalGids ?? []), ...groups])],
  };
}

/** In the place of those of the same names. */
function withVariables(own: string[], added: readonly string[]): string[] {
  const variables = [...own];
  for (const variable of added) {
    const name = variable.slice(0, variable.indexOf("=") + 1);
    const index = variables.findIndex((other) => other.startsWith(name));
    if (index < 0) variables.push(variable);
    else variables[index] = variable;
  }
  return variables;
}

function addDevice(config: RuntimeConfig, node: CdiDeviceNode, host: Pick<BundleHost, "devicesAt" | "exists">): void {
  const { path, hostPath = path, permissions } = node;
  const { uid = 0, gid = 0 } = config.process!.user ?? {};
  const { type, major, minor } = numbersOf(node, host);
  const isFifo = type === "p";
  const device: LinuxDevice = {
    type,
    path,
    ...(!isFifo && { major, minor }),
    ...(node.fileMode !== undefined && { fileMode: node.fileMode }),
    uid: node.uid ?? uid,
    gid: node.gid ?? gid,
  };
  const linux = config.linux!;
  linux.devices = (linux.devices ?? []).filter((other) => other.path !== path);
  // No node can be made in a user namespace: a runtime mounts the host's of the same name there, and this is another.
  const isMapped = linux.namespaces?.some((namespace) => namespace.type === "user") ?? false;
  if (isMapped && hostPath !== path) {
    addMounts(config, [{ containerPath: path, hostPath, type: "bind", options: ["bind"] }]);
  } else {
    linux.devices.push(device);
  }
  if (type !== "b" && type !== "c") return;
  const rule = { allow: true, type, major: major!, minor: minor!, access: permissions || "rwm" };
  linux.resources = { ...linux.resources, devices: [...(linux.resources?.devices ?? []), rule] };
}

/** What the file leaves open is what the host's node is. */
function numbersOf(
  { path, hostPath = path, type, major = 0, minor = 0 }: CdiDeviceNode,
  host: Pick<BundleHost, "devicesAt" | "exists">,
): Pick<LinuxDevice, "type" | "major" | "minor"> {
  if (type && (major !== 0 || type === "p")) return { type: type as LinuxDevice["type"], major, minor };
  const found = host.devicesAt(hostPath, { alone: true }).find((device) => device.path === hostPath);
  if (found === undefined) {
    const reason = host.exists(hostPath) ? "not a device node" : "no such file or directory";
    throw injectionError(`failed to stat CDI host device ${JSON.stringify(hostPath)}: ${reason}`, hostPath);
  }
  if (type && type !== found.type) {
    const names = `${JSON.stringify(path)}, ${JSON.stringify(hostPath)}`;
    throw injectionError(`CDI device (${names}), host type mismatch (${type}, ${found.type})`, hostPath);
  }
  return { type: found.type, major: major || found.major, minor: major ? minor : found.minor };
}

function injectionError(reason: string, path: string): EngineError {
  return new EngineError("invalid_argument", `CDI device injection failed: failed to inject devices: ${reason}`, {
    path,
  });
}

/** In the place of those at the same paths; what lies deeper is mounted later, whoever asked for it. */
function addMounts(config: RuntimeConfig, mounts: NonNullable<CdiEdits["mounts"]>): void {
  if (mounts.length === 0) return;
  let all: OciMount[] = config.mounts ?? [];
  for (const { hostPath, containerPath, type, options } of mounts) {
    all = all.filter(({ destination }) => destination !== containerPath);
    all.push({
      destination: containerPath,
      source: hostPath,
      ...(type && { type }),
      ...(options !== undefined && { options }),
    });
  }
  const depth = ({ destination }: OciMount) => destination.split("/").filter((part) => part !== "").length;
  config.mounts = all.sort((a, b) => depth(a) - depth(b));
}
