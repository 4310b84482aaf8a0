/** All other flags of `create` and `run`: what docker and tsd ask one daemon for, and how both are refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { DockerScene } from "../harness/docker.ts";
import { BothClients, type Step } from "./both-clients.ts";

class FlagScene extends BothClients {
  static async open(): Promise<FlagScene> {
    const scene = new FlagScene(await DockerScene.open(), /^\/containers\/create$/);
    await scene.openClients();
    return scene;
  }
}

let scene: FlagScene;
/** Of this machine, for BLOCK0 and BLOCK1 in a word. */
const blockDevices = readdirSync("/sys/block")
  .map((name) => `/dev/${name}`)
  .filter((path) => existsSync(path));
/** FILE:NAME in a word stands for its path. */
const files: Record<string, string> = {
  env: "\xef\xbb\xbfBOM=1\n# a comment\n\n \t A=1 \nHOME\nNOT_SET_ANYWHERE\nC=#3\r\nlast=1",
  labels: "# a comment\na=1\n b=2 = 3\nempty\n",
  "bad-env": "GOOD=1\na b=1\n",
  "no-name": "=1\n",
  "bad-utf8": "A=\xff\n",
  profile: '{"defaultAction":"SCMP_ACT_ALLOW"}',
};

beforeAll(async () => {
  scene = await FlagScene.open();
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(scene.docker.workspace.path(name), Buffer.from(content, "latin1"));
  }
}, 60_000);
afterAll(() => scene?.close());

const withFiles = (words: readonly string[]) =>
  words.map((word) =>
    word
      .replace(/FILE:([\w-]+)/, (_, name: string) => scene.docker.workspace.path(name))
      .replace("BLOCK0", blockDevices[0]!)
      .replace("BLOCK1", blockDevices.at(-1)!),
  );
const undo: Step[] = [["DELETE", "/containers/box?force=1"]];

test.each([
  [["--annotation", "a=b", "--annotation", "c", "-a", "stdout", "--attach", "STDERR", "-i"]],
  [["--blkio-weight", "100", "--blkio-weight-device", "BLOCK0:200", "--blkio-weight-device", "BLOCK1:0"]],
  [["--device-read-bps", "BLOCK0:1mb", "--device-write-bps", "BLOCK0:2GiB", "--device-read-bps=BLOCK1:5"]],
  [["--device-read-iops", "BLOCK0:3", "--device-write-iops", "BLOCK0:4"]],
  [
    [
      "--cap-add",
      "sys_time",
      "--cap-add",
      "net_admin",
      "--cap-drop",
      "chown",
      "--cap-drop",
      "CAP_NET_ADMIN",
      "--cgroup-parent",
      "/x",
      "--cgroupns",
      "private",
    ],
  ],
  [["--cpu-period", "10000", "--cpu-quota", "5000", "-c", "5", "--cpuset-cpus", "0", "--cpuset-mems", "0"]],
  [["--cpu-rt-period", "10000", "--cpu-rt-runtime", "5000", "--cpus", "0", "--domainname", "x.test", "-h", "host"]],
  [["--cpus", ".5", "--device", "/dev/null", "--device", "/dev/zero:/dev/x", "--device", "/dev/zero:r"]],
  [["--device", "/dev/zero:/dev/x:rw", "--device", "vendor.com/class=a", "--device=vendor.com/class=b"]],
  [["--gpus", "all", "--gpus", "2,driver=nvidia", "--gpus", '"device=0,1","capabilities=utility,compute",options=a=b']],
  [["--gpus", '"count=3"', "--device-cgroup-rule", "c 42:* rwm", "--device-cgroup-rule", "b *:1 r"]],
  [["--entrypoint", "sh", "-e", "A=1", "-e", "HOME", "-e", "NOT_SET_ANYWHERE", "--env-file", "FILE:env", "-e", "Z=2"]],
  [
    [
      "--group-add",
      "5",
      "--group-add",
      "tty",
      "--init",
      "--ipc",
      "host",
      "-l",
      "a=b",
      "-l",
      "c",
      "--label-file",
      "FILE:labels",
    ],
  ],
  [["--health-cmd", "a b", "--health-interval", "5s", "--health-retries", "3", "--health-timeout", "1m30s"]],
  [["--health-start-period", "1h", "--health-start-interval", "500ms", "--isolation", "default"]],
  [["--no-healthcheck", "--log-driver", "local", "--log-opt", "max-size=1m", "--log-opt", "compress"]],
  [["--log-opt", "max-file=3", "-m", "64m", "--memory-reservation", "32m", "--memory-swap", "-1"]],
  [["--memory-swappiness", "0", "--oom-kill-disable", "--oom-score-adj", "-5", "--pid", "host", "--pids-limit", "5"]],
  [["--pids-limit", "-1", "--privileged", "--read-only", "--restart", "on-failure:3", "--runtime", "tsd"]],
  [["--restart", "unless-stopped", "--security-opt", "no-new-privileges", "--security-opt", "seccomp=FILE:profile"]],
  [["--rm", "--restart", "no", "--shm-size", "1g", "--stop-signal", "INT", "--stop-timeout", "0"]],
  [["--security-opt", "label:disable", "--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=5"]],
  [["--tmpfs", "/a", "--tmpfs", "/b:size=1m,mode=700", "-t", "--ulimit", "nofile=5:6", "--ulimit", "core=-1"]],
  [
    [
      "--security-opt",
      "systempaths=unconfined",
      "--cap-drop",
      "ALL",
      "--cap-drop",
      "chown",
      "-u",
      "1:2",
      "--uts",
      "host",
      "-w",
      "/tmp",
      "--userns",
      "host",
      "--restart",
      "always",
    ],
  ],
] as [string[]][])("docker and tsd ask for the same container with %j", async (flags) => {
  const result = await scene.expectSame(["create", "--name", "box", ...withFiles(flags), "IMAGE", "a"], { undo });
  expect(result).toMatchObject({ status: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) });
});

describe("docker and tsd refuse alike", () => {
  test.each([
    [["--attach", "x"]],
    [["--blkio-weight", "x"]],
    [["--blkio-weight", "70000"]],
    [["--blkio-weight-device", "BLOCK0"]],
    [["--blkio-weight-device", "/x:10"]],
    [["--blkio-weight-device", "BLOCK0:5"]],
    [["--cgroupns", "x"]],
    [["--cidfile", "FILE:env"]],
    [["--cidfile", "/nowhere/x"]],
    [["--env-file", "/tmp"]],
    [["--cap-add", "x"]],
    [["--sysctl", "kernel.hostname=x"]],
    [["--security-opt", "seccomp="]],
    [["--cpu-period", "x"]],
    [["--cpu-rt-period", "1", "--cpu-rt-runtime", "2"]],
    [["--cpus", "x"]],
    [["--device", "a:b:c:d"]],
    [["--device", "/dev/null:x"]],
    [["--device", "vendor.com/class"]],
    [["--device-cgroup-rule", "x"]],
    [["--device-read-bps", "BLOCK0:x"]],
    [["--device-read-bps", "sda:1"]],
    [["--device-write-iops", "BLOCK0:1k"]],
    [["-e", "=x"]],
    [["-e", ""]],
    [["--env-file", "/nowhere"]],
    [["--env-file", "FILE:bad-env"]],
    [["--env-file", "FILE:no-name"]],
    [["--env-file", "FILE:bad-utf8"]],
    [["--gpus", "x"]],
    [["--gpus", "all,count=1"]],
    [["--gpus", "a=b"]],
    [["--health-interval", "x"]],
    [["--health-interval", "5"]],
    [["--health-interval", "-5s"]],
    [["--health-interval", "5us"]],
    [["--health-retries", "-1"]],
    [["--health-cmd", "x", "--no-healthcheck"]],
    [["-l", "=x"]],
    [["--label-file", "/nowhere"]],
    [["--label-file", "FILE:bad-env"]],
    [["--log-driver", "none", "--log-opt", "a=b"]],
    [["--log-driver", "x"]],
    [["--log-opt", "x=y"]],
    [["-m", "x"]],
    [["--memory-swappiness", "101"]],
    [["--network", "container:nowhere"]],
    [["--pid", "x"]],
    [["--pull", "x"]],
    [["--restart", "x"]],
    [["--restart", "always:x"]],
    [["--restart", ":3"]],
    [["--restart", "always:3"]],
    [["--restart", "always", "--rm"]],
    [["--security-opt", "x"]],
    [["--security-opt", "seccomp=/nowhere"]],
    [["--shm-size", "x"]],
    [["--stop-signal", "x"]],
    [["--stop-timeout", "x"]],
    [["--storage-opt", "x"]],
    [["--sysctl", "x"]],
    [["--tmpfs", "x"]],
    [["--ulimit", "x"]],
    [["--ulimit", "nofile=5:1"]],
    [["--userns", "x"]],
    [["--uts", "x"]],
    [["-w", "x"]],
    [["--memory", "1k"]],
  ] as [string[]][])("%j", async (flags) => {
    const result = await scene.expectSame(["create", ...withFiles(flags), "IMAGE", "a"]);
    expect(result.status).not.toBe(0);
  });
});
