import { existsSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { command, succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { imageLayout } from "../harness/fixtures.ts";
import { startRegistry } from "../harness/registry.ts";
import { tsd, type Workspace } from "../harness/workspace.ts";

/** An engine that is up and has the busybox image. */
export interface Engine {
  name: string;
  /** The command line up to the subcommand. */
  prefix: string[];
  env: Record<string, string>;
  /** What `run` needs beside the subcommand. */
  runFlags: string[];
  image: string;
  /** The processes whose memory is the engine's own, without shims. */
  daemonPids(): Promise<number[]>;
  /** The name of its shim processes as /proc/PID/cmdline has it. */
  shimPattern: RegExp;
  /** Command lines of all processes that it leaves running; what they start themselves need not match. */
  ownPattern: RegExp;
  /** The socket of its API, where it has one. */
  socket?: string;
  /** Waits until what was removed is gone from the disk, where that happens in the background. */
  settled?: () => Promise<void>;
}

export async function startTsd(workspace: Workspace): Promise<Engine> {
  const registry = await startRegistry(workspace, { port: 5001 });
  const daemon = await Daemon.start(workspace);
  const image = await registry.push("busybox");
  await daemon.ok("pull", "-q", image);
  return {
    name: "tsd",
    prefix: [tsd],
    env: daemon.env,
    runFlags: [],
    image,
    daemonPids: async () => [daemon.pid],
    shimPattern: new RegExp(`\\bshim\\b.*${workspace.name}`),
    ownPattern: new RegExp(`tsd (daemon|shim|proxy|resolver)\\b.*${workspace.name}`),
    socket: daemon.socket,
    settled: async () => {
      await until("the trash is empty", () => readdirSync(join(daemon.root, "snapshots/trash")).length === 0, 60_000);
    },
  };
}

/** Debian's dockerd with a root of its own in the workspace's network namespace. */
export async function startDocker(workspace: Workspace): Promise<Engine | undefined> {
  if (!existsSync("/usr/sbin/dockerd")) return undefined;
  const socket = workspace.path("docker.sock");
  const places = ["--data-root", workspace.path("docker"), "--exec-root", workspace.path("dx")];
  const pidfile = ["--pidfile", workspace.path("docker.pid")];
  const log = openSync(workspace.path("docker.log"), "w");
  const child = Bun.spawn(workspace.inNetwork(["dockerd", "-H", `unix://${socket}`, ...places, ...pidfile]), {
    stdin: "ignore",
    stdout: log,
    stderr: log,
  });
  workspace.onClose("dockerd", async () => {
    child.kill();
    await child.exited;
  });
  const env = { DOCKER_HOST: `unix://${socket}` };
  await until("dockerd answers", async () => {
    if (child.exitCode !== null) throw new Error(`dockerd: ${await Bun.file(workspace.path("docker.log")).text()}`);
    return (await command(["docker", "info"], { env })).status === 0;
  });
  const archive = workspace.path("busybox.tar");
  await succeed([
    "skopeo",
    "copy",
    "-q",
    "--insecure-policy",
    `oci:${await imageLayout("busybox")}:latest`,
    `docker-archive:${archive}:bench/busybox:latest`,
  ]);
  await succeed(["docker", "load", "-q", "-i", archive], { env });
  return {
    name: "docker",
    prefix: ["docker"],
    env,
    runFlags: [],
    image: "bench/busybox:latest",
    daemonPids: async () => [child.pid, ...(await childrenNamed(child.pid, /^containerd\b/))],
    shimPattern: /containerd-shim/,
    ownPattern: new RegExp(`^\\S*(dockerd|containerd|containerd-shim\\S*) .*${workspace.name}`),
    socket,
  };
}

/** podman has no daemon: its storage alone is its own. With runc, for crun refuses machines with both cgroup versions. */
export async function startPodman(workspace: Workspace): Promise<Engine | undefined> {
  if (!existsSync("/usr/bin/podman")) return undefined;
  mkdirSync(workspace.path("podman"), { recursive: true });
  const places = ["--root", workspace.path("podman", "root"), "--runroot", workspace.path("podman", "run")];
  const prefix = workspace.inNetwork([
    "podman",
    ...places,
    "--runtime=runc",
    "--cgroup-manager=cgroupfs",
    "--events-backend=none",
  ]);
  await succeed([...prefix, "pull", "-q", `oci:${await imageLayout("busybox")}:latest`], { timeoutMs: 120_000 });
  const image = (await succeed([...prefix, "images", "-q", "--no-trunc"])).split("\n")[0]!;
  workspace.onClose("podman", async () => {
    await command([...prefix, "rm", "-af", "-t", "0"]);
    await command([...prefix, "rmi", "-af"]);
  });
  return {
    name: "podman",
    prefix,
    env: {},
    // By default it raises limits, which root may not do on every machine.
    runFlags: ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"],
    image,
    daemonPids: async () => [],
    shimPattern: /\bconmon\b/,
    ownPattern: new RegExp(`^\\S*conmon .*${workspace.name}`),
  };
}

async function childrenNamed(parent: number, pattern: RegExp): Promise<number[]> {
  const listing = await command(["ps", "-o", "pid=,args=", "--ppid", String(parent)]);
  return listing.stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => pattern.test(line.replace(/^\d+\s+/, "")))
    .map((line) => Number(line.split(" ")[0]));
}
