/** `features`: each thing that it claims is tried. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

interface Features {
  ociVersionMin: string;
  ociVersionMax: string;
  hooks: string[];
  mountOptions: string[];
  linux: {
    namespaces: string[];
    capabilities: string[];
    cgroup: Record<string, boolean>;
    seccomp: Record<"actions" | "operators" | "archs" | "knownFlags" | "supportedFlags", string[]> & {
      enabled: boolean;
    };
    [name: string]: unknown;
  };
  annotations: Record<string, string>;
  potentiallyUnsafeConfigAnnotations: string[];
}

let runtime: OciRuntime;
let features: Features;
beforeAll(async () => {
  runtime = await OciRuntime.open();
  features = JSON.parse(await runtime.ok("features"));
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

test("features has the parts of the features structure", () => {
  expect(features).toMatchObject({
    ociVersionMin: "1.0.0",
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    linux: {
      cgroup: { v1: true, v2: true },
      seccomp: { enabled: true },
      apparmor: { enabled: true },
      selinux: { enabled: true },
    },
  });
  expect(features.linux.namespaces).toContain("cgroup");
  expect(features.linux.capabilities).toContain("CAP_CHECKPOINT_RESTORE");
  expect(features.linux.seccomp.actions).toContain("SCMP_ACT_NOTIFY");
  expect(features.linux.seccomp.operators).toHaveLength(7);
  expect(features.linux.seccomp.archs).toContain("SCMP_ARCH_X86_64");
});

test("mount options that it names are taken", async () => {
  // What needs another value beside it, and what is about a mount that is there.
  const apart = ["remount", "bind", "rbind", "mand", "iversion", "acl", "idmap", "ridmap"];
  // runc 1.1 names "defaults" and then hands it to the file system.
  if (!isTsd) apart.push("defaults");
  const options = features.mountOptions.filter((name) => !apart.includes(name));
  const mounts = options.map((name) => ({
    destination: `/mnt/${name}`,
    type: "tmpfs",
    source: "tmpfs",
    options: [name],
  }));
  const { status, stderr } = await runtime.run(["true"], (config) => config.mounts.push(...mounts));
  expect([status, stderr]).toEqual([0, ""]);
});

needs("tsd")("no list names anything that a container with all of it is refused for", async () => {
  const { seccomp, capabilities } = features.linux;
  const { actions, operators, archs, supportedFlags } = seccomp;
  const last = Number(await Bun.file("/proc/sys/kernel/cap_last_cap").text());
  const { status, stderr } = await runtime.run(["true"], (config) => {
    config.process.capabilities = { bounding: capabilities.slice(0, last + 1) };
    config.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: archs,
      flags: supportedFlags.filter((name) => name !== "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") as never,
      syscalls: [
        ...actions
          .filter((action) => action !== "SCMP_ACT_NOTIFY")
          .map((action, index) => ({
            names: ["acct"],
            action,
            args: [{ index: 0, value: 1000 + index, op: "SCMP_CMP_EQ" }],
          })),
        ...operators.map((op) => ({
          names: ["swapon"],
          action: "SCMP_ACT_ERRNO",
          args: [{ index: 1, value: 7, valueTwo: 7, op }],
        })),
      ] as never,
    };
  });
  expect([status, stderr]).toEqual([0, ""]);
});

needs("tsd")("the newest version of the specification is taken, and annotations say what tsd is", async () => {
  const { status } = await runtime.run(["true"], (config) => {
    config.ociVersion = features.ociVersionMax;
  });
  expect(status).toBe(0);
  expect(features.ociVersionMax).toBe("1.3.0");
  expect(Object.keys(features.annotations)).toEqual([
    "tsd.version",
    "tsd.commit",
    "org.opencontainers.runc.checkpoint.enabled",
  ]);
  expect(features.linux.intelRdt).toEqual({ enabled: false });
  expect(features.linux.memoryPolicy).toHaveProperty("modes");
});

test("features takes no arguments", async () => {
  const { status } = await runtime.verb(["features", "surplus"]);
  expect(status).toBe(1);
});

needs("tsd")("is printed as runc prints it, with four spaces", async () => {
  expect(await runtime.ok("features")).toBe(`${JSON.stringify(features, null, 4)}\n`);
});
