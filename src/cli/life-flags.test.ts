import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { containerFlags } from "./container-flags.ts";
import { createRequest } from "./create-request.ts";
import { parseFlags } from "./flags.ts";

/** The request that `docker create FLAGS image` comes to. */
function request(...flags: string[]) {
  const { values, given } = parseFlags(containerFlags, [...flags, "image"], false);
  return createRequest(values, given, "image", [], false);
}

test("a seccomp profile that is no JSON is refused", () => {
  const path = join(mkdtempSync(join(tmpdir(), "tsd-profile-")), "profile");
  writeFileSync(path, "{");
  expect(() => request("--security-opt", `seccomp=${path}`)).toThrow(
    `compacting json for seccomp profile (${path}) failed`,
  );
  writeFileSync(path, '{ "a b": 18446744073709551615 }');
  expect(request("--security-opt", `seccomp=${path}`).HostConfig!.SecurityOpt).toEqual([
    'seccomp={"a b":18446744073709551615}',
  ]);
  rmSync(dirname(path), { recursive: true });
});

describe("flags of a container's life and devices", () => {
  test("that are not given ask for nothing", () => {
    const { HostConfig, Healthcheck } = request();
    expect(Healthcheck).toBeUndefined();
    expect(HostConfig).toMatchObject({
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      LogConfig: { Type: "", Config: {} },
      BlkioWeight: 0,
      BlkioDeviceReadBps: [],
      CpuRealtimePeriod: 0,
    });
    expect(HostConfig).not.toHaveProperty("DeviceRequests");
  });

  test("become what docker's command line makes of them", () => {
    const { HostConfig, Healthcheck } = request(
      ...["--restart", "on-failure:3", "--health-cmd", "true || false", "--health-interval", "1m30s"],
      ...["--health-retries", "2", "--log-driver", "local", "--log-opt", "max-size=1m", "--blkio-weight", "10"],
      ...[
        "--blkio-weight-device",
        "/dev/sda:20",
        "--device-read-bps",
        "/dev/sda:1mb",
        "--device",
        "/dev/null:/dev/n:r",
      ],
      ...["--device-write-iops", "/dev/sda:30", "--gpus", "2", "--gpus", '"device=0,1",driver=x,"options=a=b,c"'],
      ...["--device", "vendor.com/kind=a", "--device", "vendor.com/kind=b", "--cpu-rt-runtime", "5"],
    );
    expect(Healthcheck).toEqual({ Test: ["CMD-SHELL", "true || false"], Interval: 90e9, Retries: 2 });
    expect(HostConfig).toMatchObject({
      RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 },
      LogConfig: { Type: "local", Config: { "max-size": "1m" } },
      BlkioWeight: 10,
      BlkioWeightDevice: [{ Path: "/dev/sda", Weight: 20 }],
      BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 2 ** 20 }],
      BlkioDeviceWriteIOps: [{ Path: "/dev/sda", Rate: 30 }],
      Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/n", CgroupPermissions: "r" }],
      CpuRealtimeRuntime: 5,
      DeviceRequests: [
        { Count: 2, Capabilities: [["gpu"]], Options: {} },
        { Driver: "x", DeviceIDs: ["0", "1"], Capabilities: [["gpu"]], Options: { a: "b", c: "" } },
        { Driver: "cdi", DeviceIDs: ["vendor.com/kind=a", "vendor.com/kind=b"] },
      ],
    });
    expect(request("--no-healthcheck").Healthcheck).toEqual({ Test: ["NONE"] });
    expect(request("--restart", "").HostConfig!.RestartPolicy).toEqual({});
  });

  test.each([
    [["--restart", "on-failure:x"], "invalid restart policy format: maximum retry count must be an integer"],
    [["--restart", ":3"], "invalid restart policy format: no policy provided before colon"],
    [["--rm", "--restart", "always"], "conflicting options: cannot specify both --restart and --rm"],
    [["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"],
    [["--health-timeout", "-1s"], "--health-timeout cannot be negative"],
    [["--health-interval", "x"], 'invalid argument "x" for "--health-interval" flag: time: invalid duration "x"'],
    [["--health-interval", "5"], 'time: missing unit in duration "5"'],
    [["--log-driver", "none", "--log-opt", "a=b"], "invalid logging opts for driver none"],
    [["--blkio-weight", "x"], 'strconv.ParseUint: parsing "x": invalid syntax'],
    [["--blkio-weight", "65536"], 'strconv.ParseUint: parsing "65536": value out of range'],
    [["--blkio-weight-device", "/dev/sda"], "bad format: /dev/sda"],
    [["--blkio-weight-device", "sda:10"], "bad format for device path: sda:10"],
    [["--blkio-weight-device", "/dev/sda:9"], "invalid weight for device: /dev/sda:9"],
    [["--device-read-bps", "/dev/sda:x"], "invalid rate for device: /dev/sda:x. The correct format is"],
    [["--device-read-iops", "/dev/sda:1k"], "invalid rate for device: /dev/sda:1k. The correct format is"],
    [["--gpus", "some"], 'invalid count (some): value must be either "all" or an integer: invalid syntax'],
    [["--gpus", "all,all"], "gpu request key 'all' can be specified only once"],
    [["--gpus", "colour=red"], "unexpected key 'colour' in 'colour=red'"],
  ])("%j are refused in docker's words", (flags, message) => {
    expect(() => request(...flags)).toThrow(message);
  });
});
