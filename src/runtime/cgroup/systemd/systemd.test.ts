import { describe, expect, test } from "bun:test";
import { Variant } from "../../../core/dbus/types.ts";
import { effectiveRules } from "../device-rules.ts";
import { annotationProperties } from "./annotations.ts";
import { deviceProperties } from "./devices.ts";
import { refuseOtherInit } from "./driver.ts";
import { expandSlice, placeUnit } from "./names.ts";
import { bitmapOf, type Property, resourceProperties } from "./properties.ts";

const infinity = 2n ** 64n - 1n;

function plain(properties: Property[]): Record<string, unknown> {
  return Object.fromEntries(properties.map(([name, { value }]) => [name, value]));
}

describe("cgroupsPath with --systemd-cgroup", () => {
  test.each([
    [undefined, "runc-c1.scope", "system.slice", "/system.slice/runc-c1.scope"],
    ["", "runc-c1.scope", "system.slice", "/system.slice/runc-c1.scope"],
    ["machine.slice:libpod:42", "libpod-42.scope", "machine.slice", "/machine.slice/libpod-42.scope"],
    ["a-b-c.slice:p:n", "p-n.scope", "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"],
    ["-.slice:p:n", "p-n.scope", "-.slice", "/p-n.scope"],
    [":p:n", "p-n.scope", "system.slice", "/system.slice/p-n.scope"],
    ["a.slice::n", "n.scope", "a.slice", "/a.slice/n.scope"],
    ["a.slice:p:", "p-c1.scope", "a.slice", "/a.slice/p-c1.scope"],
    ["a.slice:p:a-b.slice", "a-b.slice", "a.slice", "/a.slice/a-b.slice"],
    ["-.slice::top.slice", "top.slice", "-.slice", "/top.slice"],
  ])("%p is %s in %s", (cgroupsPath, unit, slice, path) => {
    expect(placeUnit(cgroupsPath, "c1", "system.slice")).toEqual({ unit, slice, path });
  });

  test.each([
    ["/some/path", 'is not of the form "slice:prefix:name"'],
    ["a:b", "is not of the form"],
    ["a.slice:b:c:d", "is not of the form"],
    ["system:p:n", 'does not end in ".slice"'],
    [".slice:p:n", "a part between its dashes is empty"],
    ["a--b.slice:p:n", "a part between its dashes is empty"],
    ["-a.slice:p:n", "a part between its dashes is empty"],
    ["a-.slice:p:n", "a part between its dashes is empty"],
    ["a/b.slice:p:n", "is no name of a unit"],
    ["a.slice:p:n/../m", "is no name of a unit"],
    ["a.slice:p:n+m", "is no name of a unit"],
    [`a.slice:p:${"n".repeat(250)}`, "is no name of a unit"],
    ["system.slice:p:foo.slice", "the slice foo.slice lies in /, not in system.slice"],
  ])("refuses %p, naming the field", (cgroupsPath, reason) => {
    expect(() => placeUnit(cgroupsPath, "c1", "system.slice")).toThrow(reason);
    expect(() => placeUnit(cgroupsPath, "c1", "system.slice")).toThrow("linux.cgroupsPath: ");
  });

  test("expands slices by the dashes in their names", () => {
    expect(expandSlice("-.slice")).toBe("");
    expect(expandSlice("a.slice")).toBe("/a.slice");
    expect(expandSlice("a-b.slice")).toBe("/a.slice/a-b.slice");
  });
});

describe("resources as properties", () => {
  const v2 = { cgroupVersion: 2, systemdVersion: 252 } as const;

  test("have v2's names, units and defaults", () => {
    const resources = {
      memory: { limit: 1 << 26, reservation: 1 << 25, swap: 3 << 25 },
      cpu: { shares: 1024, quota: 50_000, period: 100_000, cpus: "0-2,8", mems: "0" },
      pids: { limit: 20 },
      blockIO: { weight: 10 },
    };
    expect(plain(resourceProperties(resources, v2))).toEqual({
      MemoryMax: 67108864n,
      MemoryLow: 33554432n,
      MemorySwapMax: 33554432n,
      TasksMax: 20n,
      CPUWeight: 100n,
      CPUQuotaPeriodUSec: 100_000n,
      CPUQuotaPerSecUSec: 500_000n,
      AllowedCPUs: Uint8Array.of(7, 1),
      AllowedMemoryNodes: Uint8Array.of(1),
      IOWeight: 1n,
    });
  });

  test("have v1's names", () => {
    const resources = { memory: { limit: 1 << 26 }, cpu: { shares: 512, cpus: "0" }, blockIO: { weight: 300 } };
    expect(plain(resourceProperties(resources, { cgroupVersion: 1, systemdVersion: 252 }))).toEqual({
      MemoryLimit: 67108864n,
      CPUShares: 512n,
      BlockIOWeight: 300n,
    });
  });

  test("are infinite where there is no limit, and absent for 0", () => {
    const none = { memory: { limit: -1, swap: -1 }, pids: { limit: -1 }, cpu: { quota: -1 } };
    expect(plain(resourceProperties(none, v2))).toEqual({
      MemoryMax: infinity,
      MemorySwapMax: infinity,
      TasksMax: infinity,
      CPUQuotaPerSecUSec: infinity,
    });
    const unset = { memory: { limit: 0, reservation: 0 }, pids: { limit: 0 }, cpu: { shares: 0, quota: 0, period: 0 } };
    expect(resourceProperties(unset, v2)).toEqual([]);
  });

  test("round a quota up to whole percents, for systemd would round it down", () => {
    const quota = (quota: number, period: number) => plain(resourceProperties({ cpu: { quota, period } }, v2));
    expect(quota(1500, 100_000)).toEqual({ CPUQuotaPeriodUSec: 100_000n, CPUQuotaPerSecUSec: 20_000n });
    expect(quota(1000, 0)).toEqual({ CPUQuotaPerSecUSec: 10_000n });
  });

  test("leave out what an old systemd does not know, which would refuse the unit", () => {
    const resources = { cpu: { quota: 50_000, period: 100_000, cpus: "0" } };
    const old = { cgroupVersion: 2, systemdVersion: 241 } as const;
    expect(plain(resourceProperties(resources, old))).toEqual({ CPUQuotaPerSecUSec: 500_000n });
    expect(plain(resourceProperties({ cpu: { idle: 1 } }, { ...v2, systemdVersion: 251 }))).toEqual({});
    expect(plain(resourceProperties({ cpu: { idle: 1 } }, v2))).toEqual({ CPUWeight: 0n });
  });

  test("come from files of v2, too", () => {
    const unified = {
      "cpu.max": "20000 40000",
      "cpu.weight": "77",
      "cpuset.cpus": "1",
      "memory.high": "max",
      "memory.min": "4096",
      "memory.swap.max": "0",
      "pids.max": "9",
      "io.weight": "default 50",
      "memory.oom.group": "1",
    };
    expect(plain(resourceProperties({ unified }, v2))).toEqual({
      CPUQuotaPeriodUSec: 40_000n,
      CPUQuotaPerSecUSec: 500_000n,
      CPUWeight: 77n,
      AllowedCPUs: Uint8Array.of(2),
      MemoryHigh: infinity,
      MemoryMin: 4096n,
      MemorySwapMax: 0n,
      TasksMax: 9n,
      IOWeight: 50n,
    });
    expect(() => resourceProperties({ unified: { "memory.max": "much" } }, v2)).toThrow(
      'linux.resources.unified["memory.max"]: "much" is neither a number nor "max"',
    );
  });

  test.each(["3-1", "x", "1,,2", "99999", "-1"])("refuse %p as a list of CPUs", (list) => {
    expect(() => bitmapOf("linux.resources.cpu.cpus", list)).toThrow("linux.resources.cpu.cpus");
  });
});

describe("device rules as properties", () => {
  const procDevices = "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n259 blkext\n  8 sd\n";
  const allow = (...rules: Parameters<typeof effectiveRules>[0]) =>
    plain(deviceProperties(effectiveRules(rules), procDevices));

  test("allow the default devices by number or driver, and nothing else", () => {
    const { DevicePolicy, DeviceAllow } = allow({ allow: false, access: "rwm" });
    expect(DevicePolicy).toBe("strict");
    expect(DeviceAllow).toEqual([
      ["char-*", "m"],
      ["block-*", "m"],
      ["/dev/char/1:3", "rwm"],
      ["/dev/char/1:8", "rwm"],
      ["/dev/char/1:7", "rwm"],
      ["/dev/char/5:0", "rwm"],
      ["/dev/char/1:5", "rwm"],
      ["/dev/char/1:9", "rwm"],
      ["char-pts", "rwm"],
      ["/dev/char/5:2", "rwm"],
    ]);
  });

  test("say what the rules come to, in their order", () => {
    const forbidden = { allow: false, type: "b", major: 8, minor: 0, access: "w" } as const;
    const { DeviceAllow } = allow({ allow: true, type: "b", major: 8, minor: 0, access: "rw" }, forbidden);
    expect(DeviceAllow).toContainEqual(["/dev/block/8:0", "r"]);
    expect(allow({ allow: true, type: "b", major: 8, access: "r" }).DeviceAllow).toContainEqual(["block-sd", "r"]);
  });

  test("are no policy where everything is allowed", () => {
    const [policy, list] = deviceProperties(effectiveRules([{ allow: true, access: "rwm" }]), procDevices);
    expect(policy).toEqual(["DevicePolicy", new Variant("s", "auto")]);
    expect(list).toEqual(["DeviceAllow", new Variant("a(ss)", [])]);
  });
});

describe("annotations org.systemd.property.NAME", () => {
  const of = (name: string, text: string) =>
    annotationProperties({ [`org.systemd.property.${name}`]: text, "a.b": "x" });

  test.each([
    ["TimeoutStopUSec", "uint64 5", "TimeoutStopUSec", new Variant("t", 5n)],
    ["TimeoutStopSec", "5", "TimeoutStopUSec", new Variant("t", 5_000_000n)],
    ["TimeoutStopSec", "0.5", "TimeoutStopUSec", new Variant("t", 500_000n)],
    ["CollectMode", "'inactive'", "CollectMode", new Variant("s", "inactive")],
    ["After", "['a.service', 'b.service']", "After", new Variant("as", ["a.service", "b.service"])],
    ["SendSIGHUP", "true", "SendSIGHUP", new Variant("b", true)],
    // Not seconds.
    ["USEC", "1", "USEC", new Variant("i", 1)],
  ])("%s: %s is %s", (name, text, property, value) => {
    expect(of(name, text)).toEqual([[property, value]]);
  });

  test.each([
    ["TimeoutStopSec", "'soon'", "is not a number of seconds"],
    ["TimeoutStopSec", "-1", "is negative"],
    ["a", "1", "is not the name of a property"],
    ["Some.Thing", "1", "is not the name of a property"],
    ["CollectMode", "inactive", "text stands in quotes"],
    ["CollectMode", "", "empty"],
  ])("refuses %s: %s, naming the annotation", (name, text, reason) => {
    expect(() => of(name, text)).toThrow(reason);
    expect(() => of(name, text)).toThrow(`annotations["org.systemd.property.${name}"]: `);
  });
});

test("a host without systemd is told apart by what systemd itself makes", () => {
  expect(() => refuseOtherInit("/no/such")).toThrow(
    "--systemd-cgroup: systemd is not running on this host: /no/such does not exist",
  );
  expect(() => refuseOtherInit("/")).not.toThrow();
});
