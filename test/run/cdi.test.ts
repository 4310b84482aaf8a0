/** Devices of CDI files, by `--device vendor.com/class=name` and `--gpus`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
let folder: string;

const card = (name: string) => ({
  name,
  containerEdits: {
    env: [`CARD=${name}`],
    // Not one of those that every container may open.
    deviceNodes: [{ path: `/dev/card-${name}`, hostPath: "/dev/fuse", permissions: "rw" }],
  },
});

beforeAll(async () => {
  const flags: string[] = [];
  engine = await Engine.open({
    flags,
    prepare: async (workspace) => {
      folder = workspace.path("cdi");
      flags.push(`--cdi-spec-dir=${workspace.path("none")}`, `--cdi-spec-dir=${folder}`);
      mkdirSync(folder);
      mkdirSync(workspace.path("driver"));
      writeFileSync(workspace.path("driver", "version"), "1.2.3");
      const hook = { path: "/bin/sh", args: ["sh", "-c", `cat > ${workspace.path("hooked")}`] };
      const spec = {
        cdiVersion: "0.7.0",
        kind: "vendor.com/card",
        devices: ["a", "b"].map(card),
        containerEdits: {
          env: ["DRIVER=1.2.3", "PATH=/driver/bin:/bin"],
          mounts: [{ hostPath: workspace.path("driver"), containerPath: "/driver", options: ["ro", "bind"] }],
          additionalGids: [4711],
          hooks: [{ hookName: "createRuntime", ...hook }],
        },
      };
      writeFileSync(`${folder}/card.json`, JSON.stringify(spec));
    },
  });
}, 60_000);

afterAll(() => engine?.[Symbol.asyncDispose]());

test("A container has the nodes, files, variables and groups of the devices that it names, and their hooks are run", async () => {
  const script =
    "ls /dev/card-*; : <> /dev/card-b && cat /driver/version; touch /driver/x; echo $CARD $DRIVER $PATH; id -G";
  const { status, stdout, stderr } = await engine.run(
    ["--network", "none", "--device", "vendor.com/card=a", "--device", "vendor.com/card=b", "-e", "DRIVER=old"],
    ["sh", "-c", script],
  );
  expect([stdout, status]).toEqual(["/dev/card-a\n/dev/card-b\n1.2.3b 1.2.3 /driver/bin:/bin\n0 4711\n", 0]);
  expect(stderr).toContain("/driver/x: Read-only file system");
  expect(JSON.parse(readFileSync(engine.workspace.path("hooked"), "utf8"))).toMatchObject({ status: "creating" });
});

test("In a user namespace, too", async () => {
  const flags = ["--network", "none", "--userns", "auto", "--device", "vendor.com/card=a"];
  expect(await engine.sh(flags, "test -c /dev/card-a && cat /driver/version")).toBe("1.2.3");
});

test("A driver may write its file at any time; GPUs are devices of its kind", async () => {
  const gpus = ["--network", "none", "--gpus", "all"];
  const before = await engine.tsd(["run", "--name", "early", ...gpus, engine.busybox, "env"]);
  expect([before.status, before.stderr]).toEqual([
    125,
    expect.stringContaining('could not select device driver "" with capabilities: [[gpu]]'),
  ]);
  const devices = ["0", "1"].map((name) => ({ name, containerEdits: { env: [`GPU${name}=yes`] } }));
  const yaml = `cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: ${JSON.stringify(devices)}\n`;
  writeFileSync(`${folder}/nvidia.yaml`, yaml);
  // Made before there were any: they are looked for when it starts.
  expect(await engine.daemon.ok("start", "-a", "early")).toContain("GPU0=yes\nGPU1=yes");
  expect(await engine.sh(["--network", "none", "--gpus", '"device=1"'], "echo $GPU0 $GPU1")).toBe("yes");
  expect(await engine.inspect("early", "{{json .HostConfig.DeviceRequests}}")).toBe(
    '[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],"Options":{}}]',
  );
  await engine.daemon.ok("rm", "early");
});

test("Devices that are not there are refused by name, and files that are wrong are told of", async () => {
  writeFileSync(`${folder}/wrong.json`, JSON.stringify({ cdiVersion: "0.3.0", kind: "x/y", devices: [], colour: 1 }));
  const refused = await engine.run(["--network", "none", "--device", "vendor.com/card=z"], ["true"]);
  expect([refused.status, refused.stderr]).toEqual([
    125,
    expect.stringContaining("CDI device injection failed: unresolvable CDI devices vendor.com/card=z"),
  ]);
  const info = JSON.parse(await engine.daemon.ok("info", "--format", "json"));
  expect(info.CDISpecDirs).toEqual([engine.workspace.path("none"), folder]);
  expect(info.DiscoveredDevices).toContainEqual({ Source: "cdi", ID: "vendor.com/card=a" });
  const about = `CDI: Error associated with spec file ${folder}/wrong.json: failed to load CDI Spec: invalid CDI Spec: `;
  expect(info.Warnings).toContainEqual(expect.stringContaining(about));
  rmSync(`${folder}/wrong.json`);
});
