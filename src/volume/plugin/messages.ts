/** What a volume plugin answers (https://docs.docker.com/engine/extend/plugins_volume/), read as Docker reads it. */
import { normalize } from "node:path/posix";
import { fieldOf, PluginRefusal } from "../../plugin/client.ts";
import type { DriverVolume } from "../driver.ts";

type Answer = Record<string, unknown>;

/** What says nothing of use is `local`, as in Docker. */
export function readScope(answer: Answer): "local" | "global" {
  const scope = fieldOf(objectOf(fieldOf(answer, "Capabilities")) ?? {}, "Scope");
  return typeof scope === "string" && scope.toLowerCase() === "global" ? "global" : "local";
}

/** @returns undefined for no volume. */
export function readVolume(answer: Answer): DriverVolume | undefined {
  const volume = objectOf(fieldOf(answer, "Volume"));
  return volume && describe(volume);
}

/** @param plugin whose answer it is, for the error. */
export function readVolumes(answer: Answer, plugin: string): (DriverVolume & { name: string })[] {
  const volumes = fieldOf(answer, "Volumes") ?? [];
  if (!Array.isArray(volumes)) throw refusal(plugin, "List", "Volumes is no list");
  return volumes.map((item) => {
    const volume = objectOf(item);
    const name = volume && fieldOf(volume, "Name");
    if (typeof name !== "string" || name === "") throw refusal(plugin, "List", "a volume has no name");
    return { name, ...describe(volume!) };
  });
}

function describe(volume: Answer): DriverVolume {
  const mountpoint = fieldOf(volume, "Mountpoint");
  const createdAt = fieldOf(volume, "CreatedAt");
  const status = objectOf(fieldOf(volume, "Status"));
  const isTime = typeof createdAt === "string" && !Number.isNaN(Date.parse(createdAt));
  return {
    mountpoint: typeof mountpoint === "string" ? mountpoint : "",
    ...(isTime && { createdAt }),
    ...(status && { status }),
  };
}

/**
 * Where a volume is mounted. The plugin may choose any directory of the host, but for those that no volume can be in:
 * the root itself, the kernel's own file systems, and what belongs to tsd.
 * @param reserved directories that nothing of a plugin's is in.
 * @throws PluginRefusal that names the path.
 */
export function checkMountpoint(
  mountpoint: unknown,
  { plugin, volume, reserved }: { plugin: string; volume: string; reserved: readonly string[] },
): string {
  const wrong = (reason: string) => refusal(plugin, "Mount", `volume ${volume}: ${reason}`);
  if (typeof mountpoint !== "string" || mountpoint === "") throw wrong("the answer has no mountpoint");
  const shown = JSON.stringify(mountpoint.slice(0, 200));
  if (!mountpoint.startsWith("/")) throw wrong(`mountpoint ${shown} is no absolute path`);
  if (mountpoint.includes("\0") || mountpoint.length > 4095) throw wrong(`mountpoint ${shown} is no path`);
  if (mountpoint.split("/").includes("..")) throw wrong(`mountpoint ${shown} has ".." in it`);
  const path = normalize(mountpoint).replace(/(?<=.)\/$/, "");
  if (path === "/") throw wrong("mountpoint / is the whole host");
  const owner = reserved.find((directory) => path === directory || path.startsWith(`${directory}/`));
  if (owner !== undefined) throw wrong(`mountpoint ${shown} is inside ${owner}, where no volume of a plugin can be`);
  return path;
}

function objectOf(value: unknown): Answer | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Answer) : undefined;
}

function refusal(plugin: string, method: string, reason: string): PluginRefusal {
  return new PluginRefusal("internal", `plugin "${plugin}": VolumeDriver.${method}: ${reason}`);
}
