import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { succeed } from "../harness/command.ts";
import type { Workspace } from "../harness/workspace.ts";

const diskBytes = 32 * 2 ** 30;

/**
 * Gives these directories of a workspace a file system of their own, which nobody else writes to: ext4 as mkfs makes
 * it, with a journal. On one without (as virtual machines have at times) ext4 looks for inodes that were not removed
 * lately, which makes the creation of a file after a removed image take ten times as long, for every engine.
 */
export async function mountDisk(workspace: Workspace, names: readonly string[]): Promise<void> {
  const file = workspace.path("disk.img");
  const disk = workspace.path("disk");
  mkdirSync(disk);
  await succeed(["truncate", "-s", String(diskBytes), file]);
  // Written whole now, so that the kernel does not do it meanwhile; fewer inodes than usual, so that it is little.
  const options = ["-i", "65536", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
  await succeed(["mkfs.ext4", "-q", "-F", ...options, file], { timeoutMs: 120_000 });
  const device = await succeed(["losetup", "--direct-io=on", "--find", "--show", file]);
  await succeed(["mount", device, disk]);
  const mounted = [disk];
  for (const name of names) {
    const place = workspace.path(name);
    mkdirSync(`${disk}/${name}`);
    mkdirSync(place);
    await succeed(["mount", "--bind", `${disk}/${name}`, place]);
    mounted.unshift(place);
  }
  workspace.onClose("disk", async () => {
    for (const place of mounted) await succeed(["umount", place]);
    await succeed(["losetup", "--detach", device]);
    await rm(file);
  });
}
