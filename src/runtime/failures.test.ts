/** What goes wrong on the real kernel: a killed runtime, creations that fail, missing privileges. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { specTemplate } from "./spec-template.ts";
import type { TestBundles } from "./testing/bundle.ts";
import { fail, runtimeCommand, succeed } from "./testing/runtime.ts";
import { processesOf, Scene } from "./testing/scene.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

const isRoot = process.getuid?.() === 0;
let scene: Scene;
let bundles: TestBundles;
let root: string;
beforeEach(() => {
  scene = new Scene();
  ({ bundles, root } = scene);
});
afterEach(async () => {
  expect(await scene.end()).toEqual([]);
});

describe.skipIf(!isRoot)("a runtime that is killed", () => {
  test("leaves what delete --force takes away, whenever it happens", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    for (let round = 0; round < 24; round++) {
      const verb = round % 2 === 0 ? ["create"] : ["run"];
      const child = Bun.spawn(runtimeCommand(root, [...verb, "-b", bundle, "c1"]), {
        stdio: ["ignore", "ignore", "ignore"],
      });
      await Bun.sleep(round * 2);
      child.kill("SIGKILL");
      await child.exited;
      await succeed(root, "delete", "--force", "c1");
      expect(scene.stateRoot()).toEqual([]);
      expect(scene.cgroups()).toEqual([]);
      expect(processesOf(bundle)).toEqual([]);
    }
  }, 60_000);
});

describe.skipIf(!isRoot)("a creation that fails", () => {
  const cases: [string, (bundle: string) => void, Parameters<TestBundles["make"]>, string][] = [
    [
      "a program that is not there",
      () => undefined,
      [["nosuch"]],
      'exec: "nosuch": executable file not found in $PATH',
    ],
    [
      "a path that is not there",
      () => undefined,
      [["/no/such"]],
      'exec: "/no/such": stat /no/such: no such file or directory',
    ],
    [
      "a file that is not executable",
      () => undefined,
      [["/etc/not-executable"]],
      'exec: "/etc/not-executable": permission denied',
    ],
    ["a directory", () => undefined, [["/etc"]], 'exec: "/etc": permission denied'],
    [
      "a missing rootfs",
      (bundle) => rmSync(join(bundle, "rootfs"), { recursive: true }),
      [["true"]],
      "rootfs: no such directory",
    ],
    ["a missing config.json", (bundle) => rmSync(join(bundle, "config.json")), [["true"]], "config.json: no such file"],
    [
      "a mount whose source is missing",
      () => undefined,
      [
        ["true"],
        (config) => config.mounts?.push({ destination: "/mnt", source: "/no/such", type: "bind", options: ["bind"] }),
      ],
      "/no/such",
    ],
    ["no arguments", () => undefined, [[]], "process.args: must not be empty"],
  ];
  for (const [name, damage, args, message] of cases) {
    test(`because of ${name} says so and leaves nothing`, async () => {
      const bundle = bundles.make(...args);
      damage(bundle);
      for (const verb of ["run", "create"]) {
        expect(await fail(root, verb, "-b", bundle, "c1")).toContain(message);
        expect(scene.stateRoot()).toEqual([]);
        expect(processesOf(bundle)).toEqual([]);
      }
    });
  }
  test("because of its pid file leaves nothing", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    expect(await fail(root, "run", "-d", "--pid-file", "/no/such/pid", "-b", bundle, "c1")).toContain("/no/such");
    expect(scene.stateRoot()).toEqual([]);
    expect(processesOf(bundle)).toEqual([]);
  });
  test("because of a directory in its pid file's place leaves nothing but the directory", async () => {
    const bundle = bundles.make(["sleep", "60"]);
    const directory = join(bundles.directory, "pid");
    mkdirSync(join(directory, "below"), { recursive: true });
    const message = await fail(root, "run", "-d", "--pid-file", directory, "-b", bundle, "c1");
    expect(message).toContain(`pid file ${directory}`);
    expect(message).not.toContain("and then");
    expect(scene.stateRoot()).toEqual([]);
    expect(processesOf(bundle)).toEqual([]);
    expect(readdirSync(directory)).toEqual(["below"]);
  });
  test("names the wrong field of config.json", async () => {
    const bundle = bundles.make(["true"], (config) =>
      Object.assign(config.process!, { rlimits: [{ type: "RLIMIT_NO", soft: 1, hard: 1 }] }),
    );
    expect(await fail(root, "run", "-b", bundle, "c1")).toContain("config.json: process.rlimits[0].type: ");
  });
});

describe.skipIf(!isRoot)("a user without privileges", () => {
  const nobody = 65534;
  const asNobody = (...words: string[]) => {
    // What stays in the container would keep a pipe open.
    const output = words.includes("-d") ? "ignore" : "pipe";
    const drop = ["setpriv", "--reuid", `${nobody}`, "--regid", `${nobody}`, "--clear-groups", "--inh-caps=-all"];
    return Bun.spawnSync([...drop, ...runtimeCommand(root, words)], { stdio: ["ignore", output, output] });
  };
  const change = (config: RuntimeConfig): void => {
    const { cgroupsPath: _cgroupsPath, resources: _resources, ...linux } = config.linux!;
    const rootless = specTemplate({ cgroupNamespace: false, rootless: { uid: nobody, gid: nobody } });
    config.linux = { ...linux, ...rootless.linux };
    config.mounts = rootless.mounts;
  };
  test("runs a container in a user namespace, without a cgroup of its own", async () => {
    const bundle = bundles.make(["sh", "-c", "id -u; cat /proc/self/uid_map; exit 3"], change);
    bundles.chown(nobody);
    const { exitCode, stdout, stderr } = asNobody("run", "-b", bundle, "c1");
    expect(String(stderr)).toBe("");
    expect(String(stdout)).toMatch(/^0\n +0 +65534 +1\n$/);
    expect(exitCode).toBe(3);
    expect(scene.stateRoot()).toEqual([]);
  });
  test("execs, kills and deletes there, and hears of limits that cannot be set", async () => {
    const bundle = bundles.make(["sleep", "60"], (config) => {
      change(config);
      config.linux!.resources = { pids: { limit: 5 } };
    });
    bundles.chown(nobody);
    const log = join(bundles.directory, "log");
    expect(asNobody("--log", log, "run", "-d", "-b", bundle, "c1").exitCode).toBe(0);
    expect(readFileSync(log, "utf8")).toContain("going on without a cgroup: linux.cgroupsPath: mkdir ");
    expect(String(asNobody("exec", "c1", "hostname").stdout)).toBe("tsd\n");
    expect(asNobody("kill", "c1", "KILL").exitCode).toBe(0);
    await scene.waitForStatus("c1", "stopped");
    expect(asNobody("delete", "c1").exitCode).toBe(0);
    expect(scene.stateRoot()).toEqual([]);
  });
  test("is told so when cgroup errors are not to be passed over", () => {
    const bundle = bundles.make(["true"], change);
    bundles.chown(nobody);
    const { exitCode, stderr } = asNobody("--rootless=false", "run", "-b", bundle, "c1");
    expect(exitCode).toBe(1);
    expect(String(stderr)).toContain("linux.cgroupsPath: mkdir ");
  });
});
