/** Puts device rules into a cgroup: v1's devices.allow and devices.deny, or v2's program. */
import { loadDeviceProgram, replaceDevicePrograms } from "../../../ffi/bpf.ts";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { EngineError, errorMessage, isErrno } from "../../core/errors.ts";
import type { LinuxDevice, LinuxDeviceRule } from "../../oci/runtime.ts";
import { compileDeviceRules } from "./device-program.ts";
import { accessAll, accessText, type DeviceRule, effectiveRules, formatRule, isCatchAll } from "./device-rules.ts";
import { readCgroupFile, writeField } from "./files.ts";
import type { Places } from "./place.ts";

const field = "linux.resources.devices";

export function applyDevices(rules: readonly LinuxDeviceRule[], devices: readonly LinuxDevice[], places: Places): void {
  const effective = effectiveRules(rules, devices);
  try {
    applyEffective(effective, places);
  } catch (error) {
    // In a user namespace nobody may set rules, and devices cannot be made there: what was given is all that there is.
    if (!isErrno(error, "EPERM") || !isInUserNamespace()) throw error;
  }
}

export function isInUserNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readCgroupFile("/proc/self/uid_map"));
}

function applyEffective(effective: readonly DeviceRule[], places: Places): void {
  const place = places.find("devices");
  if (place?.version === 1) {
    applyV1(effective, place.directory);
    return;
  }
  const unified = places.unified();
  if (unified === undefined) {
    throw new EngineError("unsupported", `${field}: the devices controller is missing, and there is no cgroup v2`);
  }
  applyV2(effective, unified.directory);
}

function applyV2(rules: readonly DeviceRule[], directory: string): void {
  try {
    using program = loadDeviceProgram(compileDeviceRules(rules));
    using cgroup = open(directory, O_RDONLY | O_DIRECTORY);
    replaceDevicePrograms(cgroup, program);
  } catch (cause) {
    const code = isErrno(cause, "EPERM") ? "forbidden" : "internal";
    const message = `${field}: put a device program on ${directory}: ${errorMessage(cause)}`;
    throw new EngineError(code, message, { cause, path: directory });
  }
}

/** The state that v1 keeps: everything or nothing, and the exceptions from it by device. */
interface DeviceState {
  allowAll: boolean;
  /** Access bits by `c 1:3`. */
  exceptions: Map<string, number>;
}

/**
 * Goes from the state that is there to the one that is wanted by what is different, so that an update never forbids
 * for a moment what stays allowed. A new cgroup has its parent's rules.
 */
function applyV1(rules: readonly DeviceRule[], directory: string): void {
  const wanted = stateOf(rules);
  const current = parseList(readCgroupFile(`${directory}/devices.list`));
  const write = (file: "allow" | "deny", text: string): void => writeField(field, `${directory}/devices.${file}`, text);
  // What is denied under "everything" does not show in the list: then there is nothing to compare with.
  const anew = wanted.allowAll || current.allowAll;
  if (anew) write(wanted.allowAll ? "allow" : "deny", "a");
  const existing = anew ? new Map<string, number>() : current.exceptions;
  for (const [device, bits] of [...wanted.exceptions].sort(([a], [b]) => compareDevices(a, b))) {
    const missing = bits & ~(existing.get(device) ?? 0);
    if (missing) write(wanted.allowAll ? "deny" : "allow", `${device} ${accessText(missing)}`);
  }
  for (const [device, bits] of existing) {
    const surplus = bits & ~(wanted.exceptions.get(device) ?? 0);
    if (surplus) write("deny", `${device} ${accessText(surplus)}`);
  }
}

/**
 * What a list of rules comes to. The kernel passes over the wish to forbid a part of what a wildcard allows; that
 * would be a rule that looks as if it held, so it is an error here, as in runc.
 */
export function stateOf(rules: readonly DeviceRule[]): DeviceState {
  let state: DeviceState = { allowAll: false, exceptions: new Map() };
  for (const rule of rules) {
    if (isCatchAll(rule)) {
      state = { allowAll: rule.allow, exceptions: new Map() };
      continue;
    }
    for (const single of rule.type === "a"
      ? [
          { ...rule, type: "b" as const },
          { ...rule, type: "c" as const },
        ]
      : [rule]) {
      const key = keyOf(single);
      const bits = state.exceptions.get(key) ?? 0;
      if (single.allow !== state.allowAll) {
        state.exceptions.set(key, bits | single.access);
        continue;
      }
      const wider = wildcardsOver(single).find((other) => (state.exceptions.get(other) ?? 0) & single.access);
      if (wider !== undefined) {
        const message = `${field}: rule "${formatRule(single)}" makes a hole in rule "${wider}", which cgroup v1 cannot`;
        throw new EngineError("unsupported", message);
      }
      if (bits & ~single.access) state.exceptions.set(key, bits & ~single.access);
      else state.exceptions.delete(key);
    }
  }
  return state;
}

/** The order in which runc writes them, and devices.list therefore shows them: by type and numbers, wildcards first. */
function compareDevices(a: string, b: string): number {
  const parts = (key: string) => key.split(/[ :]/);
  const number = (text: string | undefined) => (text === "*" ? -1 : Number(text));
  const [[typeA, ...numbersA], [typeB, ...numbersB]] = [parts(a), parts(b)];
  if (typeA !== typeB) return typeA! < typeB! ? -1 : 1;
  return number(numbersA[0]) - number(numbersB[0]) || number(numbersA[1]) - number(numbersB[1]);
}

function keyOf(rule: DeviceRule): string {
  return formatRule({ ...rule, access: accessAll }).replace(/ \w+$/, "");
}

function wildcardsOver(rule: DeviceRule): string[] {
  const wider = [
    { ...rule, major: -1 },
    { ...rule, minor: -1 },
    { ...rule, major: -1, minor: -1 },
  ];
  return [...new Set(wider.map(keyOf))].filter((key) => key !== keyOf(rule));
}

/** devices.list: `a *:* rwm`, or a line for each device that is allowed. */
export function parseList(text: string): DeviceState {
  const exceptions = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([abc]) (\S+) ([rwm]+)$/.exec(line);
    if (match === null) continue;
    if (match[1] === "a") return { allowAll: true, exceptions: new Map() };
    const [rule] = effectiveRules([{ allow: true, access: match[3]! }]);
    exceptions.set(`${match[1]} ${match[2]}`, rule!.access);
  }
  return { allowAll: false, exceptions };
}
