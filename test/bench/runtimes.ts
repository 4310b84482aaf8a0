import { existsSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { command, succeed } from "../harness/command.ts";
import { imageLayout } from "../harness/fixtures.ts";
import { tsd, type Workspace } from "../harness/workspace.ts";
import type { Contender } from "./measure.ts";

/** A busybox bundle whose configuration is the one that `tsd bundle` writes, with the given command. */
export async function makeBundle(workspace: Workspace, name: string, args: string[]): Promise<string> {
  const bundle = workspace.path(`bundle-${name}`);
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  const layout = await imageLayout("busybox");
  const index = await Bun.file(join(layout, "index.json")).json();
  const blob = (digest: string) => join(layout, "blobs", ...digest.split(":"));
  const manifest = await Bun.file(blob(index.manifests[0].digest)).json();
  await succeed(["tar", "-xzf", blob(manifest.layers[0].digest), "-C", join(bundle, "rootfs")]);
  await succeed(["runc", "spec", "-b", bundle]);
  const config = await Bun.file(join(bundle, "config.json")).json();
  config.process.terminal = false;
  config.process.args = args;
  config.root.readonly = false;
  await Bun.write(join(bundle, "config.json"), JSON.stringify(config));
  return bundle;
}

export interface Runtime {
  name: string;
  prefix: string[];
}

/**
 * crun refuses machines on which a cgroup v2 hierarchy without controllers is mounted beside v1. In a mount
 * namespace of its own with that one unmounted it runs; the unshare(1) around it is in what is measured, so it is
 * done once, by a shell that then runs crun many times, only for the figure of a single run.
 */
export function runtimes(workspace: Workspace): Runtime[] {
  // On a tmpfs, where every caller has it.
  const state = `/run/${workspace.name}`;
  workspace.onClose("the runtimes' state", () => rm(state, { recursive: true, force: true }));
  const found: Runtime[] = [{ name: "tsd runtime", prefix: [tsd, "runtime", "--root", join(state, "tsd")] }];
  if (existsSync("/usr/sbin/runc")) found.push({ name: "runc", prefix: ["runc", "--root", join(state, "runc")] });
  if (existsSync("/usr/bin/crun"))
    found.push({ name: "crun", prefix: [...crunNamespace(workspace), "crun", "--root", join(state, "crun")] });
  return found;
}

let crunHolder: Bun.Subprocess | undefined;

/** Enters the mount namespace without the v2 hierarchy, kept open by a sleeping process. */
function crunNamespace(workspace: Workspace): string[] {
  if (!existsSync("/sys/fs/cgroup/unified")) return [];
  if (crunHolder === undefined) {
    const holder = Bun.spawn(["unshare", "-m", "sh", "-c", "umount /sys/fs/cgroup/unified; exec sleep 86400"], {
      stdin: "ignore",
    });
    workspace.onClose("crun's mount namespace", async () => {
      holder.kill();
      await holder.exited;
    });
    crunHolder = holder;
  }
  return ["nsenter", `--mount=/proc/${crunHolder.pid}/ns/mnt`];
}

export async function runtimeContenders(workspace: Workspace): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const { name, prefix } of runtimes(workspace)) {
    const bundle = await makeBundle(workspace, name.replace(" ", "-"), ["/bin/true"]);
    contenders.push({ name, argv: [...prefix, "run", "-b", bundle, `${workspace.name}-${name.replace(" ", "-")}`] });
  }
  await waitForNamespace();
  if (existsSync("/usr/bin/gcc")) {
    const limit = workspace.path("limit");
    await succeed(["gcc", "-O2", "-o", limit, join(import.meta.dir, "limit.c")]);
    const bundle = await makeBundle(workspace, "limit", ["/bin/true"]);
    contenders.push({ name: "the same calls from C", argv: [limit, bundle, "/bin/true"] });
  }
  return contenders;
}

export async function runtimeExecContenders(workspace: Workspace): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const { name, prefix } of runtimes(workspace)) {
    const id = `${workspace.name}-exec-${name.replace(" ", "-")}`;
    const bundle = await makeBundle(workspace, id, ["/bin/sleep", "86400"]);
    await waitForNamespace();
    // The container has the starter's standard streams: with pipes their end would never come.
    const starter = Bun.spawn([...prefix, "run", "-d", "-b", bundle, id], { stdio: ["ignore", "ignore", "ignore"] });
    if ((await starter.exited) !== 0) throw new Error(`${name}: run -d: status ${starter.exitCode}`);
    workspace.onClose(id, () => succeed([...prefix, "delete", "-f", id]));
    contenders.push({ name, argv: [...prefix, "exec", id, "/bin/true"] });
  }
  return contenders;
}

export async function waitForNamespace(): Promise<void> {
  const holder = crunHolder;
  if (holder === undefined) return;
  // The shell has unmounted the hierarchy once it has become `sleep`.
  while ((await command(["cat", `/proc/${holder.pid}/comm`])).stdout.trim() !== "sleep") await Bun.sleep(2);
}
