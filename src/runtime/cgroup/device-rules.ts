/** linux.resources.devices as the two versions of cgroups take it: files in v1, a program in v2. */
import type { LinuxDevice, LinuxDeviceRule } from "../../oci/runtime.ts";

/** A rule without anything left open. */
export interface DeviceRule {
  allow: boolean;
  type: "a" | "b" | "c";
  /** -1 is any. */
  major: number;
  minor: number;
  access: number;
}

/** BPF_DEVCG_ACC_* of linux/bpf.h. */
export const accessMknod = 1;
export const accessRead = 2;
export const accessWrite = 4;
export const accessAll = accessMknod | accessRead | accessWrite;

const any = -1;

/**
 * Devices that every container may use (config-linux.md, "Default Devices"), and the making of nodes, which is
 * harmless where they cannot be opened. The path says which of config.json's nodes takes a device's place.
 */
const defaults: { path?: string; type: "b" | "c"; major: number; minor: number; access: number }[] = [
  { type: "c", major: any, minor: any, access: accessMknod },
  { type: "b", major: any, minor: any, access: accessMknod },
  { path: "/dev/null", type: "c", major: 1, minor: 3, access: accessAll },
  { path: "/dev/random", type: "c", major: 1, minor: 8, access: accessAll },
  { path: "/dev/full", type: "c", major: 1, minor: 7, access: accessAll },
  { path: "/dev/tty", type: "c", major: 5, minor: 0, access: accessAll },
  { path: "/dev/zero", type: "c", major: 1, minor: 5, access: accessAll },
  { path: "/dev/urandom", type: "c", major: 1, minor: 9, access: accessAll },
  // Terminals: /dev/pts/* and /dev/ptmx.
  { type: "c", major: 136, minor: any, access: accessAll },
  { type: "c", major: 5, minor: 2, access: accessAll },
];

/** The configuration's rules in their order, then the defaults, as runc applies them. */
export function effectiveRules(rules: readonly LinuxDeviceRule[], devices: readonly LinuxDevice[] = []): DeviceRule[] {
  const replaced = new Set(devices.map((device) => device.path));
  return [
    ...rules.map(
      ({ allow, type, major, minor, access }): DeviceRule => ({
        allow,
        type: type === "b" ? "b" : type === "c" || type === "u" ? "c" : "a",
        major: major ?? any,
        minor: minor ?? any,
        access: accessBits(access),
      }),
    ),
    ...defaults
      .filter(({ path }) => path === undefined || !replaced.has(path))
      .map(({ type, major, minor, access }): DeviceRule => ({ allow: true, type, major, minor, access })),
  ];
}

function accessBits(access: string | undefined): number {
  if (!access) return accessAll;
  let bits = 0;
  if (access.includes("m")) bits |= accessMknod;
  if (access.includes("r")) bits |= accessRead;
  if (access.includes("w")) bits |= accessWrite;
  return bits;
}

export function accessText(bits: number): string {
  return `${bits & accessRead ? "r" : ""}${bits & accessWrite ? "w" : ""}${bits & accessMknod ? "m" : ""}`;
}

/** `c 1:* rwm`, what v1's files take; type "a" stands for everything. */
export function formatRule({ type, major, minor, access }: DeviceRule): string {
  if (type === "a") return "a";
  const number = (value: number): string => (value === any ? "*" : String(value));
  return `${type} ${number(major)}:${number(minor)} ${accessText(access)}`;
}

/** A rule for all devices, all numbers and every access: what v1 calls "a". */
export function isCatchAll(rule: DeviceRule): boolean {
  return rule.type === "a" && rule.major === any && rule.minor === any && rule.access === accessAll;
}
