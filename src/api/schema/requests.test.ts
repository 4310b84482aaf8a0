import { describe, expect, test } from "bun:test";
import { readCreateRequest } from "./create-request.ts";
import { readExecCreateRequest } from "./exec-request.ts";
import { readRunRequest } from "./run-request.ts";

describe("a create request", () => {
  test("drops unknown fields and takes null for absent", () => {
    const request = readCreateRequest({
      Image: "busybox",
      Cmd: null,
      Entrypoint: null,
      FutureField: { a: 1 },
      Deep: JSON.parse("[".repeat(50_000) + "]".repeat(50_000)) as unknown,
      HostConfig: {
        FutureField: 1,
        Memory: 1 << 20,
        Binds: null,
        PidsLimit: null,
        Mounts: [{ Type: "bind", BindOptions: null }],
      },
      NetworkingConfig: { EndpointsConfig: { net: null } },
    });
    expect(request).toEqual({
      Image: "busybox",
      HostConfig: { Memory: 1 << 20, Mounts: [{ Type: "bind" }] },
      NetworkingConfig: { EndpointsConfig: { net: {} } },
    } as object);
    expect("Cmd" in request).toBe(false);
  });

  test("takes a string for a command, and null for the members of sets and maps", () => {
    expect(
      readCreateRequest({
        Cmd: "ls",
        Entrypoint: "/bin/sh",
        Volumes: { "/data": null },
        ExposedPorts: { "80/tcp": {} },
        Labels: { a: null },
        HostConfig: { CapAdd: "NET_ADMIN", PortBindings: { "80/tcp": null } },
      }),
    ).toEqual({
      Cmd: ["ls"],
      Entrypoint: ["/bin/sh"],
      Volumes: { "/data": {} },
      ExposedPorts: { "80/tcp": {} },
      Labels: { a: "" },
      HostConfig: { CapAdd: ["NET_ADMIN"], PortBindings: { "80/tcp": [] } },
    });
  });

  test("matches field names without regard to case, as Go does", () => {
    expect(readCreateRequest({ image: "x", hostConfig: { NANOCPUS: 5 } })).toEqual({
      Image: "x",
      HostConfig: { NanoCpus: 5 },
    });
  });

  test("is refused with the path of the wrong field", () => {
    const cases: [unknown, string][] = [
      [[], "invalid JSON: body: array where object is wanted"],
      ["x", "invalid JSON: body: string where object is wanted"],
      [{ Tty: "yes" }, "invalid JSON: Tty: string where bool is wanted"],
      [{ Env: "A=1" }, "invalid JSON: Env: string where array is wanted"],
      [{ Env: ["A", 1] }, "invalid JSON: Env.1: number where string is wanted"],
      [{ Cmd: 1 }, "invalid JSON: Cmd: number where array is wanted"],
      [{ HostConfig: { Memory: "1g" } }, "invalid JSON: HostConfig.Memory: string where int64 is wanted"],
      [{ HostConfig: { Memory: 1.5 } }, "invalid JSON: HostConfig.Memory: number where int64 is wanted"],
      [
        { HostConfig: { BlkioWeight: -1 } },
        "invalid JSON: HostConfig.BlkioWeight: -1 where an unsigned integer is wanted",
      ],
      [
        { HostConfig: { Ulimits: [{ Name: "nofile", Soft: "1" }] } },
        "invalid JSON: HostConfig.Ulimits.0.Soft: string where int64 is wanted",
      ],
      [{ Labels: { a: 1 } }, "invalid JSON: Labels.a: number where string is wanted"],
    ];
    for (const [body, message] of cases) expect(() => readCreateRequest(body)).toThrow(message);
  });

  test("knows every key that Docker's reference lists, each refused when it is of a wrong type", () => {
    const hostConfig =
      "Annotations AutoRemove Binds CapAdd CapDrop Cgroup CgroupnsMode ConsoleSize ContainerIDFile Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Isolation Links LogConfig MaskedPaths Mounts NetworkMode OomScoreAdj PidMode PortBindings Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt ShmSize StorageOpt Sysctls Tmpfs UTSMode UsernsMode VolumeDriver VolumesFrom CpuShares Memory CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap MemorySwappiness NanoCpus OomKillDisable Init PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth";
    const config =
      "Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd Healthcheck ArgsEscaped Image Volumes WorkingDir Entrypoint NetworkDisabled OnBuild Labels StopSignal StopTimeout Shell";
    for (const key of config.split(" ")) {
      expect(() => readCreateRequest({ [key]: [[]] }), key).toThrow(`invalid JSON: ${key}`);
    }
    for (const key of hostConfig.split(" ")) {
      expect(() => readCreateRequest({ HostConfig: { [key]: [[]] } }), key).toThrow(`HostConfig.${key}`);
    }
  });

  test("cannot set a prototype", () => {
    const request = readCreateRequest(JSON.parse('{"__proto__": {"Privileged": true}, "HostConfig": {}}'));
    expect(request.HostConfig).toEqual({});
    expect(Object.getPrototypeOf(request)).toBe(Object.prototype);
  });
});

describe("exec and run requests", () => {
  test("are read, and refused by field", () => {
    expect(readExecCreateRequest({ Cmd: "id", Tty: true, ConsoleSize: [24, 80] })).toEqual({
      Cmd: ["id"],
      Tty: true,
      ConsoleSize: [24, 80],
    });
    expect(() => readExecCreateRequest({ Env: {} })).toThrow("Env: object where array is wanted");
    const attach = { stdin: false, stdout: true, stderr: true };
    expect(readRunRequest({ create: { Cmd: "id" }, pull: "never", attach })).toEqual({
      create: { Cmd: ["id"] },
      pull: "never",
      attach,
    });
    expect(() => readRunRequest({ create: { HostConfig: { Memory: "x" } }, pull: "never", attach })).toThrow(
      "create.HostConfig.Memory",
    );
    expect(() => readRunRequest({ create: {}, pull: "sometimes", attach })).toThrow("pull");
  });
});
