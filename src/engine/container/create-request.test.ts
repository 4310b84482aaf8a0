import { describe, expect, test } from "bun:test";
import type { ContainerCreateRequest, HostConfig } from "../../api/schema/container-config.ts";
import { checkHealthcheck, mergeHealthcheck } from "./healthcheck.ts";
import { commandOf, mergeImageConfig } from "./image-config.ts";
import { logDefaults } from "./log-target.ts";
import { refuseUnsupported, unactedWarnings } from "./refusal.ts";

describe("what a container takes from its image", () => {
  const image = {
    Env: ["PATH=/bin", "LANG=C"],
    Entrypoint: ["/entry"],
    Cmd: ["serve"],
    Labels: { a: "image", b: "image" },
    User: "www",
    WorkingDir: "/srv",
    ExposedPorts: { "80/tcp": {} },
    Volumes: { "/data": {} },
  };

  test("an empty request takes everything; empty strings count as absent", () => {
    expect(mergeImageConfig({ User: "", WorkingDir: "", Tty: true }, image)).toEqual({ ...image, Tty: true });
  });

  test("the request's variables come first and win; a bare name takes one away", () => {
    expect(mergeImageConfig({ Env: ["LANG=de", "X=1"] }, image).Env).toEqual(["LANG=de", "X=1", "PATH=/bin"]);
    expect(mergeImageConfig({ Env: ["LANG"] }, image).Env).toEqual(["LANG", "PATH=/bin"]);
  });

  test("labels, ports and volumes are united", () => {
    const merged = mergeImageConfig(
      { Labels: { a: "own" }, ExposedPorts: { "81/tcp": {} }, Volumes: { "/x": {} } },
      image,
    );
    expect(merged.Labels).toEqual({ a: "own", b: "image" });
    expect(Object.keys(merged.ExposedPorts!)).toEqual(["80/tcp", "81/tcp"]);
    expect(Object.keys(merged.Volumes!)).toEqual(["/data", "/x"]);
  });

  test("entry point and command follow docker's four cases", () => {
    const command = (request: ContainerCreateRequest) => commandOf(mergeImageConfig(request, image));
    expect(command({})).toEqual(["/entry", "serve"]);
    expect(command({ Cmd: ["x"] })).toEqual(["/entry", "x"]);
    expect(command({ Entrypoint: ["/own"] })).toEqual(["/own"]);
    expect(command({ Entrypoint: [] })).toEqual(["serve"]);
    expect(command({ Entrypoint: [""], Cmd: ["x"] })).toEqual(["x"]);
    expect(() => command({ Entrypoint: [""] })).toThrow("no command specified");
  });
});

describe("what no container can have is refused", () => {
  test.each([
    [{ Isolation: "hyperv" }, "invalid isolation (hyperv): linux only supports 'default'"],
    [{ IOMaximumIOps: 1 }, "invalid option: QoS maximum IOPs configuration is not supported on linux"],
    [{ IOMaximumBandwidth: 1 }, "invalid option: QoS maximum bandwidth configuration is not supported on linux"],
    [{ Cgroup: "container:x" }, "HostConfig.Cgroup (container:x): tsd has no cgroups of other containers"],
    [{ Mounts: [{ Type: "cluster", Target: "/x" }] }, "HostConfig.Mounts[/x].Type (cluster): tsd has no"],
    [{ Mounts: [{ Type: "npipe", Target: "/x" }] }, "HostConfig.Mounts[/x].Type (npipe): tsd has no"],
    [{ LogConfig: { Type: "foo" } }, 'error looking up logging plugin foo: plugin "foo" not found'],
    [{ LogConfig: { Config: { a: "b" } } }, "unknown log opt 'a' for json-file log driver"],
    [
      { RestartPolicy: { Name: "foo" } },
      "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
    ],
    [
      { RestartPolicy: { Name: "always", MaximumRetryCount: 1 } },
      "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    ],
    [
      { RestartPolicy: { Name: "no", MaximumRetryCount: -1 } },
      "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative",
    ],
    [
      { RestartPolicy: { Name: "on-failure", MaximumRetryCount: -1 } },
      "invalid restart policy: maximum retry count cannot be negative",
    ],
  ] as [HostConfig, string][])("%j", (HostConfig, message) => {
    expect(() => refuseUnsupported({ HostConfig }, logDefaults)).toThrow(message);
  });

  test("empty values, as Go clients send them all, are no request", () => {
    const empty: ContainerCreateRequest = {
      Healthcheck: {},
      HostConfig: {
        RestartPolicy: { Name: "", MaximumRetryCount: 3 },
        Cgroup: "",
        Isolation: "",
        CpuCount: 0,
        CpuPercent: 0,
        IOMaximumBandwidth: 0,
        IOMaximumIOps: 0,
        LogConfig: { Type: "", Config: {} },
        Mounts: [{ Type: "bind", Source: "/a", Target: "/b" }],
      },
    };
    refuseUnsupported(empty, logDefaults);
    refuseUnsupported({}, logDefaults);
    expect([
      ...unactedWarnings(empty),
      ...unactedWarnings({ Healthcheck: { Test: ["NONE"] } }),
      ...unactedWarnings({ Healthcheck: { Test: ["CMD", "a"] } }),
    ]).toEqual([]);
  });
});

test("what is kept and does nothing yet is said", () => {
  const warnings = unactedWarnings({
    Healthcheck: { Test: ["curl x"] },
    HostConfig: {
      CpuPercent: 5,
      CpuCount: 2,
    },
  });
  expect(warnings.map((warning) => warning.split(" ").slice(0, 5).join(" "))).toEqual([
    "linux does not support CPU",
    "linux does not support CPU",
    "Unknown healthcheck type 'curl x'",
  ]);
});

describe("a health check", () => {
  const image = { Test: ["CMD", "a"], Interval: 5e9, Retries: 3 };
  test("takes from the image what the request leaves open", () => {
    expect(mergeHealthcheck(undefined, undefined)).toBeUndefined();
    expect(mergeHealthcheck({}, undefined)).toEqual({});
    expect(mergeHealthcheck(undefined, image)).toEqual(image);
    expect(mergeHealthcheck({ Test: [], Interval: 1e9 }, image)).toEqual({ ...image, Interval: 1e9 });
    expect(mergeHealthcheck({ Test: ["NONE"] }, image)).toEqual({ ...image, Test: ["NONE"] });
  });
  test.each([
    [{ Interval: 5 }, "Interval in Healthcheck cannot be less than 1ms"],
    [{ Timeout: -1 }, "Timeout in Healthcheck cannot be less than 1ms"],
    [{ StartPeriod: 999_999 }, "StartPeriod in Healthcheck cannot be less than 1ms"],
    [{ StartInterval: 1 }, "StartInterval in Healthcheck cannot be less than 1ms"],
    [{ Retries: -1 }, "Retries in Healthcheck cannot be negative"],
  ])("%j is refused", (check, message) => {
    expect(() => checkHealthcheck(check)).toThrow(message);
    checkHealthcheck({ Interval: 1e6, Timeout: 0, Retries: 0 });
  });
});
