/** Debian's dockerd, podman and containerd, each with directories and sockets of its own in a workspace. */
import { randomBytes } from "node:crypto";
import { existsSync, globSync, mkdirSync, openSync, readdirSync, rmdirSync, symlinkSync } from "node:fs";
import { type CommandOptions, type CommandResult, command, succeed, until } from "./command.ts";
import { imageLayout } from "./fixtures.ts";
import { dockerClient } from "./packages.ts";
import { tsd, type Workspace } from "./workspace.ts";

/**
 * The runtimes that a peer's tests run under: with TSD_BESIDE_RUNC=1 both, side by side. What both do is what the peer
 * expects: whoever changes these tests looks at that. It takes as long again, and runc stays as it is.
 */
export const runtimes: readonly RuntimeName[] =
  process.env.TSD_BESIDE_RUNC === "1" ? ["tsd-runc", "runc"] : ["tsd-runc"];
export type RuntimeName = "tsd-runc" | "runc";

const runc = "/usr/sbin/runc";

/** A command line that talks to a peer. */
export class Peer {
  readonly workspace: Workspace;
  readonly prefix: string[];
  readonly env: Record<string, string>;
  readonly image: string;

  constructor(workspace: Workspace, prefix: string[], env: Record<string, string>, image: string) {
    this.workspace = workspace;
    this.prefix = prefix;
    this.env = env;
    this.image = image;
  }

  argv(...words: string[]): string[] {
    return [...this.prefix, ...words];
  }

  run(words: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return command(this.argv(...words), { ...options, ...this.#where });
  }

  /** Runs a command that has to succeed. @returns its standard output, without the last newline. */
  ok(...words: string[]): Promise<string> {
    return succeed(this.argv(...words), this.#where);
  }

  /** conmon leaves a file `oom` in the directory in which podman was run. */
  get #where(): CommandOptions {
    return { env: this.env, cwd: this.workspace.directory };
  }

  /** Waits until a command succeeds and says something. */
  says(wanted: string | RegExp, ...words: string[]): Promise<string> {
    return until(`${words.join(" ")} says ${wanted}`, async () => {
      const { status, stdout } = await this.run(words);
      const text = stdout.trim();
      return status === 0 && (typeof wanted === "string" ? text === wanted : wanted.test(text)) && text;
    });
  }
}

/** The built executable by the name that containerd, dockerd and podman are told. */
export function runtimePath(workspace: Workspace, name: RuntimeName): string {
  if (name === "runc") return runc;
  const path = workspace.path("tsd-runc");
  if (!existsSync(path)) symlinkSync(tsd, path);
  return path;
}

async function archive(workspace: Workspace): Promise<{ path: string; image: string }> {
  // Of its own for each peer of a workspace: skopeo adds to no archive that is there.
  const path = workspace.path(`busybox-${randomBytes(4).toString("hex")}.tar`);
  const image = "docker.io/library/busybox:test";
  if (existsSync(path)) return { path, image }; // another peer of this workspace has it too
  const layout = `oci:${await imageLayout("busybox")}:latest`;
  await succeed(["skopeo", "copy", "-q", "--insecure-policy", layout, `docker-archive:${path}:${image}`]);
  return { path, image };
}

/** A server whose log is a file; it is ended before the leak check. */
async function serve(workspace: Workspace, argv: string[], answers: () => Promise<boolean>): Promise<void> {
  const name = argv[0]!;
  const file = workspace.path(`${name}.log`);
  const log = openSync(file, "w");
  const child = Bun.spawn(workspace.inNetwork(argv), { stdin: "ignore", stdout: log, stderr: log });
  workspace.onClose(name, async () => {
    child.kill();
    await child.exited;
  });
  await until(`${name} answers`, async () => {
    if (child.exitCode !== null) throw new Error(`${name}: ${await Bun.file(file).text()}`);
    return answers();
  });
}

/** dockerd with tsd-runc as its default runtime, unless it is to be runc, which is beside it. */
export async function startDockerd(workspace: Workspace, runtime: RuntimeName = "tsd-runc"): Promise<Peer> {
  const socket = workspace.path("docker.sock");
  const configuration = workspace.path("daemon.json");
  await Bun.write(
    configuration,
    JSON.stringify({
      runtimes: { "tsd-runc": { path: runtimePath(workspace, "tsd-runc") } },
      "default-runtime": runtime,
      "data-root": workspace.path("docker"),
      "exec-root": workspace.path("dx"),
      pidfile: workspace.path("docker.pid"),
      hosts: [`unix://${socket}`],
      "cgroup-parent": workspace.cgroupParent,
    }),
  );
  const env = { DOCKER_HOST: `unix://${socket}` };
  const client = [dockerClient()];
  await serve(workspace, ["dockerd", "--config-file", configuration], async () => {
    return (await command([...client, "info"], { env })).status === 0;
  });
  const { path, image } = await archive(workspace);
  await succeed([...client, "load", "-q", "-i", path], { env });
  const peer = new Peer(workspace, client, env, image);
  workspace.onClose("what dockerd's runtimes kept", () => nothingIn(workspace.path("dx", "runtime-runc", "moby")));
  workspace.onClose("containers that tests left in dockerd", () => noContainers(peer, ["rm", "-f"]));
  return peer;
}

/** podman with tsd-runc as its runtime; `--runtime runc` is the other. */
export async function preparePodman(workspace: Workspace): Promise<Peer> {
  const configuration = workspace.path("containers.conf");
  await Bun.write(
    configuration,
    `[containers]
# By default podman raises limits, which root may not do on every machine.
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
runtime = "tsd-runc"
# Whose log podman reads as JSON, to tell people the reason of a failure.
runtime_supports_json = ["tsd-runc", "runc"]
events_logger = "file"
cgroup_manager = "cgroupfs"
[engine.runtimes]
tsd-runc = ["${runtimePath(workspace, "tsd-runc")}"]
`,
  );
  const env = { CONTAINERS_CONF: configuration };
  const places = ["root", "runroot", "tmpdir"].flatMap((name) => [`--${name}`, workspace.path(`podman-${name}`)]);
  const prefix = workspace.inNetwork(["podman", ...places]);
  const { path, image } = await archive(workspace);
  await succeed([...prefix, "load", "-q", "-i", path], { env });
  const peer = new Peer(workspace, prefix, env, image);
  workspace.onClose("podman's own cgroups", async () => removePodmanCgroups(workspace));
  workspace.onClose("podman's images", () => peer.ok("rmi", "-af"));
  workspace.onClose("containers that tests left in podman", () => noContainers(peer, ["rm", "-f", "-t", "0"]));
  return peer;
}

/** containerd, and ctr in a namespace whose name is the workspace's: its cgroups are the workspace's as well. */
export async function startContainerd(workspace: Workspace): Promise<Peer> {
  const socket = workspace.path("cd.sock");
  const configuration = workspace.path("containerd.toml");
  await Bun.write(
    configuration,
    `version = 2
root = "${workspace.path("cd")}"
state = "${workspace.path("cd-state")}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${socket}"
[ttrpc]
address = "${socket}.ttrpc"
`,
  );
  mkdirSync(workspace.path("runtimes"));
  const ctr = ["ctr", "--address", socket, "--namespace", workspace.name];
  await serve(workspace, ["containerd", "--config", configuration], async () => {
    return (await command([...ctr, "version"])).status === 0;
  });
  const { path, image } = await archive(workspace);
  await succeed([...ctr, "images", "import", "--all-platforms", path]);
  const peer = new Peer(workspace, ctr, {}, image);
  workspace.onClose("what containerd's runtimes kept", () => nothingIn(workspace.path("runtimes", workspace.name)));
  return peer;
}

/** podman leaves conmon's cgroup, and those of pods in hierarchies that it does not use itself. Containers are libpod-ID. */
function removePodmanCgroups(workspace: Workspace): void {
  for (const path of globSync(`/sys/fs/cgroup/{,*/}${workspace.cgroupParent.slice(1)}/*/`)) {
    if (/\/(conmon|[0-9a-f]{64})\/?$/.test(path)) rmdirSync(path);
  }
}

async function noContainers(peer: Peer, remove: string[]): Promise<void> {
  const left = await peer.ok("ps", "-aq");
  if (left === "") return;
  await peer.run([...remove, ...left.split("\n")]);
  throw new Error(left);
}

async function nothingIn(directory: string): Promise<void> {
  const all = existsSync(directory) ? readdirSync(directory) : [];
  // tsd-runc's compiled filters and reports of failures are not of a container.
  const left = all.filter((name) => name !== ".seccomp" && name !== ".failures");
  if (left.length > 0) throw new Error(left.join(" "));
}
