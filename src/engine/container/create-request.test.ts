import { describe, expect, test } from "bun:test";
import type { ContainerCreateRequest } from "../../api/schema/container-config.ts";
import { isEngineError } from "../../core/errors.ts";
import { commandOf, mergeImageConfig } from "./image-config.ts";
import { refuseUnbuilt } from "./refusal.ts";

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
    expect(mergeImageConfig({ Env: ["LANG"] }, image).Env).toEqual(["PATH=/bin"]);
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

describe("what is not built is refused by its field", () => {
  test.each([
    [{ HostConfig: { RestartPolicy: { Name: "always" } } }, "HostConfig.RestartPolicy"],
    [{ HostConfig: { LogConfig: { Type: "syslog" } } }, "HostConfig.LogConfig.Type"],
    [{ HostConfig: { LogConfig: { Type: "json-file", Config: { tag: "x" } } } }, "HostConfig.LogConfig.Config"],
    [{ HostConfig: { Mounts: [{ Type: "cluster", Target: "/x" }] } }, "HostConfig.Mounts[/x].Type"],
    [{ Healthcheck: { Test: ["CMD", "true"] } }, "Healthcheck"],
  ] as [ContainerCreateRequest, string][])("%j", (request, field) => {
    let refusal: unknown;
    try {
      refuseUnbuilt(request);
    } catch (error) {
      refusal = error;
    }
    expect(isEngineError(refusal, "unsupported")).toBe(true);
    expect((refusal as Error).message).toStartWith(field);
  });

  test("empty values, as Go clients send them all, are no request", () => {
    refuseUnbuilt({
      Healthcheck: {},
      HostConfig: {
        RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
        PortBindings: {},
        PublishAllPorts: false,
        Links: [],
        VolumesFrom: [],
        VolumeDriver: "",
        UsernsMode: "",
        StorageOpt: {},
        DeviceRequests: [],
        CpuCount: 0,
        IOMaximumBandwidth: 0,
        LogConfig: { Type: "", Config: {} },
        Mounts: [{ Type: "bind", Source: "/a", Target: "/b" }],
      },
      NetworkingConfig: { EndpointsConfig: { bridge: {} } },
    });
  });
});
