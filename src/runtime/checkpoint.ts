import { F_GETFL, O_PATH, O_RDWR, O_WRONLY, RESOLVE_IN_ROOT } from "../../ffi/constants/open.ts";
import { Fd } from "../../ffi/fd.ts";
import { fcntl, open, openat2, write } from "../../ffi/files.ts";
import { isDirectoryAt, readFileSync } from "../../ffi/fs.ts";
import { isAbsolute, join } from "../../ffi/path.ts";
import { isAlive, type ProcessIdentity } from "../../ffi/process.ts";
import { statx } from "../../ffi/stat.ts";
import { EngineError, isErrno, wrapError } from "../core/errors.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { type Cgroup, openCgroup } from "./cgroup/cgroup.ts";
import type { CgroupDriver } from "./cgroup/driver.ts";
import { savedMounts } from "./criu/external-mounts.ts";
import { type CriuOptions, encodeRequest } from "./criu/messages.ts";
import { type MountEntry, parseMountInfo } from "./criu/mount-info.ts";
import { savedNamespaces } from "./criu/namespaces.ts";
import { askCriu, type CriuAnswer, criuFeatures, findCriu } from "./criu/program.ts";
import { criuFailure } from "./criu/report.ts";
import { type CriuDirectories, type CriuSettings, commonOptions, openDirectories } from "./criu/settings.ts";
import { externalFiles, streamNames, writeStreamNames } from "./criu/streams.ts";
import { deleteContainer } from "./delete.ts";
import { mappedMounts } from "./plan/mappings.ts";
import type { ContainerRecord } from "./record.ts";
import { containerStatus } from "./status.ts";
import { lockContainer, readConfig, readRecord } from "./store.ts";

const logFile = "dump.log";

export interface CheckpointOptions extends CriuSettings {
  /** Images of an earlier pre-dump, relative to these: memory that has not changed since is not saved again. */
  parentPath?: string;
  leaveRunning: boolean;
  /** Saves memory alone, and lets the container go on. */
  preDump: boolean;
  /** Who made it removes it, as its first process's parent hears that it has ended. */
  isRemovedByCaller?: boolean;
  linkRemap: boolean;
  tcpSkipInFlight: boolean;
  pageServer?: { address: string; port: number };
  /** With lazyPages: gets a zero byte when the pages can be asked for, and is closed. */
  statusFd?: number;
  /** Needed for a container that was made with it (recordedDriver). */
  cgroupDriver?: CgroupDriver;
  warn?: (message: string) => void;
}

/**
 * Saves a running or paused container with criu, and deletes it then, unless it is to go on.
 * @throws EngineError not_found; conflict when it does not run; unsupported without criu, or where criu cannot work;
 *   internal with criu's own error: the container goes on as before.
 */
export async function checkpointContainer(root: string, id: string, options: CheckpointOptions): Promise<void> {
  {
    using _lock = lockContainer(root, id);
    const record = readRecord(root, id);
    const status = containerStatus(root, record);
    if (status.status !== "running" && status.status !== "paused") {
      // Callers of runc look for "cannot be checkpointed".
      throw new EngineError("conflict", `container ${id} cannot be checkpointed in ${status.status} state`);
    }
    const config = readConfig(root, id);
    refuseMappedMounts(config);
    const program = findCriu();
    await refuseMissingFeatures(program, options);
    checkStatusFd(options);
    using directories = openDirectories(options, logFile, config);
    checkParent(options);
    const subject: Subject = { record, config, init: status.init };
    const answer = await keepFrozenState(subject, () => save(program, subject, options, directories));
    if (!answer.response?.success || answer.problem !== undefined || (!options.preDump && answer.exitCode !== 0)) {
      throw criuFailure(`checkpoint of container ${id}`, answer, directories.logPath, options.warn);
    }
  }
  if (options.leaveRunning || options.preDump || options.isRemovedByCaller) return;
  const { warn, cgroupDriver } = options;
  deleteContainer(root, id, { force: true, ...(warn && { warn }), ...(cgroupDriver && { cgroupDriver }) });
}

/** criu takes sources of binds from the host as they are there, where their files have other owners. */
function refuseMappedMounts(config: RuntimeConfig): void {
  const [first] = mappedMounts(config);
  if (first === undefined) return;
  throw new EngineError("unsupported", `criu cannot restore the mount ${first}: the owners of its files are mapped`);
}

/** A container that is saved. */
export interface Subject {
  record: ContainerRecord;
  config: RuntimeConfig;
  init: ProcessIdentity;
}

function save(
  program: string,
  subject: Subject,
  options: CheckpointOptions,
  directories: CriuDirectories,
): Promise<CriuAnswer> {
  const criuOptions = dumpOptions(subject, options, directories);
  return askCriu(program, {
    request: () => encodeRequest(options.preDump ? "PRE_DUMP" : "DUMP", criuOptions),
    // A shell job's terminal.
    stdin: 0,
    onNotify: (script) => {
      if (script === "status-ready" && options.statusFd !== undefined) tellReady(options.statusFd);
    },
  });
}

/** What criu is told. */
export function dumpOptions(subject: Subject, options: CheckpointOptions, directories: CriuDirectories): CriuOptions {
  const { record, config, init } = subject;
  const { parentPath, pageServer, leaveRunning, linkRemap, tcpSkipInFlight } = options;
  return {
    ...commonOptions(options, directories, logFile, config),
    pid: init.pid,
    root: record.rootfs,
    leaveRunning,
    linkRemap,
    tcpSkipInFlight,
    pageServer,
    parentImages: parentPath,
    trackMemory: parentPath !== undefined || options.preDump,
    freezeCgroup: freezerDirectory(record),
    external: [
      ...savedNamespaces(config, init.pid),
      ...(options.preDump ? [] : saveOutside(subject, options.imagePath)),
    ],
  };
}

/** What leads out of the container. @returns how criu is told of it. */
function saveOutside({ config, init }: Subject, imagePath: string): string[] {
  const mounts = mountsOf(init.pid);
  using root = open(`/proc/${init.pid}/root`, O_PATH);
  const mountAt = (path: string): number | undefined => {
    try {
      using target = openat2(root, path, { flags: O_PATH, resolve: RESOLVE_IN_ROOT });
      return Number(statx(target).mountId);
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  };
  const streams = streamNames(init.pid, mounts);
  writeStreamNames(imagePath, streams);
  return [...savedMounts(config, mounts, mountAt), ...externalFiles(streams)];
}

function mountsOf(pid: number): MountEntry[] {
  return parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
}

/** By it criu stops all processes at once, also those that fork meanwhile. */
function freezerDirectory({ cgroupPath }: ContainerRecord): string | undefined {
  if (cgroupPath === undefined) return undefined;
  const { directories } = openCgroup(cgroupPath);
  return directories[""] ?? directories.freezer;
}

/** criu thaws what it has frozen; not if it is killed. And a paused container stays paused. */
async function keepFrozenState<T>({ record, init }: Subject, work: () => Promise<T>): Promise<T> {
  const cgroup: Cgroup | undefined = record.cgroupPath === undefined ? undefined : openCgroup(record.cgroupPath);
  const before = cgroup?.frozen();
  try {
    return await work();
  } finally {
    if (cgroup !== undefined && isAlive(init) && cgroup.frozen() !== before) {
      if (before) cgroup.freeze();
      else cgroup.thaw();
    }
  }
}

async function refuseMissingFeatures(program: string, { preDump, lazyPages }: CheckpointOptions): Promise<void> {
  if (!preDump && !lazyPages) return;
  const features = await criuFeatures(program);
  // A criu that cannot work at all says why when it is asked to.
  if (features === undefined) return;
  const refuse = (flag: string, feature: string) => {
    throw new EngineError("unsupported", `${flag}: this kernel or ${program} lacks ${feature}`);
  };
  if (preDump && !features.memoryTracking) refuse("--pre-dump", "the tracking of changed memory");
  if (lazyPages && !features.lazyPages) refuse("--lazy-pages", "userfaultfd");
}

function checkStatusFd({ statusFd, lazyPages }: CheckpointOptions): void {
  if (statusFd === undefined || !lazyPages) return;
  let flags: number;
  try {
    flags = fcntl(statusFd, F_GETFL);
  } catch (error) {
    throw wrapError(error, `invalid --status-fd argument ${statusFd}`);
  }
  if ((flags & (O_WRONLY | O_RDWR)) !== 0) return;
  throw new EngineError("invalid_argument", `invalid --status-fd argument ${statusFd}: not writable`);
}

function tellReady(statusFd: number): void {
  using descriptor = new Fd(statusFd);
  write(descriptor, Uint8Array.of(0));
}

function checkParent({ imagePath, parentPath }: CheckpointOptions): void {
  if (parentPath === undefined) return;
  if (isAbsolute(parentPath)) throw new EngineError("invalid_argument", "--parent-path must be relative");
  const path = join(imagePath, parentPath);
  try {
    if (isDirectoryAt(path)) return;
  } catch (error) {
    throw wrapError(error, "invalid --parent-path");
  }
  throw new EngineError("invalid_argument", `invalid --parent-path: ${path}: there is no such directory`, { path });
}
