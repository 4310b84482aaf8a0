import { describe, expect, test } from "bun:test";
import { daemonHelp, parseDaemonArguments } from "./flags.ts";

function options(...args: string[]) {
  const command = parseDaemonArguments(args);
  if (command.kind !== "run") throw new Error(`not run but ${command.kind}`);
  return command.options;
}

describe("the daemon's command line", () => {
  test("events are kept for a time and up to a number", () => {
    const dayMs = 86_400_000;
    expect(options().events).toMatchObject({ countMax: 50_000, ageMaxMs: 30 * dayMs });
    expect(options("--events-max-count=0", "--events-max-age", "24h").events).toMatchObject({
      countMax: 0,
      ageMaxMs: dayMs,
    });
    const prefix = 'invalid argument "-1" for "--events-max-count" flag: ';
    expect(() => options("--events-max-count", "-1")).toThrow(`${prefix}it is a number up to 10000000`);
    expect(() => options("--events-max-age=0")).toThrow('"--events-max-age" flag: it is more than 0');
    expect(() => options("--events-max-age=soon")).toThrow('invalid argument "soon" for "--events-max-age" flag');
  });

  test("without flags it is the system's daemon", () => {
    expect(options()).toMatchObject({
      root: "/var/lib/tsd",
      state: "/run/tsd",
      hosts: ["unix:///run/tsd/tsd.sock"],
      logLevel: "info",
      cgroupParent: "/tsd",
    });
  });

  test("shims are processes of containers, or of compose's projects", () => {
    expect(options().shimPer).toBe("container");
    expect(options("--shim-per=project").shimPer).toBe("project");
    expect(() => options("--shim-per", "host")).toThrow(
      'invalid argument "host" for "--shim-per" flag: it is "container" or "project"',
    );
  });

  test("values are attached, separate or short; lists grow, single values are replaced", () => {
    const parsed = options(
      "--root=/a/",
      "--root",
      "/b",
      "-Hunix:///x.sock",
      "-H",
      "/y.sock",
      "--add-runtime=runc=/usr/sbin/runc",
      "--registry-mirror",
      "http://127.0.0.1:5000/",
      "-D",
    );
    expect(parsed.root).toBe("/b");
    expect(parsed.hosts).toEqual(["unix:///x.sock", "unix:///y.sock"]);
    expect(parsed.runtimes).toEqual({ runc: "/usr/sbin/runc" });
    expect(parsed.registryMirrors).toEqual(["http://127.0.0.1:5000"]);
    expect(parsed.logLevel).toBe("debug");
    expect(options("--certs-dir", "/a", "--certs-dir=/b/").certificateDirectories).toEqual(["/a", "/b"]);
  });

  test("a state directory of its own moves the socket along", () => {
    expect(options("--state", "/s").hosts).toEqual(["unix:///s/tsd.sock"]);
  });

  test("limits of images are sizes, numbers and durations; without a flag the image part has its own", () => {
    const parsed = options("--max-layer-size=1.5g", "--max-layer-files", "1000", "--registry-timeout=1m30s");
    expect(parsed).toMatchObject({ maxLayerBytes: 1.5 * 2 ** 30, maxLayerFiles: 1000, registryTimeoutMs: 90_000 });
    expect(options()).toMatchObject({ maxLayerBytes: undefined, registryTimeoutMs: undefined });
  });

  test("a storage option limits containers, or is refused with the reason", () => {
    const option = (...values: string[]) => options(...values.map((value) => `--storage-opt=${value}`)).storage;
    expect(option()).toEqual({ containerBytes: undefined });
    expect(option("overlay2.size=10G", "overlay2.override_kernel_check=true")).toEqual({
      containerBytes: 10 * 2 ** 30,
    });
    expect(option("overlay2.size=0")).toEqual({ containerBytes: undefined });
    for (const [value, message] of [
      ["overlay2.size=wide", "invalid size: 'wide'"],
      ["overlay2.size", "write NAME=VALUE"],
      ["overlay2.mountopt=x", "tsd chooses the options of overlayfs itself"],
      ["dm.basesize=10G", "tsd has no storage drivers beside its own store"],
      ["overlay2.other=1", "overlay2: unknown option overlay2.other"],
    ] as const) {
      expect(() => option(value)).toThrow(message);
    }
  });

  test("garbage collection is on, with a little space to keep free, unless flags say otherwise", () => {
    expect(options().gc).toEqual({
      isOn: true,
      intervalMs: 3_600_000,
      keepForMs: 86_400_000,
      maxUsed: undefined,
      minFree: { percent: 5, bytesMax: 20 * 2 ** 30 },
    });
    const flags = ["--gc=off", "--gc-interval=10m", "--gc-keep-for=0", "--gc-max-used", "2g", "--gc-min-free", "12.5%"];
    expect(options(...flags).gc).toEqual({
      isOn: false,
      intervalMs: 600_000,
      keepForMs: 0,
      maxUsed: { bytes: 2 ** 31 },
      minFree: { percent: 12.5 },
    });
    expect(options("--gc-min-free=0").gc.minFree).toBeUndefined();
  });

  test.each([
    [["--gc=sometimes"], 'invalid argument "sometimes" for "--gc" flag'],
    [["--gc-interval=10"], 'invalid argument "10" for "--gc-interval" flag'],
    [["--gc-interval=1ms"], 'invalid argument "1ms" for "--gc-interval" flag: less than 1s'],
    [["--gc-max-used=110%"], 'invalid argument "110%" for "--gc-max-used" flag'],
    [["--gc-min-free=much"], 'invalid argument "much" for "--gc-min-free" flag: invalid size: \'much\''],
    [["--max-layer-size", "big"], 'invalid argument "big" for "--max-layer-size" flag: invalid size: \'big\''],
    [["--max-layer-size", "0"], 'invalid argument "0" for "--max-layer-size" flag'],
    [["--max-layer-files=1e6"], 'invalid argument "1e6" for "--max-layer-files" flag'],
    [["--registry-timeout=30"], 'invalid argument "30" for "--registry-timeout" flag'],
    [["--registry-timeout", "-1s"], 'invalid argument "-1s" for "--registry-timeout" flag'],
    [["--colour"], "unknown flag: --colour"],
    [["-x"], "unknown shorthand flag: 'x' in -x"],
    [["--root"], "flag needs an argument: --root"],
    [["--root", "relative"], "--root relative: must be an absolute path"],
    [["--certs-dir", "certs.d"], "--certs-dir certs.d: must be an absolute path"],
    [["-H", "tcp://0.0.0.0:2375"], "listening on TCP is not built"],
    [["-H", "fd://"], "socket activation is not built"],
    [["-H", "npipe://x"], "invalid bind address (npipe://x)"],
    [["--log-level", "loud"], "unable to parse logging level: loud"],
    [["--add-runtime", "runc"], 'invalid runtime "runc"'],
    [["--add-runtime", "tsd=/x"], "reserved"],
    [["--registry-mirror", "ftp://x"], 'unsupported scheme "ftp"'],
    [["start"], "accepts no arguments: start"],
    [["--debug=maybe"], 'invalid argument "maybe" for "--debug" flag'],
  ])("%j is refused", (args, message) => {
    expect(() => parseDaemonArguments(args)).toThrow(message);
  });

  test("help lists every flag and wins over the rest", () => {
    expect(parseDaemonArguments(["--root", "/a", "--help"])).toEqual({ kind: "help" });
    for (const flag of ["--root string", "-H, --host list", "--add-runtime list"]) expect(daemonHelp()).toContain(flag);
  });
});
