/**
 * linux.resources.devices as systemd has them: DevicePolicy= and DeviceAllow= of systemd.resource-control(5), a list of
 * what is allowed. Rules that forbid a part of what others allow cannot be said; the list then allows more, and the
 * cgroup's own rules, which are set beside it, have the last word: both have to agree.
 */
import { readFileSync } from "../../../../ffi/fs.ts";
import { accessText, type DeviceRule, formatRule, isCatchAll } from "../device-rules.ts";
import { type Property, property } from "./properties.ts";

const any = -1;

/** @param procDevices the text of /proc/devices, which has the names of major numbers. */
export function deviceProperties(
  rules: readonly DeviceRule[],
  procDevices: string = readFileSync("/proc/devices", "utf8"),
): Property[] {
  // An empty list takes back what an earlier one allowed.
  const none = property("DeviceAllow", "a(ss)", []);
  const allowed = allowedBits(rules);
  if (allowed === "everything") return [property("DevicePolicy", "s", "auto"), none];
  const names = majorNames(procDevices);
  const entries = [...allowed.values()].map(({ rule, bits }) => [specifier(rule, names), accessText(bits)]);
  return [property("DevicePolicy", "s", "strict"), none, property("DeviceAllow", "a(ss)", entries)];
}

function allowedBits(rules: readonly DeviceRule[]): "everything" | Map<string, { rule: DeviceRule; bits: number }> {
  let everything = false;
  const allowed = new Map<string, { rule: DeviceRule; bits: number }>();
  for (const given of rules) {
    if (isCatchAll(given)) {
      everything = given.allow;
      allowed.clear();
      continue;
    }
    const types = given.type === "a" ? (["b", "c"] as const) : [given.type];
    for (const rule of types.map((type): DeviceRule => ({ ...given, type }))) {
      const key = formatRule({ ...rule, access: 0 });
      const bits = allowed.get(key)?.bits ?? 0;
      const left = rule.allow ? bits | rule.access : bits & ~rule.access;
      if (left === 0) allowed.delete(key);
      else allowed.set(key, { rule, bits: left });
    }
  }
  return everything ? "everything" : allowed;
}

/** A device by its numbers, all of a driver's by its name, or all there are. */
function specifier({ type, major, minor }: DeviceRule, names: Map<string, string>): string {
  const kind = type === "b" ? "block" : "char";
  if (major !== any && minor !== any) return `/dev/${kind}/${major}:${minor}`;
  // A driver that is not loaded yet, or one minor number of all drivers, has no other name.
  return `${kind}-${names.get(`${kind} ${major}`) ?? "*"}`;
}

/** /proc/devices: two lists of `number name`, each below a line that says of what. */
function majorNames(text: string): Map<string, string> {
  const names = new Map<string, string>();
  let kind = "";
  for (const line of text.split("\n")) {
    if (/^Character devices:/.test(line)) kind = "char";
    else if (/^Block devices:/.test(line)) kind = "block";
    const [, major, name] = /^\s*(\d+)\s+(\S+)$/.exec(line) ?? [];
    // The first of several with one number, as systemd itself reads the list.
    if (major !== undefined && !names.has(`${kind} ${major}`)) names.set(`${kind} ${major}`, name!);
  }
  return names;
}
