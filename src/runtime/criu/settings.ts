/** What people can ask of a checkpoint and of a restoration alike. */
import { CLONE_NEWNET } from "../../../ffi/constants/namespace.ts";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { fchmod, fchown, open } from "../../../ffi/files.ts";
import { existsSync, mkdirSync } from "../../../ffi/fs.ts";
import { join } from "../../../ffi/path.ts";
import { wrapError } from "../../core/errors.ts";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import type { CgroupMode, CriuOptions } from "./messages.ts";

export interface CriuSettings {
  /** Absolute. */
  imagePath: string;
  /** Absolute; the log and other files go there, in place of the images' directory. */
  workPath?: string;
  tcpEstablished: boolean;
  extUnixSk: boolean;
  shellJob: boolean;
  fileLocks: boolean;
  autoDedup: boolean;
  lazyPages: boolean;
  cgroupMode?: CgroupMode;
}

/** Directories are given to criu as descriptors of this process. */
export interface CriuDirectories extends Disposable {
  images: Fd;
  work: Fd | undefined;
  /** Absolute. */
  logPath: string;
}

/**
 * @param saved given when the images' directory is made where it is missing. A restored container with a user namespace
 *   of its own reads its images as its root, who may be nobody in particular outside: a new directory is open to that
 *   root's group. It stays the caller's, for criu's first process opens an image (timens-0.img) when it is in the
 *   namespace and perhaps has no users there yet: it is still the caller then, whose capabilities no longer count.
 * @throws EngineError.
 */
export function openDirectories(settings: CriuSettings, log: string, saved?: RuntimeConfig): CriuDirectories {
  const { imagePath, workPath } = settings;
  const isNew = saved !== undefined && !existsSync(imagePath);
  using opened = new DisposableStack();
  const images = opened.use(directory(imagePath, "--image-path", isNew));
  const group = saved && hostGroupOfRoot(saved);
  if (isNew && group !== undefined) {
    fchown(images, -1, group);
    fchmod(images, 0o750);
  }
  const work = workPath === undefined ? undefined : opened.use(directory(workPath, "--work-path", true));
  const kept = opened.move();
  return { images, work, logPath: join(workPath ?? imagePath, log), [Symbol.dispose]: () => kept.dispose() };
}

function directory(path: string, flag: string, make: boolean): Fd {
  try {
    if (make) mkdirSync(path, { recursive: true, mode: 0o700 });
    return open(path, O_RDONLY | O_DIRECTORY);
  } catch (error) {
    throw wrapError(error, flag);
  }
}

/** The host's number of root's group in a user namespace of the container's own; undefined where it has none. */
function hostGroupOfRoot({ linux }: RuntimeConfig): number | undefined {
  return linux?.gidMappings?.find(({ containerID, size }) => containerID === 0 && size > 0)?.hostID;
}

/** The options of criu that follow from the settings, and those that are always the same. */
export function commonOptions(
  settings: CriuSettings,
  { images, work }: CriuDirectories,
  log: string,
  config: RuntimeConfig,
): CriuOptions {
  const { tcpEstablished, extUnixSk, shellJob, fileLocks, autoDedup, lazyPages } = settings;
  return {
    imagesDescriptor: images.number,
    workDescriptor: work?.number,
    logFile: log,
    logLevel: 4,
    tcpEstablished,
    extUnixSk,
    shellJob,
    fileLocks,
    autoDedup,
    lazyPages,
    cgroupMode: settings.cgroupMode ?? "default",
    notifyScripts: true,
    orphanTerminalMaster: true,
    // Binds are slaves of the host's mounts, as rootfsPropagation has it.
    externalMasters: true,
    // Interfaces and addresses are made by hooks or by who made the namespace, not by the runtime.
    emptyNamespaces: CLONE_NEWNET,
    configFile: configFile(config),
    networkLock: networkLock(),
  };
}

/**
 * criu's settings of the administrator's, which overrule those here: runc's file, for programs that manage containers
 * document that one. The annotation names another, or with an empty value none.
 */
function configFile({ annotations }: RuntimeConfig): string | undefined {
  const named = annotations?.["org.criu.config"];
  if (named === undefined) return "/etc/criu/runc.conf";
  return named === "" ? undefined : named;
}

/** criu shuts a network namespace with iptables; where that is missing, with nftables' library, if it has it. */
function networkLock(): CriuOptions["networkLock"] {
  return Bun.which("iptables-restore") === null ? "nftables" : undefined;
}
