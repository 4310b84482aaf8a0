import { MS_BIND, MS_REC } from "../../ffi/constants/mount.ts";
import { AT_FDCWD, O_RDONLY } from "../../ffi/constants/open.ts";
import type { Descriptor, Fd } from "../../ffi/fd.ts";
import { open, write } from "../../ffi/files.ts";
import { readFileSync, readTextIfThere } from "../../ffi/fs.ts";
import { mount } from "../../ffi/mount.ts";
import { inPrivateMounts } from "../../ffi/namespace.ts";
import {
  openProcess,
  type ProcessIdentity,
  pidfd_open,
  pidfd_send_signal,
  reapChild,
  waitForEnd,
} from "../../ffi/process.ts";
import { statx } from "../../ffi/stat.ts";
import { EngineError } from "../core/errors.ts";
import type { OciState } from "../oci/runtime.ts";
import { cgroupHierarchies } from "./cgroup-hierarchies.ts";
import { checkConfig } from "./check-config.ts";
import { type ConsoleReceiver, openConsole } from "./console.ts";
import {
  abandon,
  admission,
  beginCreation,
  type Creation,
  identityOf,
  makeCgroup,
  setLifecycle,
  writeFirstRecord,
} from "./creation.ts";
import { restoredMounts } from "./criu/external-mounts.ts";
import { raiseLoopback } from "./criu/loopback.ts";
import { type CriuOptions, encodeRequest } from "./criu/messages.ts";
import { parseMountInfo } from "./criu/mount-info.ts";
import { makeMountPoints } from "./criu/mount-points.ts";
import { type RestoredNamespaces, restoredNamespaces } from "./criu/namespaces.ts";
import { askCriu, criuVersion, findCriu, firstInherited } from "./criu/program.ts";
import { criuFailure } from "./criu/report.ts";
import { type CriuDirectories, type CriuSettings, commonOptions, openDirectories } from "./criu/settings.ts";
import { inheritedStreams, readStreamNames } from "./criu/streams.ts";
import { runHooks } from "./hooks.ts";
import type { CreateOptions, RunningContainer } from "./options.ts";
import { writePidFile } from "./pid-file.ts";
import { ociState } from "./status.ts";
import { containerDirectory, refuseTakenId, replaceConfig } from "./store.ts";

const logFile = "restore.log";
const SIGKILL = 9;
const endTimeoutMs = 10_000;
/** The first criu that sets another LSM profile than the one that it saved. */
const lsmVersion = 31_600;

export interface RestoreOptions extends Omit<CreateOptions, "start" | "rootfsMount" | "prepareState"> {
  settings: CriuSettings;
  /** TYPE:NAME */
  lsmProfile?: string;
  lsmMountContext?: string;
}

/**
 * Makes a container of the images that a checkpoint has left, and of the bundle that it was made of. Its first process
 * is a child of this one. Its cgroup has the limits of the bundle; prestart and createRuntime hooks run when its
 * namespaces are there, poststart hooks when it runs.
 * @throws EngineError; nothing is left of the container then, but the images and criu's log.
 */
export async function restoreContainer(given: RestoreOptions): Promise<RunningContainer> {
  const options: RestoreOptions & CreateOptions = { ...given, start: "now" };
  const { root, id, config, settings } = options;
  refuseTakenId(root, id);
  const checked = checkConfig(config, options.bundle);
  const program = findCriu();
  // Opened again where criu is; what is wrong with them is told before anything is made.
  openDirectories(settings, logFile)[Symbol.dispose]();
  const streamNames = readStreamNames(settings.imagePath);
  await refuseOldCriu(program, options);
  using namespaces = restoredNamespaces(config);
  using console = openConsole(checked.process.terminal ?? false, options.stdio);
  const { creation, lock } = beginCreation(options, checked);
  using _lock = lock;
  const restoration: Restoration = {
    creation,
    options,
    program,
    namespaces,
    streamNames,
    console,
    restored: undefined,
  };
  try {
    writeFirstRecord(creation);
    makeCgroup(creation);
    return await bringBack(restoration);
  } catch (error) {
    throw abandon(creation, error, [() => endFirstProcess(creation)]);
  }
}

interface Restoration {
  creation: Creation;
  options: RestoreOptions;
  program: string;
  namespaces: RestoredNamespaces;
  streamNames: readonly string[];
  console: ConsoleReceiver | undefined;
  /** The first process; taken while it stands still, for it may end as soon as it runs. */
  restored: { init: ProcessIdentity; pidfd: Fd } | undefined;
}

async function refuseOldCriu(program: string, { lsmProfile, lsmMountContext }: RestoreOptions): Promise<void> {
  if (lsmProfile === undefined && lsmMountContext === undefined) return;
  if ((await criuVersion(program)) >= lsmVersion) return;
  const flag = lsmProfile === undefined ? "--lsm-mount-context" : "--lsm-profile";
  throw new EngineError("unsupported", `${flag} requires at least CRIU 3.16`, { path: program });
}

async function bringBack(restoration: Restoration): Promise<RunningContainer> {
  const { creation, options, program, namespaces } = restoration;
  const { root, id, config, bundle } = options;
  const { rootfs } = creation.record;
  inPrivateMounts(() => makeMountPoints(config, rootfs, bundle));
  const stdio = "stdin" in options.stdio ? options.stdio : undefined;
  const streams: Descriptor[] = stdio === undefined ? [] : [stdio.stdin, stdio.stdout, stdio.stderr];
  using opened = new DisposableStack();
  opened.defer(() => restoration.restored?.pidfd.close());
  const surroundings: { directories?: CriuDirectories } = {};
  const answer = await askCriu(program, {
    request: (pid) => {
      joinCgroup(creation, pid);
      return encodeRequest("RESTORE", restoreOptions(restoration, surroundings.directories!, pid, streams.length));
    },
    ...(stdio && { stdin: stdio.stdin }),
    inherited: [...streams, ...namespaces.inherited.map(({ namespace }) => namespace)],
    startIn: (start) =>
      inPrivateMounts(() => {
        // criu takes no root that is not a mount, or that is hidden below another one.
        mount(rootfs, containerDirectory(root, id), null, MS_BIND | MS_REC);
        // It also mounts below its working directory, which has to be of its own mount namespace.
        surroundings.directories = opened.use(openDirectories(options.settings, logFile));
        return start();
      }),
    onNotify: (script, pid, descriptors) => attend(restoration, script, pid, descriptors),
  });
  const { restored } = restoration;
  if (!answer.response?.success || answer.problem !== undefined || restored === undefined) {
    throw criuFailure(`restore of container ${id}`, answer, surroundings.directories!.logPath, options.warn);
  }
  const { init, pidfd } = restored;
  warnOfNewPrivileges(options, init.pid);
  runHooks("poststart", config.hooks?.poststart, ociState(creation.record, { status: "running", init }));
  return { id, pid: init.pid, pidfd: pidfd.move() };
}

/** criu goes into the container's cgroup first: its children are born there. */
function joinCgroup(creation: Creation, pid: number): void {
  const procs = creation.cgroup?.procsFds() ?? [];
  try {
    for (const file of procs) write(file, String(pid));
  } finally {
    for (const file of procs) file.close();
  }
  admission(creation)?.(pid);
}

function restoreOptions(
  restoration: Restoration,
  directories: CriuDirectories,
  pid: number,
  streams: number,
): CriuOptions {
  const { creation, options, namespaces, streamNames } = restoration;
  const { root, id, config, bundle, settings, lsmProfile, lsmMountContext } = options;
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const hierarchies = creation.cgroup === undefined ? [] : cgroupHierarchies(creation.cgroup);
  return {
    ...commonOptions(settings, directories, logFile, config),
    root: containerDirectory(root, id),
    evasiveDevices: true,
    restoreSibling: true,
    cgroupRoots: cgroupRoots(pid),
    external: restoredMounts(config, bundle, mounts, hierarchies),
    joinNamespaces: namespaces.joined,
    inheritDescriptors: [
      ...(streams === 0 ? [] : inheritedStreams(streamNames, firstInherited)),
      ...namespaces.inherited.map(({ key }, index) => ({ key, descriptor: firstInherited + streams + index })),
    ],
    lsmProfile,
    lsmMountContext,
  };
}

/** The cgroups that a process is in, for each controller by itself: cgroups(7), "/proc/pid/cgroup". */
function cgroupRoots(pid: number): { controller: string; path: string }[] {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trimEnd().split("\n");
  return lines.flatMap((line) => {
    const [, controllers = "", ...path] = line.split(":");
    return controllers.split(",").map((controller) => ({ controller, path: path.join(":") }));
  });
}

/** What criu waits for, at its various stages. */
function attend(restoration: Restoration, script: string, pid: number | undefined, descriptors: readonly Fd[]): void {
  const { creation, console, options } = restoration;
  const { config, pidFile } = options;
  if (script === "setup-namespaces" && pid !== undefined) {
    const init = identityOf(pid);
    setLifecycle(creation, { phase: "creating", creator: identityOf(process.pid), init });
    const networks = config.linux?.namespaces?.filter(({ type }) => type === "network") ?? [];
    if (networks.some(({ path }) => !path)) inNetworkOf(pid);
    const state: OciState = { ...ociState(creation.record, { status: "creating" }), pid };
    runHooks("prestart", config.hooks?.prestart, state);
    runHooks("createRuntime", config.hooks?.createRuntime, state);
  } else if (script === "orphan-pts-master") {
    const [master] = descriptors;
    if (master !== undefined) console?.deliver(master.move());
  } else if (script === "post-restore" && pid !== undefined) {
    // The processes do not run yet: who hears of them finds the container.
    const init = identityOf(pid);
    restoration.restored = { init, pidfd: pidfd_open(pid) };
    setLifecycle(creation, { phase: "created", init });
    keepTimeNamespace(creation, pid);
    if (pidFile !== undefined) {
      writePidFile(pidFile, pid);
      creation.hasPidFile = true;
    }
  }
}

function inNetworkOf(pid: number): void {
  using namespace = open(`/proc/${pid}/ns/net`, O_RDONLY);
  raiseLoopback(namespace);
}

/**
 * criu sets clocks that must not jump back by a time namespace, which config.json knows nothing of: later processes
 * have to join it.
 */
function keepTimeNamespace({ options: { root, id, config } }: Creation, pid: number): void {
  const [theirs, own] = [pid, "self"].map((process) => statx(AT_FDCWD, `/proc/${process}/ns/time`, 0).inode);
  const namespaces = config.linux?.namespaces ?? [];
  if (theirs === own || namespaces.some(({ type }) => type === "time")) return;
  replaceConfig(root, id, { ...config, linux: { ...config.linux, namespaces: [...namespaces, { type: "time" }] } });
}

/** criu does not know of it before version 4, and nobody can set it from outside (PR_SET_NO_NEW_PRIVS(2const)). */
function warnOfNewPrivileges({ id, config, warn }: RestoreOptions, pid: number): void {
  if (!config.process?.noNewPrivileges || !/^NoNewPrivs:\t0$/m.test(readTextIfThere(`/proc/${pid}/status`) ?? ""))
    return;
  warn?.(`container ${id}: process.noNewPrivileges is not in force: criu has not restored it`);
}

/** It is a child of this process: its cgroup cannot be removed before it is reaped. */
function endFirstProcess({ record }: Creation): void {
  const { init } = record.lifecycle;
  if (init === undefined) return;
  using pidfd = openProcess(init);
  if (pidfd !== undefined && pidfd_send_signal(pidfd, SIGKILL)) waitForEnd(pidfd, endTimeoutMs);
  reapChild(init.pid);
}
