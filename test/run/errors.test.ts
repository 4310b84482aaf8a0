/** Bad input to `tsd run` and its kin: each refusal names the object and the reason, and leaves nothing behind. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Engine } from "../harness/engine.ts";
import { startRegistry } from "../harness/registry.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

/** A refusal of `tsd run`: its status, what its message must have, and nothing left of it. */
interface Refusal {
  flags: string[];
  command?: string[];
  image?: string;
  status?: number;
  says: string | RegExp;
}

async function refused({
  flags,
  command = ["true"],
  image = engine.busybox,
  status = 125,
  says,
}: Refusal): Promise<void> {
  const result = await engine.tsd(["run", "--rm", ...flags, image, ...command]);
  expect({ flags, status: result.status, stdout: result.stdout }).toEqual({ flags, status, stdout: "" });
  if (typeof says === "string") expect(result.stderr).toContain(says);
  else expect(result.stderr).toMatch(says);
  // A message, not a crash: no stack, no source.
  expect(result.stderr).not.toMatch(/\n\s+at |class |\$bunfs/);
}

const usage = "Run 'tsd run --help' for more information";

const refusals: Record<string, Omit<Refusal, "image">[]> = {
  "unknown and incomplete flags": [
    { flags: ["--no-such-flag"], says: "unknown flag: --no-such-flag" },
    { flags: ["-Q"], says: "unknown shorthand flag: 'Q' in -Q" },
    { flags: ["--read-only=perhaps"], says: 'invalid argument "perhaps" for "--read-only" flag' },
    { flags: ["--isolation", "process"], says: "invalid isolation (process): linux only supports 'default'" },
    { flags: ["--gpus", "all"], says: 'could not select device driver "" with capabilities: [[gpu]]' },
  ],
  "bad limits": [
    { flags: ["--memory", "lots"], says: `invalid argument "lots" for "-m, --memory" flag: invalid size: 'lots'` },
    { flags: ["-m", "1k"], says: "Minimum memory limit allowed is 6MB" },
    {
      flags: ["-m", "32m", "--memory-swap", "16m"],
      says: "Minimum memoryswap limit should be larger than memory limit",
    },
    { flags: ["--memory-swap", "64m"], says: "You should always set the Memory limit when using Memoryswap limit" },
    { flags: ["--cpus", "many"], says: 'invalid argument "many" for "--cpus" flag' },
    { flags: ["--cpus", "1000"], says: /range of CPUs is from 0.01 to \d+\.00, as there are only \d+ CPUs available/ },
    { flags: ["--cpuset-cpus", "900"], says: "900" },
    { flags: ["--pids-limit", "few"], says: 'invalid argument "few" for "--pids-limit" flag' },
    { flags: ["--oom-score-adj", "2000"], says: "range for oom score adj is [-1000, 1000]" },
    { flags: ["--shm-size", "wide"], says: 'invalid argument "wide" for "--shm-size" flag' },
  ],
  "bad ulimits": [
    { flags: ["--ulimit", "nofile"], says: 'invalid argument "nofile" for "--ulimit" flag' },
    { flags: ["--ulimit", "nofile=x"], says: 'invalid argument "nofile=x" for "--ulimit" flag' },
    { flags: ["--ulimit", "nofile=9:1"], says: "ulimit soft limit must be less than or equal to hard limit: 9 > 1" },
    { flags: ["--ulimit", "nosuch=1"], says: "invalid ulimit type: nosuch" },
  ],
  "bad devices": [
    { flags: ["--device", "/dev/no-such-device"], says: '"/dev/no-such-device"' },
    { flags: ["--device", "a:b:c:d"], says: "a:b:c:d" },
    { flags: ["--device", "/dev/null:/dev/x:z"], says: "bad mode specified: z" },
    { flags: ["--device", "/etc/passwd"], says: "/etc/passwd" },
  ],
  "bad mounts": [
    { flags: ["-v", "a:b:c:d"], says: "invalid spec: a:b:c:d: too many colons" },
    { flags: ["-v", "/tmp:relative"], says: "invalid mount path: 'relative' mount path must be absolute" },
    { flags: ["-v", "/tmp:/x:upside-down"], says: "invalid mode: upside-down" },
    { flags: ["-v", "bad/name:/x"], says: "bad/name" },
    { flags: ["-v", "/tmp:/"], says: "/" },
    { flags: ["--tmpfs", "relative"], says: "invalid mount path: 'relative' mount path must be absolute" },
    { flags: ["--tmpfs", "/x:bogus=1"], says: 'mount /x: invalid tmpfs option ["bogus" "1"]' },
    { flags: ["-v", "/etc/passwd:/tmp"], says: "/tmp" },
  ],
  "bad users and directories": [
    { flags: ["-u", "nobody-here"], says: "unable to find user nobody-here: no matching entries in passwd file" },
    { flags: ["-u", "alice:nogroup"], says: "unable to find group nogroup: no matching entries in group file" },
    { flags: ["-u", "4294967296"], says: "4294967296" },
    { flags: ["--group-add", "no-such-group"], says: "no-such-group" },
    { flags: ["-w", "relative"], says: "the working directory 'relative' is invalid, it needs to be an absolute path" },
    { flags: ["-w", "/etc/passwd"], says: "/etc/passwd" },
  ],
  "bad security options": [
    { flags: ["--cap-add", "BOGUS"], says: 'unknown capability: "CAP_BOGUS"' },
    { flags: ["--cap-drop", "BOGUS"], says: 'unknown capability: "CAP_BOGUS"' },
    { flags: ["--security-opt", "bogus=1"], says: 'invalid --security-opt 2: "bogus=1"' },
    { flags: ["--security-opt", "seccomp=/no/such/file"], says: "opening seccomp profile (/no/such/file) failed" },
    { flags: ["--sysctl", "vm.swappiness=1"], says: "vm.swappiness" },
  ],
  "bad names, networks and modes": [
    { flags: ["--name", "bad name"], says: "Invalid container name (bad name)" },
    { flags: ["--network", "no-such-network"], says: "network no-such-network not found" },
    { flags: ["--network", "container:no-such"], says: "No such container: no-such" },
    { flags: ["--hostname", "two words"], says: 'invalid hostname: "two words"' },
    { flags: ["--ipc", "bogus"], says: "invalid IPC mode: bogus" },
    { flags: ["--pid", "bogus"], says: "--pid: invalid PID mode" },
    { flags: ["--uts", "bogus"], says: "--uts: invalid UTS mode" },
    { flags: ["--cgroupns", "bogus"], says: "--cgroupns: invalid CGROUP mode" },
    { flags: ["--runtime", "no-such-runtime"], says: "unknown or invalid runtime name: no-such-runtime" },
    { flags: ["--runtime", "/no/such/runtime"], says: "/no/such/runtime" },
    { flags: ["--stop-signal", "BOGUS"], says: "invalid signal: BOGUS" },
    { flags: ["--stop-timeout", "soon"], says: 'invalid argument "soon" for "--stop-timeout" flag' },
    { flags: ["--pull", "sometimes"], says: "invalid pull option: 'sometimes'" },
    { flags: ["--platform", "a/b/c/d"], says: "a/b/c/d" },
    { flags: ["--add-host", "nameless"], says: 'bad format for add-host: "nameless"' },
    { flags: ["--add-host", "name:1.2.3"], says: 'invalid IP address in add-host: "1.2.3"' },
    { flags: ["--dns", "not-an-address"], says: "IP address is not correctly formatted: not-an-address" },
    { flags: ["-a", "stdwrong"], says: 'invalid argument "stdwrong" for "-a, --attach" flag' },
    { flags: ["-e", "=value"], says: "invalid environment variable: =value" },
    { flags: ["--env-file", "/no/such/file"], says: "/no/such/file" },
    { flags: ["--cidfile", "/etc/passwd"], says: "/etc/passwd" },
  ],
  "commands that cannot be run": [
    {
      flags: [],
      command: ["no-such-program"],
      status: 127,
      says: 'exec: "no-such-program": executable file not found in $PATH',
    },
    { flags: [], command: ["/no/such"], status: 127, says: '"/no/such"' },
    {
      flags: [],
      command: ["/etc/not-executable"],
      status: 126,
      says: 'exec: "/etc/not-executable": permission denied',
    },
    { flags: [], command: ["/etc"], status: 126, says: 'exec: "/etc": ' },
    { flags: ["--entrypoint", "/no/such"], command: ["x"], status: 127, says: '"/no/such"' },
  ],
};

for (const [what, cases] of Object.entries(refusals)) {
  test(`${what} are refused, each by name, and leave nothing behind`, async () => {
    const before = readdirSync(`${engine.daemon.root}/snapshots`).length;
    for (const refusal of cases) await refused(refusal);
    await engine.untilNoTrace();
    expect(readdirSync(`${engine.daemon.root}/snapshots`).length).toBe(before);
  });
}

test("a mistake in the use shows the usage", async () => {
  const unknown = await engine.tsd(["run", "--no-such-flag", engine.busybox]);
  expect(unknown.stderr).toBe(
    `unknown flag: --no-such-flag\n\nUsage:  tsd run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n${usage}\n`,
  );
  const missing = await engine.tsd(["run"]);
  expect([missing.status, missing.stderr.split("\n")[0]]).toEqual([1, "tsd: 'tsd run' requires at least 1 argument"]);
  const command = await engine.tsd(["rnu"]);
  expect([command.status, command.stderr.split("\n")[0]]).toEqual([1, "tsd: unknown command: tsd rnu"]);
  const unknownBelow = await engine.tsd(["container", "rnu"]);
  expect([unknownBelow.status, unknownBelow.stderr]).toEqual([
    1,
    "tsd: unknown command: tsd container rnu\n\nUsage:  tsd container\n\nRun 'tsd container --help' for more information\n",
  ]);
});

test("an image without a name is refused before the daemon is asked", async () => {
  for (const args of [["rmi"], ["rmi", "-f"], ["history"], ["image", "inspect"]]) {
    const { status, stderr } = await engine.tsd([...args, ""]);
    expect([args, status, stderr]).toEqual([args, 1, "image name cannot be blank\n"]);
  }
});

test("references that are none are refused by name", async () => {
  for (const image of ["UPPER", "a//b", "x:", "bad tag", "x@sha256:short", `${"a".repeat(300)}`]) {
    await refused({
      flags: [],
      image,
      says: /invalid reference format|repository name must not be more than 255 characters/,
    });
  }
});

test("an image that the registry does not have, and a registry that is down", async () => {
  const { host } = engine.registry;
  await refused({ flags: [], image: `${host}/no/such`, says: `manifest for ${host}/no/such:latest not found` });
  await refused({
    flags: [],
    image: `${engine.busybox}:no-such-tag`,
    says: `manifest for ${engine.busybox}:no-such-tag not found`,
  });
  await refused({
    flags: [],
    image: "127.0.0.1:5999/x",
    says: 'Get "http://127.0.0.1:5999/v2/x/manifests/latest": connect: connection refused',
  });
  await refused({ flags: [], image: "no-such-host.invalid/x", says: "no-such-host.invalid" });
  expect((await engine.tsd(["images", "-q", "--no-trunc"])).stdout.trim().split("\n").length).toBe(1);
});

test("a blob whose digest is wrong is refused, and the image is not there", async () => {
  const registry = await startRegistry(engine.workspace, { port: 5001 });
  const reference = await registry.push("debian", "tampered");
  const blobs = engine.workspace.path("registry-5001", "data", "docker/registry/v2/blobs/sha256");
  const files = (await engine.workspace.run(["find", blobs, "-name", "data", "-size", "+100k"])).stdout
    .trim()
    .split("\n");
  expect(files.length).toBe(1);
  const bytes = await Bun.file(files[0]!).bytes();
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(files[0]!, bytes);
  await refused({ flags: [], image: reference, says: /sha256:[0-9a-f]{64}/ });
  expect((await engine.tsd(["images", "-q", reference])).stdout).toBe("");
});

test("a name that is taken is refused with the container that has it, which stays", async () => {
  const id = await engine.daemon.ok("create", "--name", "taken", engine.busybox);
  const result = await engine.run(["--name", "taken"], ["true"]);
  expect(result.status).toBe(125);
  expect(result.stderr).toContain(`The container name "/taken" is already in use by container "${id}"`);
  const created = await engine.tsd(["create", "--name", "taken", engine.busybox]);
  expect(created.status).toBe(1);
  expect(await engine.inspect("taken", "{{.Id}}")).toBe(id);
  await engine.daemon.ok("rm", "taken");
  await engine.untilNoTrace();
});

test("without --rm a container that could not start stays, with its error, and can be removed", async () => {
  const result = await engine.tsd(["run", "--name", "failed", engine.busybox, "no-such-program"]);
  expect(result.status).toBe(127);
  expect(await engine.inspect("failed", "{{.State.Status}} {{.State.ExitCode}}")).toBe("created 127");
  expect(await engine.inspect("failed", "{{.State.Error}}")).toContain("no-such-program");
  expect(readdirSync(`${engine.daemon.state}/containers`)).toEqual([]);
  const again = await engine.tsd(["start", "failed"]);
  expect(again.status).toBe(1);
  expect(again.stderr).toContain("no-such-program");
  expect(again.stderr).toContain("Error: failed to start containers: failed");
  await engine.daemon.ok("rm", "failed");
  await engine.untilNoTrace();
});

test("a daemon that does not run: the message says how to start it", async () => {
  const socket = engine.workspace.path("nobody.sock");
  const env = { TSD_HOST: `unix://${socket}` };
  const run = await engine.run([], ["true"], { env });
  expect(run).toEqual({
    status: 125,
    stdout: "",
    stderr:
      `tsd: cannot connect to the tsd daemon at unix://${socket}. Is the tsd daemon running?\n` +
      "hint: start it with `systemctl start tsd`, or as root with `tsd daemon`\n",
  });
  for (const args of [["ps"], ["images"], ["info"], ["exec", "x", "true"], ["logs", "x"], ["pull", "x"]]) {
    const result = await engine.tsd(args, { env });
    expect([args, result.status]).toEqual([args, 1]);
    expect(result.stderr).toContain(`cannot connect to the tsd daemon at unix://${socket}`);
  }
  const bad = await engine.tsd(["-H", "bogus://x", "ps"]);
  expect(bad.status).toBe(1);
  expect(bad.stderr).toContain("bogus://x");
});

test("a daemon that goes in the middle of a run: the client says so, the container goes on", async () => {
  const daemon = await Daemon.start(engine.workspace, { name: "m" });
  await daemon.ok("pull", "-q", engine.busybox);
  const script = "echo begun; sleep 1000";
  const child = Bun.spawn([tsd, "run", "--name", "survivor", engine.busybox, "sh", "-c", script], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...daemon.env },
  });
  await until("the container runs", async () => (await daemon.tsd(["logs", "survivor"])).stdout === "begun\n");
  await daemon.stop("SIGKILL");
  expect(await child.exited).toBe(125);
  expect(await new Response(child.stdout).text()).toBe("begun\n");
  expect(await new Response(child.stderr).text()).toMatch(/^tsd: .*daemon/);
  await daemon.start();
  expect(await daemon.ok("inspect", "-f", "{{.State.Running}}", "survivor")).toBe("true");
  await daemon.ok("rm", "-f", "survivor");
});

test("a path in the way of the container's own mounts is refused by name", async () => {
  const file = engine.workspace.path("plain-file");
  mkdirSync(engine.workspace.path("plain-directory"));
  writeFileSync(file, "");
  await refused({ flags: ["-v", `${file}:/proc`], says: "/proc" });
  await refused({ flags: ["-v", `${engine.workspace.path("plain-directory")}:/etc/passwd`], says: "/etc/passwd" });
  await engine.untilNoTrace();
});
