import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EngineError, isEngineError } from "../../core/errors.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../../oci/runtime.ts";
import type { HostDevice } from "../input.ts";
import { applyEdits } from "./edits.ts";
import { CdiRegistry } from "./registry.ts";
import { requestedEdits } from "./requests.ts";
import { parseCdiSpec } from "./spec.ts";

const directory = mkdtempSync(join(tmpdir(), "tsd-cdi-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const minimal = (changes: object = {}) => ({
  cdiVersion: "0.3.0",
  kind: "vendor.com/net",
  devices: [{ name: "a", containerEdits: { env: ["A=1"] } }],
  ...changes,
});
const withEdits = (cdiVersion: string, containerEdits: object) => minimal({ cdiVersion, containerEdits });
const parse = (spec: object) => parseCdiSpec(JSON.stringify(spec));

describe("a CDI file", () => {
  test("is JSON or YAML; what is null is absent", () => {
    const yaml = `
cdiVersion: "0.5.0"
kind: vendor.com/net
annotations: null
devices:
  - name: "0"
    containerEdits:
      deviceNodes:
        - path: /dev/x
          hostPath: /dev/y
          fileMode: 0660
containerEdits:
  env: [ "A=b" ]
`;
    expect(parseCdiSpec(yaml)).toEqual({
      cdiVersion: "0.5.0",
      kind: "vendor.com/net",
      devices: [
        { name: "0", containerEdits: { deviceNodes: [{ path: "/dev/x", hostPath: "/dev/y", fileMode: 0o660 }] } },
      ],
      containerEdits: { env: ["A=b"] },
    });
    expect(parse(minimal())).toMatchObject({ containerEdits: {} });
  });

  test("may have numbers for names, and modes of eight digits wherever YAML takes them", () => {
    const yaml = (nodes: string) =>
      `cdiVersion: 0.5.0\nkind: v.com/net\ndevices:\n- name: 0\n  containerEdits:\n    deviceNodes:${nodes}`;
    const parsed = parseCdiSpec(
      yaml("\n    - {path: /dev/a, fileMode: 0660}\n    - path: /dev/b\n      fileMode: 0600 # x"),
    );
    const [one] = parsed.devices;
    expect(one!.name).toBe("0");
    expect(one!.containerEdits.deviceNodes!.map(({ fileMode }) => fileMode)).toEqual([0o660, 0o600]);
  });

  test("takes no longer to be refused for being empty lines, or for naming itself", () => {
    expect(() => parseCdiSpec(`cdiVersion: 1.0.0\n${"\n".repeat(200_000)}`)).toThrow("kind");
    expect(() => parseCdiSpec("cdiVersion: &a\n  x: *a\n")).toThrow();
    const devices = new Array(2000).fill("- {name: x, containerEdits: *c}").join("\n");
    const edits = `&c {env: [${new Array(2000).fill("A=1").join(",")}]}`;
    const yaml = `cdiVersion: 0.6.0\nkind: a.com/b\ncontainerEdits: ${edits}\ndevices:\n${devices}\n`;
    expect(() => parseCdiSpec(yaml)).toThrow("document contains excessive aliasing");
  });

  const rdt = (fields: object) => ({ intelRdt: { closID: "a", ...fields } });
  test.each([
    ["0.3.0", "0.4.0", { mounts: [{ hostPath: "/a", containerPath: "/b", type: "tmpfs" }] }],
    ["0.4.0", "0.5.0", { deviceNodes: [{ path: "/dev/a", hostPath: "/dev/b" }] }],
    ["0.6.0", "0.7.0", { additionalGids: [5] }],
    ["0.6.0", "0.7.0", rdt({})],
    ["1.0.0", "1.1.0", rdt({ schemata: ["L3:0=f"] })],
    ["1.0.0", "1.1.0", { netDevices: [{ hostInterfaceName: "eth1", name: "eth0" }] }],
  ])("of version %s cannot say what %s brought: %j", (before, since, edits) => {
    expect(() => parse(withEdits(before, edits))).toThrow(`the spec version must be at least v${since}`);
    parse(withEdits(since, edits));
    parse(withEdits(`v${since}`, edits));
  });

  test("of an old version has no annotations, dots in its class or digits at the beginning of names", () => {
    const since = (version: string, changes: object) => {
      expect(() => parse(minimal(changes))).toThrow(`the spec version must be at least v${version}`);
      parse(minimal({ ...changes, cdiVersion: version }));
    };
    since("0.6.0", { annotations: { a: "b" } });
    since("0.6.0", { kind: "vendor.com/net.fast" });
    since("0.5.0", { devices: [{ name: "0", containerEdits: { env: ["A=1"] } }] });
  });

  test.each([
    [minimal({ cdiVersion: "2.0.0" }), 'invalid version "2.0.0"'],
    [minimal({ kind: "vendor.com" }), 'invalid kind "vendor.com": VENDOR/CLASS is wanted'],
    [minimal({ colour: "red" }), "colour"],
    [minimal({ devices: [{ name: "a", containerEdits: {} }] }), 'invalid device "a": empty container edits'],
    [minimal({ devices: [{ name: "a b", containerEdits: { env: ["A=1"] } }] }), 'invalid device "a b": invalid name'],
    [minimal({ devices: [...minimal().devices, ...minimal().devices] }), 'invalid spec, multiple device "a"'],
    [minimal({ devices: undefined }), "devices"],
    [withEdits("1.0.0", { env: ["=x"] }), 'invalid container edits: invalid environment variable "=x"'],
    [withEdits("1.0.0", { deviceNodes: [{ path: "" }] }), "invalid (empty) device path"],
    [withEdits("1.0.0", { deviceNodes: [{ path: "/d", type: "x" }] }), 'device "/d": invalid type "x"'],
    [withEdits("1.0.0", { deviceNodes: [{ path: "/d", permissions: "x" }] }), 'device "/d": invalid permissions "x"'],
    [withEdits("1.0.0", { hooks: [{ hookName: "x", path: "/x" }] }), 'invalid hook name "x"'],
    [withEdits("1.0.0", { hooks: [{ hookName: "poststop", path: "" }] }), 'invalid hook "poststop" with empty path'],
    [withEdits("1.0.0", { hooks: [{ hookName: "poststop", path: "sh" }] }), 'hook "poststop": sh is not absolute'],
    [withEdits("1.0.0", { hooks: [{ hookName: "poststop", path: "/x", timeout: -1 }] }), "timeout"],
    [withEdits("1.0.0", { deviceNodes: [{ path: "/d", uid: 2 ** 32 }] }), "uid"],
    [withEdits("1.0.0", { mounts: [{ hostPath: "", containerPath: "/b" }] }), "invalid mount, empty host path"],
    [withEdits("1.0.0", { mounts: [{ hostPath: "/a", containerPath: "" }] }), "invalid mount, empty container path"],
    [withEdits("1.0.0", { intelRdt: { closID: "../x" } }), "invalid ClosID"],
    [withEdits("1.1.0", { netDevices: [{ hostInterfaceName: "", name: "a" }] }), "empty HostInterfaceName"],
    [minimal({ cdiVersion: "0.6.0", annotations: { "": "x" } }), 'invalid annotation "" of vendor.com/net'],
    [[], "no object"],
  ])("%j is refused", (spec, message) => {
    expect(() => parse(spec)).toThrow(message);
  });
});

describe("the registry", () => {
  const folders = [join(directory, "etc"), join(directory, "run")] as const;
  const write = (folder: string, name: string, spec: object | string) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), typeof spec === "string" ? spec : JSON.stringify(spec));
  };
  beforeEach(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  const variable = (value: string, name = "a") =>
    minimal({ devices: [{ name, containerEdits: { env: [`A=${value}`] } }] });
  const edited = (registry: CdiRegistry, name = "vendor.com/net=a") => registry.read().devices.get(name)?.edits.env;

  test("has nothing where there are no folders, and sees files come, change and go", () => {
    const registry = new CdiRegistry(folders);
    expect(registry.read()).toEqual({ devices: new Map(), errors: [] });
    write(folders[0], "a.json", variable("1"));
    write(folders[0], "ignored.txt", "x");
    mkdirSync(join(folders[0], "folder.json"));
    expect(edited(registry)).toEqual(["A=1"]);
    expect(registry.read().devices.get("vendor.com/net=a")!.spec).toBe(
      registry.read().devices.get("vendor.com/net=a")!.spec,
    );
    write(folders[0], "a.json", variable("12"));
    expect(edited(registry)).toEqual(["A=12"]);
    rmSync(join(folders[0], "a.json"));
    expect(edited(registry)).toBeUndefined();
  });

  test("takes a device from the later folder, and nobody's where two files of one folder claim it", () => {
    const registry = new CdiRegistry(folders);
    write(folders[0], "a.json", variable("1"));
    write(folders[0], "b.yaml", variable("2"));
    const [conflict] = registry.read().errors;
    expect(conflict!.message).toStartWith('conflicting device "vendor.com/net=a" (specs ');
    expect(edited(registry)).toBeUndefined();
    write(folders[1], "c.json", variable("3"));
    expect(edited(registry)).toEqual(["A=3"]);
  });

  test("says which files it cannot use, and uses the others", () => {
    const registry = new CdiRegistry(folders);
    write(folders[0], "bad.json", "{");
    write(folders[0], "old.json", minimal({ cdiVersion: "9" }));
    write(folders[0], "good.json", variable("1"));
    const { devices, errors } = registry.read();
    expect([...devices.keys()]).toEqual(["vendor.com/net=a"]);
    expect(errors.map(({ path }) => path)).toEqual([join(folders[0], "bad.json"), join(folders[0], "old.json")]);
    expect(errors[1]!.message).toBe('failed to load CDI Spec: invalid CDI Spec: invalid version "9"');
  });

  test("never waits for a file, and reads none without an end", () => {
    mkdirSync(folders[0], { recursive: true });
    const path = (name: string) => join(folders[0], name);
    Bun.spawnSync(["mkfifo", path("a.json")]);
    symlinkSync("/dev/zero", path("b.yaml"));
    symlinkSync(folders[0], path("c.yaml"));
    writeFileSync(path("d.json"), "");
    truncateSync(path("d.json"), 2 ** 40);
    symlinkSync("nowhere", path("e.json"));
    const messages = new CdiRegistry(folders).read().errors.map(({ message }) => message);
    const [fifo, zeros, folder, huge, dangling] = messages;
    expect([fifo, zeros, folder]).toEqual(new Array(3).fill("failed to load CDI Spec: not a regular file"));
    expect(huge).toContain("1099511627776 bytes are more than the 2097152");
    expect(dangling).toContain("ENOENT");
  });

  test("reads a file again whose time was set back", () => {
    const registry = new CdiRegistry(folders);
    write(folders[0], "a.json", variable("1"));
    const file = join(folders[0], "a.json");
    utimesSync(file, 1, 1);
    expect(edited(registry)).toEqual(["A=1"]);
    const { ino } = statSync(file);
    write(folders[0], "a.json", variable("2"));
    utimesSync(file, 1, 1);
    expect(statSync(file).ino).toBe(ino);
    expect(edited(registry)).toEqual(["A=2"]);
  });

  test("answers requests by name, with what belongs to all devices of a file once", () => {
    const registry = new CdiRegistry(folders);
    const devices = ["a", "b"].map((name) => ({ name, containerEdits: { env: [`${name}=1`] } }));
    write(folders[0], "a.json", minimal({ devices, containerEdits: { env: ["ALL=1"] } }));
    const names = ["vendor.com/net=b", "vendor.com/net=a"];
    const edits = requestedEdits([{ Driver: "cdi", DeviceIDs: names }], registry);
    expect(edits.flatMap(({ env }) => env)).toEqual(["ALL=1", "b=1", "a=1"]);
    expect(requestedEdits([{ Driver: "cdi" }], registry)).toEqual([]);
  });

  test("answers --gpus with the devices of a vendor that is there", () => {
    const registry = new CdiRegistry(folders);
    const gpus = (kind: string, names: string[]) => ({
      cdiVersion: "0.5.0",
      kind,
      devices: names.map((name) => ({ name, containerEdits: { env: [`${name}=1`] } })),
    });
    const asked = (request: object) => {
      const edits = requestedEdits([{ Capabilities: [["gpu"]], ...request }], registry);
      return edits.flatMap(({ env = [] }) => env.map((variable) => variable.split("=")[0]));
    };
    const none = () => asked({ Count: -1 });
    expect(none).toThrow('could not select device driver "" with capabilities: [[gpu]]');
    write(folders[0], "amd.json", gpus("amd.com/gpu", ["0", "1"]));
    expect(asked({ Count: -1 })).toEqual(["0", "1"]);
    expect(asked({ Count: 1 })).toEqual(["0"]);
    expect(asked({ Count: 0 })).toEqual([]);
    expect(asked({ DeviceIDs: ["1", "amd.com/gpu=0"] })).toEqual(["1", "0"]);
    expect(() => asked({ Count: 3 })).toThrow("unresolvable CDI devices amd.com/gpu=2");
    expect(() => asked({ Count: 1e9 })).toThrow("unresolvable CDI devices amd.com/gpu=2");
    expect(() => asked({ Driver: "nvidia", Count: 1 })).toThrow('could not select device driver "nvidia"');
    write(folders[0], "nvidia.json", gpus("nvidia.com/gpu", ["x", "all"]));
    expect(asked({ Count: -1 })).toEqual(["all"]);
    expect(asked({ Count: -1, Driver: "nvidia", Capabilities: [["sound"], ["utility", "gpu"]] })).toEqual(["all"]);
    expect(asked({ Count: -1, Capabilities: [["amd", "gpu"]] })).toEqual(["0", "1"]);
  });

  test.each([
    [{ Driver: "cdi", Count: 1, DeviceIDs: ["x"] }, "unexpected count in CDI device request"],
    [{ Driver: "cdi", Options: { a: "b" }, DeviceIDs: ["x"] }, "unexpected options in CDI device request"],
    [
      { Driver: "cdi", DeviceIDs: ["vendor.com/net=a", "vendor.com/net=x", "other/y=z"] },
      "CDI device injection failed: unresolvable CDI devices vendor.com/net=x, other/y=z",
    ],
    [{ Driver: "odd", Capabilities: [["a", "b"], ["c"]] }, 'device driver "odd" with capabilities: [[a b] [c]]'],
    [{ Capabilities: [] }, 'could not select device driver "" with capabilities: []'],
  ])("refuses %j", (request, message) => {
    write(folders[0], "a.json", variable("1"));
    expect(() => requestedEdits([request], new CdiRegistry(folders))).toThrow(message);
  });

  test("says in a hint what there is, what is wrong, or that it is switched off", () => {
    const hintOf = (name: string, searched: readonly string[] = folders) => {
      try {
        requestedEdits([{ Driver: "cdi", DeviceIDs: [name] }], new CdiRegistry(searched));
        throw new Error("not refused");
      } catch (error) {
        if (!isEngineError(error, "invalid_argument")) throw error;
        return (error as EngineError).hint;
      }
    };
    expect(hintOf("a/b=c")).toStartWith("No CDI file in ");
    expect(hintOf("a/b=c", [])).toStartWith("CDI is switched off");
    write(folders[0], "a.json", variable("1"));
    expect(hintOf("vendor.com/net=b")).toBe("There are: vendor.com/net=a");
    write(folders[0], "bad.json", "{");
    expect(hintOf("a/b=c")).toStartWith(`${folders[0]}/bad.json: failed to load CDI Spec: `);
  });
});

describe("edits", () => {
  const nodes: HostDevice[] = [
    { type: "c", path: "/dev/card", major: 226, minor: 3, fileMode: 0o660, uid: 0, gid: 44 },
  ];
  const host = {
    devicesAt: (path: string) => nodes.filter((node) => node.path === path),
    exists: (path: string) => path === "/etc/passwd",
  };
  const config = (user = { uid: 0, gid: 0 }, namespaces: object[] = []): RuntimeConfig =>
    parseRuntimeConfig(
      JSON.stringify({
        ociVersion: "1.1.0",
        process: { args: ["x"], cwd: "/", user, env: ["PATH=/bin", "A=old"] },
        root: { path: "/r" },
        mounts: [
          { destination: "/proc", type: "proc", source: "proc" },
          { destination: "/opt/deep/er", type: "bind", source: "/x", options: ["bind"] },
          { destination: "/opt", type: "bind", source: "/old", options: ["bind"] },
        ],
        linux: { namespaces, devices: [{ type: "c", path: "/dev/card", major: 1, minor: 1 }], resources: {} },
      }),
      "config.json",
    );
  const apply = (edits: object, to = config()) => {
    applyEdits(to, parse(minimal({ cdiVersion: "1.1.0", containerEdits: edits })).containerEdits, host);
    return to;
  };

  test("of variables, groups, hooks, mounts, cache classes and interfaces", () => {
    const hook = { path: "/usr/bin/hook", args: ["hook", "x"], env: ["H=1"], timeout: 3 };
    const result = apply({
      env: ["A=new", "B=2"],
      additionalGids: [0, 44, 44],
      hooks: [{ hookName: "createContainer", ...hook }],
      mounts: [{ hostPath: "/new", containerPath: "/opt", options: ["ro", "rbind"] }],
      intelRdt: { closID: "c", enableMonitoring: true },
      netDevices: [{ hostInterfaceName: "eth1", name: "fast0" }],
    });
    expect(result.process!.env).toEqual(["PATH=/bin", "A=new", "B=2"]);
    expect(result.process!.user!.additionalGids).toEqual([44]);
    expect(result.hooks).toEqual({ createContainer: [hook] });
    expect(result.mounts!.map(({ destination, source }) => [destination, source])).toEqual([
      ["/proc", "proc"],
      ["/opt", "/new"],
      ["/opt/deep/er", "/x"],
    ]);
    expect(result.linux!.intelRdt).toEqual({ closID: "c", enableMonitoring: true });
    expect(result.linux!.netDevices).toEqual({ eth1: { name: "fast0" } });
  });

  test("of device nodes take from the host what the file leaves open, and allow them", () => {
    const { linux } = apply({ deviceNodes: [{ path: "/dev/card", permissions: "rw" }] }, config({ uid: 7, gid: 8 }));
    expect(linux!.devices).toEqual([{ type: "c", path: "/dev/card", major: 226, minor: 3, uid: 7, gid: 8 }]);
    expect(linux!.resources!.devices).toEqual([{ allow: true, type: "c", major: 226, minor: 3, access: "rw" }]);
    const renamed = apply({ deviceNodes: [{ path: "/dev/x", hostPath: "/dev/card", uid: 1, gid: 2, fileMode: 384 }] });
    expect(renamed.linux!.devices![1]).toEqual({
      type: "c",
      path: "/dev/x",
      major: 226,
      minor: 3,
      fileMode: 0o600,
      uid: 1,
      gid: 2,
    });
    const made = apply({ deviceNodes: [{ path: "/dev/nowhere", type: "b", major: 8, minor: 1 }] });
    expect(made.linux!.devices![1]).toEqual({ type: "b", path: "/dev/nowhere", major: 8, minor: 1, uid: 0, gid: 0 });
    expect(made.linux!.resources!.devices![0]).toMatchObject({ access: "rwm" });
    const fifo = apply({ deviceNodes: [{ path: "/dev/pipe", type: "p" }] });
    expect(fifo.linux!.devices![1]).toEqual({ type: "p", path: "/dev/pipe", uid: 0, gid: 0 });
    expect(fifo.linux!.resources!.devices).toBeUndefined();
  });

  test("of device nodes are mounts in a user namespace, where they have another name on the host", () => {
    const mapped = () => config(undefined, [{ type: "user", path: "/proc/1/ns/user" }]);
    const { linux, mounts } = apply({ deviceNodes: [{ path: "/dev/x", hostPath: "/dev/card" }] }, mapped());
    expect(linux!.devices!.map(({ path }) => path)).toEqual(["/dev/card"]);
    expect(mounts).toContainEqual({ destination: "/dev/x", source: "/dev/card", type: "bind", options: ["bind"] });
    expect(linux!.resources!.devices).toHaveLength(1);
    const same = apply({ deviceNodes: [{ path: "/dev/card" }] }, mapped());
    expect(same.linux!.devices).toHaveLength(1);
  });

  test.each([
    [{ path: "/dev/none" }, 'failed to stat CDI host device "/dev/none": no such file or directory'],
    [{ path: "/etc/passwd" }, 'failed to stat CDI host device "/etc/passwd": not a device node'],
    [{ path: "/dev/card", type: "b" }, 'CDI device ("/dev/card", "/dev/card"), host type mismatch (b, c)'],
  ])("of device node %j are refused", (node, message) => {
    expect(() => apply({ deviceNodes: [node] })).toThrow(
      `CDI device injection failed: failed to inject devices: ${message}`,
    );
  });
});
