/**
 * SELinux' labels on what is mounted with `:z` or `:Z`, so that other engines' confined containers may use it, or only
 * one may. tsd confines no process by SELinux itself. As libselinux' users do it: by the host's lxc_contexts(5).
 */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { homedir } from "node:os";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open, openat, readDirectory } from "../../ffi/files.ts";
import { isDirectory, setXattr, setXattrOfOpened, statx, xattrTargetIn } from "../../ffi/stat.ts";
import { EngineError, isErrno } from "../core/errors.ts";

const attribute = "security.selinux";
/** How long the walk may hold the event loop before others have their turn. */
const sliceMs = 8;

/**
 * The label of containers' files without the level, `system_u:object_r:container_file_t`; undefined where SELinux is
 * off, or its policy knows no containers.
 * @param root of the files that say so.
 */
export function containerFileContext(root = ""): string | undefined {
  if (!existsSync(`${root}/sys/fs/selinux/enforce`)) return undefined;
  const type = /^SELINUXTYPE=(\S+)/m.exec(textOf(`${root}/etc/selinux/config`))?.[1] ?? "targeted";
  const contexts = textOf(`${root}/etc/selinux/${type}/contexts/lxc_contexts`);
  const label = /^\s*file\s*=\s*"?([^"\s]+)/m.exec(contexts)?.[1];
  return label?.split(":").slice(0, 3).join(":");
}

/** The level of one container alone: two of 1024 categories, the same for the same id. */
export function privateLevel(containerId: string): string {
  const first = Number.parseInt(containerId.slice(0, 8), 16) % 1024;
  const second = (first + 1 + (Number.parseInt(containerId.slice(8, 16), 16) % 1023)) % 1024;
  return `s0:c${Math.min(first, second)},c${Math.max(first, second)}`;
}

/** What the host needs to be labelled as it is. */
const keptPaths = new Set([
  ..."/ /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /opt /proc /root /run".split(
    " ",
  ),
  ..."/sbin /srv /sys /tmp /usr /var /var/lib /var/log".split(" "),
]);

/**
 * Gives the label to a file, or to a directory and all below it, by descriptor: a container that may write above it
 * cannot have anything else of the host's labelled. Nothing happens on a file system that has no labels.
 * @param source opened, with O_PATH: it may be a socket or a device.
 * @throws EngineError invalid_argument for what must keep its label, in docker's words.
 */
export async function relabel(source: Fd, label: string): Promise<void> {
  const itself = `/proc/self/fd/${source.number}`;
  const path = readlinkSync(itself);
  if (keptPaths.has(path) || path === homedir()) {
    throw new EngineError("invalid_argument", `SELinux relabeling of ${path} is not allowed`, { stage: "mount", path });
  }
  const value = new TextEncoder().encode(`${label}\0`);
  try {
    setXattrOfOpened(source, attribute, value);
    if (!isDirectory(statx(source))) return;
    using directory = open(itself, O_RDONLY | O_DIRECTORY);
    await relabelContent(directory, value, { ends: performance.now() + sliceMs });
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP")) throw error;
  }
}

async function relabelContent(directory: Fd, value: Uint8Array, slice: { ends: number }): Promise<void> {
  for (const { bytes: name } of readDirectory(directory)) {
    if (performance.now() > slice.ends) {
      await new Promise((resolve) => setImmediate(resolve));
      slice.ends = performance.now() + sliceMs;
    }
    try {
      setXattr(xattrTargetIn(directory, name), attribute, value);
      if (!isDirectory(statx(directory, name))) continue;
      using child = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      await relabelContent(child, value, slice);
    } catch (error) {
      // Removed or exchanged while it was looked at.
      if (!isErrno(error, "ENOTDIR", "ELOOP", "ENOENT")) throw error;
    }
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  }
}
