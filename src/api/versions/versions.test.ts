import { describe, expect, test } from "bun:test";
import type { SystemInfo } from "../schema/system.ts";
import { fakeImage, fakeInspect, fakeSummary } from "../testing/fake-objects.ts";
import { inspectOf, summaryOf } from "./containers.ts";
import { createRequestOf } from "./create.ts";
import { imageInspectOf, imageSummaryOf } from "./images.ts";
import { networkCreateRequestOf } from "./networks.ts";
import { infoOf } from "./system.ts";
import { negotiate, routedPath, splitVersion, understood } from "./version.ts";

type Json = Record<string, unknown>;

/** As it goes over the wire: what is undefined is not there. */
function wire(value: object): Json & { NetworkSettings: Json & { Networks: Record<string, Json> } } {
  return JSON.parse(JSON.stringify(value));
}

describe("the version in a path", () => {
  test("is cut off for the router, and only where it is one", () => {
    expect(splitVersion("/v1.43/info")).toEqual({ asked: "1.43", path: "/info" });
    expect(splitVersion("/version")).toEqual({ path: "/version" });
    expect(splitVersion("/v1.43info")).toEqual({ path: "/v1.43info" });
    expect(routedPath(new Request("http://x/v1.24/images/a/b/json?manifests=1"))).toBe("/images/a/b/json");
    expect(routedPath(new Request("http://x/_ping"))).toBe("/_ping");
  });
  test("is compared by number, not by text", () => {
    expect(negotiate("1.24")).toBe(24);
    expect(negotiate(undefined)).toBe(55);
    for (const asked of ["1.9", "1.23", "0.99", "1"]) expect(() => negotiate(asked), asked).toThrow("is too old");
    for (const asked of ["1.56", "1.100", "2.0"]) expect(() => negotiate(asked), asked).toThrow("is too new");
  });
  test("is 1.41 for Compose 1, that takes the daemon's own and knows none after that", () => {
    expect(understood(55, "docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1")).toBe(41);
    expect(understood(38, "docker-compose/1.29.2")).toBe(38);
    for (const other of ["docker-compose/5.0.0", "docker-sdk-python/7.1.0", undefined]) {
      expect(understood(55, other)).toBe(55);
    }
  });
});

describe("a create request", () => {
  test("of no limit on pids has none, however it was written", () => {
    for (const PidsLimit of [0, -1, -5]) {
      expect(createRequestOf({ HostConfig: { PidsLimit } }, 55).HostConfig).toEqual({});
    }
    expect(createRequestOf({ HostConfig: { PidsLimit: 5 } }, 55).HostConfig).toEqual({ PidsLimit: 5 });
  });

  test("of an older client loses what its version did not have, and gets its version's defaults", () => {
    const Mounts = [
      { Type: "bind", BindOptions: { NonRecursive: true, CreateMountpoint: true, Propagation: "rslave" } },
      { Type: "tmpfs", BindOptions: { NonRecursive: true }, TmpfsOptions: { SizeBytes: 1 } },
    ] as const;
    const request = { HostConfig: { Mounts: [...Mounts] } };
    expect(createRequestOf(request, 39).HostConfig).toEqual({
      IpcMode: "shareable",
      Mounts: [
        { Type: "bind", BindOptions: { Propagation: "rslave" } },
        { Type: "tmpfs", TmpfsOptions: { SizeBytes: 1 } },
      ],
    });
    const matching = { HostConfig: { Mounts: [Mounts[0]] } };
    expect(createRequestOf(matching, 55)).toEqual(matching);
    // Left to be refused.
    expect(createRequestOf(request, 42)).toEqual(request);
    expect(createRequestOf({ HostConfig: { ConsoleSize: [1, 2], Annotations: { a: "b" } } }, 41).HostConfig).toEqual(
      {},
    );
    expect(createRequestOf({ Healthcheck: { StartInterval: 1, Retries: 2 } }, 43).Healthcheck).toEqual({ Retries: 2 });
  });

  test("is refused for what its version could not say", () => {
    const endpoints = { NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } };
    expect(() => createRequestOf(endpoints, 43)).toThrow("multiple network endpoints");
    expect(createRequestOf(endpoints, 44)).toMatchObject(endpoints);
    const subpath = { HostConfig: { Mounts: [{ Type: "volume", VolumeOptions: { Subpath: "x" } }] } } as const;
    expect(() => createRequestOf({ HostConfig: { Mounts: [...subpath.HostConfig.Mounts] } }, 44)).toThrow(
      "needs API v1.45 or newer",
    );
    const recursive = (ReadOnlyForceRecursive: boolean) => ({
      HostConfig: { Mounts: [{ Type: "bind" as const, BindOptions: { ReadOnlyForceRecursive } }] },
    });
    expect(() => createRequestOf(recursive(true), 43)).toThrow("needs API v1.44 or newer");
    expect(createRequestOf(recursive(false), 43).HostConfig?.Mounts).toEqual([{ Type: "bind", BindOptions: {} }]);
    expect(() => createRequestOf({ HostConfig: { Mounts: [{ Type: "image" }] } }, 47)).toThrow(
      "need API v1.48 or newer",
    );
  });

  test("moves a container-wide MAC address to its endpoint until 1.51, and is refused with one since", () => {
    const MacAddress = "02:42:ac:11:00:02";
    expect(createRequestOf({ MacAddress }, 43)).toEqual({
      HostConfig: {},
      NetworkingConfig: { EndpointsConfig: { default: { MacAddress } } },
    });
    const named = { EndpointsConfig: { net: { Aliases: ["a"] } } };
    expect(createRequestOf({ MacAddress, NetworkingConfig: named }, 51).NetworkingConfig).toEqual({
      EndpointsConfig: { net: { Aliases: ["a"], MacAddress } },
    });
    const other = { EndpointsConfig: { net: { MacAddress: "02:42:ac:11:00:03" } } };
    expect(() => createRequestOf({ MacAddress, NetworkingConfig: other }, 51)).toThrow("02:42:ac:11:00:03");
    expect(() => createRequestOf({ MacAddress }, 52)).toThrow("Config.MacAddress is gone");
  });
});

describe("a container", () => {
  const container = fakeInspect("f".repeat(64), "x", { Image: "busybox", HostConfig: { Memory: 5 } }, true, 0);

  test("has Docker's zero values around what is stored", () => {
    const seen = wire(inspectOf(container, 55));
    expect(seen).toMatchObject({ HostConfig: { Memory: 5, CpuShares: 0, Binds: null }, Config: { Env: null } });
    expect(seen.NetworkSettings.Networks.bridge).toMatchObject({
      IPAddress: "10.0.0.2",
      MacAddress: "",
      Aliases: null,
    });
  });

  test("repeats the bridge's address at the top until 1.51", () => {
    expect(wire(inspectOf(container, 51)).NetworkSettings).toMatchObject({
      IPAddress: "10.0.0.2",
      Gateway: "10.0.0.1",
    });
    expect(Object.keys(wire(inspectOf(container, 52)).NetworkSettings)).toEqual([
      "SandboxID",
      "SandboxKey",
      "Ports",
      "Networks",
    ]);
    expect(Object.keys(wire(inspectOf(container, 51)).NetworkSettings).at(-1)).toBe("Networks");
    expect(wire(inspectOf(container, 51))).toHaveProperty("GraphDriver.Name", "overlayfs");
    expect(wire(inspectOf(container, 52))).not.toHaveProperty("GraphDriver");
  });

  test("has the MAC address that was asked for in its configuration until 1.51", () => {
    const asked = { ...container, Config: { ...container.Config, MacAddress: "02:00:00:00:00:05" } };
    expect(wire(inspectOf(asked, 51))).toHaveProperty("Config.MacAddress", "02:00:00:00:00:05");
    expect(wire(inspectOf(asked, 52))).not.toHaveProperty("Config.MacAddress");
    expect(wire(inspectOf(container, 51))).not.toHaveProperty("Config.MacAddress");
  });

  test("has its short id among the aliases of its own networks until 1.44", () => {
    const networks = { Networks: { mine: { NetworkID: "n" }, bridge: { NetworkID: "b" } } };
    const joined = { ...container, NetworkSettings: { ...container.NetworkSettings, ...networks } };
    expect(wire(inspectOf(joined, 44)).NetworkSettings.Networks.mine).toHaveProperty("Aliases", ["ffffffffffff"]);
    expect(wire(inspectOf(joined, 44)).NetworkSettings.Networks.bridge).toHaveProperty("Aliases", null);
    expect(wire(inspectOf(joined, 45)).NetworkSettings.Networks.mine).toHaveProperty("Aliases", null);
    expect(wire(inspectOf(joined, 43)).NetworkSettings.Networks.mine).not.toHaveProperty("DNSNames");
  });

  test("in a list shows health and annotations to versions that have them", () => {
    const summary = {
      ...fakeSummary("f".repeat(64), "x", {}, true),
      Health: { Status: "healthy", FailingStreak: 0 } as const,
      HostConfig: { NetworkMode: "bridge", Annotations: { a: "b" } },
    };
    expect(wire(summaryOf(summary, 55))).toMatchObject({
      Health: { Status: "healthy" },
      HostConfig: { Annotations: { a: "b" } },
    });
    expect(wire(summaryOf(summary, 45))).not.toHaveProperty("Health");
    expect(Object.keys(wire(summaryOf(summary, 55))).join(" ")).toBe(
      "Id Names Image ImageID Command Created Ports Labels State Status HostConfig NetworkSettings Mounts Health",
    );
    expect(wire(summaryOf(summary, 45))).toHaveProperty("HostConfig", { NetworkMode: "bridge" });
  });
});

test("a network of a client before API 1.48 has IPv6 only when it is asked for", () => {
  const asked = (request: object, api: number) => networkCreateRequestOf({ Name: "n", ...request }, api).EnableIPv6;
  expect([asked({}, 48), asked({}, 47), asked({ EnableIPv6: true }, 47)]).toEqual([undefined, false, true]);
  expect(asked({ Options: { "com.docker.network.enable_ipv6": "true" } }, 47)).toBeUndefined();
  expect(asked({ IPAM: { Config: [{ Subnet: "10.1.0.0/16" }, { Subnet: "fd00:1::/64" }] } }, 47)).toBeUndefined();
});

describe("info", () => {
  test("has the fields of the version that asks", () => {
    const commits = { ContainerdCommit: { ID: "c" }, RuncCommit: { ID: "r" }, InitCommit: { ID: "i" } };
    const info = {
      ...commits,
      FirewallBackend: { Driver: "nftables" },
      DiscoveredDevices: [],
    } as unknown as SystemInfo;
    expect(wire(infoOf(info, 55)) as Json).toEqual({ ...info } as unknown as Json);
    expect(wire(infoOf(info, 48))).toMatchObject({ RuncCommit: { ID: "r", Expected: "r" }, BridgeNfIptables: false });
    expect(wire(infoOf(info, 48))).not.toHaveProperty("FirewallBackend");
  });
});

describe("an image", () => {
  test("has the fields of the version that asks", () => {
    const { inspect, summary } = fakeImage("busybox");
    const descriptor = { mediaType: "m", digest: "sha256:0", size: 1 };
    const full = { ...inspect, Descriptor: descriptor, Manifests: [] };
    expect(wire(imageInspectOf(full, 55))).toMatchObject({ Descriptor: descriptor, Config: { Cmd: ["sh"] } });
    expect(wire(imageInspectOf(full, 55))).toHaveProperty("Config", { Cmd: ["sh"] });
    expect(wire(imageInspectOf(full, 51))).toMatchObject({ Parent: "", Config: { Cmd: ["sh"], Env: null } });
    expect(wire(imageInspectOf(full, 50)).Config).not.toHaveProperty("Hostname");
    expect(wire(imageInspectOf(full, 47))).not.toHaveProperty("Descriptor");
    const withVolume = { ...full, Config: { Volumes: { "/data": {} } } };
    expect(wire(imageInspectOf(withVolume, 44))).toHaveProperty("ContainerConfig.Volumes", { "/data": {} });
    expect(wire(imageInspectOf(full, 43))).toMatchObject({ VirtualSize: 4_261_574, Config: { Hostname: "" } });
    expect(wire(imageSummaryOf(summary, 55))).toHaveProperty("Containers", 2);
    expect(wire(imageSummaryOf(summary, 50))).toHaveProperty("Containers", -1);
    expect(wire(imageSummaryOf(summary, 43))).toMatchObject({ VirtualSize: 4_261_574, RepoDigests: [] });
    expect(wire(imageSummaryOf(summary, 42))).toMatchObject({ RepoTags: ["busybox:latest"], RepoDigests: [] });
    const nameless = { ...summary, RepoTags: [], RepoDigests: [] };
    expect(wire(imageSummaryOf(nameless, 43))).toMatchObject({ RepoTags: [], RepoDigests: [] });
    const words = { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] };
    expect(wire(imageSummaryOf(nameless, 42))).toMatchObject(words);
  });
});
