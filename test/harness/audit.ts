import { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errorMessage } from "../../src/core/errors.ts";
import { until } from "./command.ts";
import type { Daemon } from "./daemon.ts";
import type { Workspace } from "./workspace.ts";

/**
 * Compares what a daemon's directories, its database and the kernel hold with the containers that it knows of. What an
 * earlier daemon left half made shows as a difference. Removals go on in the background: it waits for agreement.
 * @throws with every difference by name.
 */
export async function expectAgreement(workspace: Workspace, daemon: Daemon): Promise<void> {
  let problems: string[] = [];
  try {
    await until("records, files and kernel agree", async () => {
      problems = await differences(workspace, daemon);
      return problems.length === 0;
    });
  } catch (error) {
    throw new Error(`${errorMessage(error)}\n${problems.join("\n")}\n${await daemon.log()}`);
  }
}

async function differences(workspace: Workspace, daemon: Daemon): Promise<string[]> {
  const all = ids(await daemon.ok("ps", "-aq", "--no-trunc"));
  const running = ids(await daemon.ok("ps", "-q", "--no-trunc"));
  const { root, state } = daemon;
  using database = new Database(join(root, "metadata.db"), { readonly: true });
  const column = (sql: string) => (database.query(sql).values() as string[][]).map(([value]) => value!);
  const links = (await workspace.run(["ip", "-o", "link", "show"])).stdout;
  const rootfsMount = new RegExp(`^${root}/containers/([0-9a-f]{64})/rootfs$`);
  const volumeMount = new RegExp(`^${root}/volumes/([^/]+)/_data$`);
  const places = mountPoints(workspace.directory);
  const mounts = places
    .filter((point) => !volumeMount.test(point))
    .map((point) => rootfsMount.exec(point)?.[1] ?? point);
  return [
    ...unequal("rows of containers", column("SELECT id FROM containers"), all),
    ...unequal("directories of containers", entries(join(root, "containers")), all),
    ...unequal("writable layers", column("SELECT key FROM container_snapshots"), all),
    ...unequal("directories of shims' records", entries(join(state, "containers")), running),
    ...unequal("the runtime's states", entries(join(state, "runtime")), running),
    ...hierarchies().flatMap((hierarchy) =>
      entries(join(hierarchy, workspace.cgroupParent), true)
        .filter((id) => !running.includes(id))
        .map((id) => `cgroup ${hierarchy} ${id}`),
    ),
    ...mounts.filter((id) => !running.includes(id)).map((mount) => `mount ${mount}`),
    ...unequal(
      "directories of layers",
      entries(join(root, "snapshots")).filter((name) => name !== "trash"),
      column("SELECT directory FROM container_snapshots UNION SELECT directory FROM layer_snapshots"),
    ),
    ...entries(join(root, "snapshots", "trash")).map((name) => `trash ${name}`),
    ...unequal("volumes", entries(join(root, "volumes")), column("SELECT name FROM volumes")),
    ...unequal(
      "mounted volumes",
      places.flatMap((point) => volumeMount.exec(point)?.[1] ?? []),
      column(
        `SELECT DISTINCT volumes.name FROM volumes, containers, json_each(containers.definition, '$.mounts') AS mount
         WHERE volumes.name = mount.value ->> '$.Name' AND volumes.options ->> '$.type' <> ''
           AND containers.id IN (${running.map((id) => `'${id}'`).join(", ")})`,
      ),
    ),
    ...entriesOfVolumes(join(root, "volumes")).filter((path) => !path.endsWith("/_data")),
    ...damagedBlobs(join(root, "content", "blobs", "sha256")),
    ...column("SELECT DISTINCT digest FROM image_content")
      .filter((digest) => !existsSync(join(root, "content", "blobs", digest.replace(":", "/"))))
      .map((digest) => `blob ${digest}: missing`),
    ...unequal(
      "network devices",
      [...links.matchAll(/ (veth[0-9a-z]+)/g)].map((match) => match[1]!),
      column("SELECT host_interface FROM network_endpoint WHERE host_interface IS NOT NULL"),
    ),
    ...column("SELECT container_id FROM network_sandbox WHERE container_id IS NOT NULL")
      .filter((id) => !running.includes(id))
      .map((id) => `network sandbox of ${id}`),
    ...shimDifferences(daemon, shims(state), running.length),
  ];
}

/** What lies beside the files of volumes was left there by a copy that was cut short. */
function entriesOfVolumes(directory: string): string[] {
  return entries(directory).flatMap((name) => readdirSync(join(directory, name)).map((entry) => `${name}/${entry}`));
}

/** A blob under its name is whole. What no image needs may lie there for a pull that goes on with it. */
function damagedBlobs(directory: string): string[] {
  return entries(directory).filter((name) => {
    return (
      createHash("sha256")
        .update(readFileSync(join(directory, name)))
        .digest("hex") !== name
    );
  });
}

/** How many are kept ready after a burst of starts, at most. */
const sparesMax = 16;

/** One for each container, and spare ones: those are the daemon's own, for an earlier one's have lost their parent. */
function shimDifferences({ pid }: Daemon, found: string[], running: number): string[] {
  const strangers = found.filter((shim) => parentOf(shim) !== pid);
  return [
    ...(found.length < running ? [`${found.length} shims for ${running} containers: ${found}`] : []),
    ...(strangers.length > running ? [`${strangers.length} shims of others for ${running} containers`] : []),
    ...(found.length > running + sparesMax ? [`${found.length - running} spare shims: ${found}`] : []),
  ];
}

function parentOf(pid: string): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined; // it ended while it was looked at
  }
}

/** The process ids of the daemon's shims. */
export function shims(state: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words.includes("shim") && words.some((word) => word.startsWith(`${state}/`));
    } catch {
      return false; // it ended while it was looked at
    }
  });
}

function mountPoints(directory: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const points = lines.map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point.startsWith(`${directory}/`) && !point.endsWith("/netns"));
}

function hierarchies(): string[] {
  return ["", ...entries("/sys/fs/cgroup", true)].map((name) => join("/sys/fs/cgroup", name));
}

function unequal(what: string, found: string[], expected: string[]): string[] {
  const extra = found.filter((name) => !expected.includes(name));
  const missing = expected.filter((name) => !found.includes(name));
  return [...extra.map((name) => `${what}: left over: ${name}`), ...missing.map((name) => `${what}: missing: ${name}`)];
}

function ids(text: string): string[] {
  return text.split("\n").filter(Boolean);
}

function entries(path: string, directoriesOnly = false): string[] {
  try {
    const found = readdirSync(path, { withFileTypes: true });
    const kept = found.filter((entry) => !directoriesOnly || entry.isDirectory());
    return kept.map((entry) => entry.name).filter((name) => !name.startsWith("."));
  } catch {
    return []; // nothing made it yet
  }
}
