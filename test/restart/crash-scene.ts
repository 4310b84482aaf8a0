import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { succeed } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { writeLayout } from "../harness/fixtures.ts";
import { Random } from "../harness/random.ts";
import { CrashTest } from "./crash.ts";

/** Bytes that do not compress: a pull takes long enough to be interrupted. */
const imageBytes = 6 * 2 ** 20;
const files = 300;

/** Plays a number of rounds in a scene of their own, and closes it: nothing may be left then. */
export async function playCrashes(name: string, rounds: number): Promise<void> {
  const scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
  try {
    const pulls = [await pushImage(scene, "large:a"), await pushImage(scene, "large:b")];
    const crashes = new CrashTest(scene, new Random(name), pulls);
    for (let round = 0; round < rounds; round++) await crashes.round();
  } finally {
    await scene.close();
  }
}

/** An image whose one layer is no other image's. */
async function pushImage(scene: DockerScene, name: string): Promise<string> {
  const directory = scene.workspace.path(`image-${name.replace(":", "-")}`);
  const rootfs = join(directory, "rootfs");
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  for (const path of ["dev", "proc", "sys", "etc", "data"]) mkdirSync(join(rootfs, path));
  await succeed(["cp", "/bin/busybox", join(rootfs, "bin/true")]);
  for (let file = 0; file < files; file++)
    await Bun.write(join(rootfs, `data/${file}`), randomBytes(imageBytes / files));
  await writeLayout(join(directory, "layout"), rootfs, ["true"]);
  return scene.registry.pushLayout(join(directory, "layout"), name);
}
