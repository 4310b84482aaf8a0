/** Every field of Docker's Config, HostConfig and NetworkingConfig (API 1.55), by its type: what is right and what is wrong. */
import { describe, expect, test } from "bun:test";
import { readCreateRequest } from "../schema/create-request.ts";
import { fakeInspect } from "../testing/fake-objects.ts";
import { inspectOf } from "./containers.ts";
import { createRequestOf } from "./create.ts";

type Kind = "text" | "texts" | "words" | "flag" | "int" | "uint" | "map" | "set" | Fields | [Fields];
interface Fields {
  [name: string]: Kind;
}

const throttle: [Fields] = [{ Path: "text", Rate: "uint" }];
const resources: Fields = {
  CpuShares: "int",
  Memory: "int",
  NanoCpus: "int",
  CgroupParent: "text",
  BlkioWeight: "uint",
  BlkioWeightDevice: [{ Path: "text", Weight: "uint" }],
  BlkioDeviceReadBps: throttle,
  BlkioDeviceWriteBps: throttle,
  BlkioDeviceReadIOps: throttle,
  BlkioDeviceWriteIOps: throttle,
  CpuPeriod: "int",
  CpuQuota: "int",
  CpuRealtimePeriod: "int",
  CpuRealtimeRuntime: "int",
  CpusetCpus: "text",
  CpusetMems: "text",
  Devices: [{ PathOnHost: "text", PathInContainer: "text", CgroupPermissions: "text" }],
  DeviceCgroupRules: "texts",
  DeviceRequests: [{ Driver: "text", Count: "int", DeviceIDs: "texts", Options: "map" }],
  MemoryReservation: "int",
  MemorySwap: "int",
  MemorySwappiness: "int",
  OomKillDisable: "flag",
  PidsLimit: "int",
  Ulimits: [{ Name: "text", Soft: "int", Hard: "int" }],
  CpuCount: "int",
  CpuPercent: "int",
  IOMaximumIOps: "uint",
  IOMaximumBandwidth: "uint",
};

const mount: Fields = {
  Type: "text",
  Source: "text",
  Target: "text",
  ReadOnly: "flag",
  Consistency: "text",
  BindOptions: {
    Propagation: "text",
    NonRecursive: "flag",
    CreateMountpoint: "flag",
    ReadOnlyNonRecursive: "flag",
    ReadOnlyForceRecursive: "flag",
  },
  VolumeOptions: { NoCopy: "flag", Labels: "map", Subpath: "text", DriverConfig: { Name: "text", Options: "map" } },
  ImageOptions: { Subpath: "text" },
  TmpfsOptions: { SizeBytes: "int", Mode: "uint" },
};

const hostConfig: Fields = {
  ...resources,
  Annotations: "map",
  AutoRemove: "flag",
  Binds: "texts",
  CapAdd: "words",
  CapDrop: "words",
  Cgroup: "text",
  CgroupnsMode: "text",
  ContainerIDFile: "text",
  Dns: "texts",
  DnsOptions: "texts",
  DnsSearch: "texts",
  ExtraHosts: "texts",
  GroupAdd: "texts",
  Init: "flag",
  IpcMode: "text",
  Isolation: "text",
  Links: "texts",
  LogConfig: { Type: "text", Config: "map" },
  MaskedPaths: "texts",
  Mounts: [mount],
  NetworkMode: "text",
  OomScoreAdj: "int",
  PidMode: "text",
  Privileged: "flag",
  PublishAllPorts: "flag",
  ReadonlyPaths: "texts",
  ReadonlyRootfs: "flag",
  RestartPolicy: { Name: "text", MaximumRetryCount: "int" },
  Runtime: "text",
  SecurityOpt: "texts",
  ShmSize: "int",
  StorageOpt: "map",
  Sysctls: "map",
  Tmpfs: "map",
  UTSMode: "text",
  UsernsMode: "text",
  VolumeDriver: "text",
  VolumesFrom: "texts",
};

const config: Fields = {
  Hostname: "text",
  Domainname: "text",
  User: "text",
  AttachStdin: "flag",
  AttachStdout: "flag",
  AttachStderr: "flag",
  ExposedPorts: "set",
  Tty: "flag",
  OpenStdin: "flag",
  StdinOnce: "flag",
  Env: "texts",
  Cmd: "words",
  Healthcheck: {
    Test: "texts",
    Interval: "int",
    Timeout: "int",
    StartPeriod: "int",
    StartInterval: "int",
    Retries: "int",
  },
  ArgsEscaped: "flag",
  Image: "text",
  Volumes: "set",
  WorkingDir: "text",
  Entrypoint: "words",
  NetworkDisabled: "flag",
  OnBuild: "texts",
  Labels: "map",
  StopSignal: "text",
  StopTimeout: "int",
  Shell: "words",
};

const endpoint: Fields = {
  IPAMConfig: { IPv4Address: "text", IPv6Address: "text", LinkLocalIPs: "texts" },
  Links: "texts",
  Aliases: "texts",
  MacAddress: "text",
  DriverOpts: "map",
  GwPriority: "int",
};

/** A value of each kind, and wrong ones with what is said of them below the field's own path. */
const kinds: Record<Extract<Kind, string>, { right: unknown; wrong: [value: unknown, said: string][] }> = {
  text: {
    right: "a",
    wrong: [
      [5, ": number where string is wanted"],
      [["a"], ": array where string is wanted"],
    ],
  },
  texts: {
    right: ["a"],
    wrong: [
      ["a", ": string where array is wanted"],
      [[5], ".0: number where string is wanted"],
    ],
  },
  // A string stands for a list of one.
  words: {
    right: "a",
    wrong: [
      [{}, ": object where array is wanted"],
      [[5], ".0: number where string is wanted"],
    ],
  },
  flag: {
    right: true,
    wrong: [
      ["true", ": string where bool is wanted"],
      [1, ": number where bool is wanted"],
    ],
  },
  int: {
    right: -5,
    wrong: [
      ["5", ": string where int64 is wanted"],
      [1.5, ": number where int64 is wanted"],
      [1e30, "int64"],
    ],
  },
  uint: {
    right: 5,
    wrong: [
      ["5", ": string where int64 is wanted"],
      [-5, ": -5 where an unsigned integer is wanted"],
    ],
  },
  map: {
    right: { a: "b" },
    wrong: [
      [["a"], ": array where object is wanted"],
      [{ a: 5 }, ".a: number where string is wanted"],
    ],
  },
  set: {
    right: { a: {} },
    wrong: [
      [["a"], ": array where object is wanted"],
      [{ a: 5 }, ".a: number where object is wanted"],
    ],
  },
};

interface Place {
  path: string;
  kind: Extract<Kind, string>;
  /** The request in which the field has this value. */
  put(value: unknown): object;
}

function places(fields: Fields, path = "", put: Place["put"] = (value) => value as object): Place[] {
  return Object.entries(fields).flatMap(([name, kind]): Place[] => {
    const within = (value: unknown) => put({ [name]: value });
    const at = path === "" ? name : `${path}.${name}`;
    if (typeof kind === "string") return [{ path: at, kind, put: within }];
    if (!Array.isArray(kind)) return places(kind, at, within);
    return places(kind[0], `${at}.0`, (value) => within([value]));
  });
}

const all = [
  ...places(config),
  ...places(hostConfig, "HostConfig", (value) => ({ HostConfig: value })),
  ...places(endpoint, "NetworkingConfig.EndpointsConfig.net", (value) => ({
    NetworkingConfig: { EndpointsConfig: { net: value } },
  })),
];

test.each(all)("$path takes a value of its type and null, and refuses others by its name", ({ path, kind, put }) => {
  const { right, wrong } = kinds[kind];
  readCreateRequest(put(right));
  readCreateRequest(put(null));
  for (const [value, said] of wrong) {
    const refuse = () => readCreateRequest(put(value));
    expect(refuse).toThrow(`invalid JSON: ${path}`);
    expect(refuse).toThrow(said);
  }
});

test("whole objects and lists of the wrong type are refused by name, and what nobody knows is accepted", () => {
  for (const name of ["HostConfig", "NetworkingConfig", "Healthcheck"]) {
    expect(() => readCreateRequest({ [name]: "x" })).toThrow(`invalid JSON: ${name}: string where object is wanted`);
  }
  expect(() => readCreateRequest({ HostConfig: { Devices: {} } })).toThrow("HostConfig.Devices: object where array");
  expect(() => readCreateRequest({ HostConfig: { PortBindings: { "80/tcp": [5] } } })).toThrow(
    "HostConfig.PortBindings.80/tcp.0: number where object is wanted",
  );
  expect(() => readCreateRequest({ HostConfig: { DeviceRequests: [{ Capabilities: ["gpu"] }] } })).toThrow(
    "HostConfig.DeviceRequests.0.Capabilities.0: string where array is wanted",
  );
  expect(() => readCreateRequest({ HostConfig: { ConsoleSize: [-1] } })).toThrow("HostConfig.ConsoleSize.0: -1");
  expect(() => readCreateRequest([])).toThrow("invalid JSON: body: array where object is wanted");
  readCreateRequest({ Future: 1, HostConfig: { Future: {} }, NetworkingConfig: { EndpointsConfig: {}, Future: [] } });
});

describe("inspect shows to clients of every version", () => {
  /** Those that Go leaves out when they are empty. */
  const omitted = ["Annotations", "Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs"];
  const omittedOfConfig = [
    "ArgsEscaped",
    "ExposedPorts",
    "Healthcheck",
    "NetworkDisabled",
    "OnBuild",
    "Shell",
    "StopSignal",
    "StopTimeout",
  ];
  const always = (fields: Fields, left: string[]) => Object.keys(fields).filter((name) => !left.includes(name));

  test.each([24, 40, 41, 43, 44, 48, 51, 52, 55])("1.%i all fields of a container that asked for nothing", (api) => {
    const shown = inspectOf(fakeInspect("id", "name", {}, false, 0), api) as Record<string, Record<string, unknown>>;
    const host = [...always(hostConfig, omitted), "ConsoleSize", "PortBindings"];
    expect(Object.keys(shown.HostConfig!).sort()).toEqual(host.sort());
    const own = [...always(config, omittedOfConfig), ...(api < 52 ? ["OnBuild"] : [])];
    expect(Object.keys(shown.Config!).sort()).toEqual(own.sort());
  });

  test("a request changes by its version, and is left alone", () => {
    const request = { HostConfig: { PidsLimit: 0 } };
    expect(createRequestOf(request, 55)).toEqual({ HostConfig: {} });
    expect(request).toEqual({ HostConfig: { PidsLimit: 0 } });
  });
});
