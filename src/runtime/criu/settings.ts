/** What people can ask of a checkpoint and of a restoration alike. */
import { CLONE_NEWNET } from "../../../ffi/constants/namespace.ts";
import { O_DIRECTORY, O_RDONLY } from "../../../ffi/constants/open.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { open } from "../../../ffi/files.ts";
import { mkdirSync } from "../../../ffi/fs.ts";
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

/** @param make whether the images' directory is made where it is missing. @throws EngineError. */
export function openDirectories({ imagePath, workPath }: CriuSettings, log: string, make: boolean): CriuDirectories {
  const images = directory(imagePath, "--image-path", make);
  try {
    const work = workPath === undefined ? undefined : directory(workPath, "--work-path", true);
    const logPath = join(workPath ?? imagePath, log);
    const close = () => {
      images.close();
      work?.close();
    };
    return { images, work, logPath, [Symbol.dispose]: close };
  } catch (error) {
    images.close();
    throw error;
  }
}

function directory(path: string, flag: string, make: boolean): Fd {
  try {
    if (make) mkdirSync(path, { recursive: true, mode: 0o700 });
    return open(path, O_RDONLY | O_DIRECTORY);
  } catch (error) {
    throw wrapError(error, flag);
  }
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
