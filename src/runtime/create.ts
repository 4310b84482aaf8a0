import { AT_FDCWD, O_PATH } from "../../ffi/constants/open.ts";
import { S_IFIFO } from "../../ffi/constants/stat.ts";
import { mknodat, open } from "../../ffi/files.ts";
import { chmodSync, rmSync } from "../../ffi/fs.ts";
import type { PlanProcess } from "../../ffi/plan/spawn.ts";
import { type ProcessIdentity, pidfd_send_signal, processStat } from "../../ffi/process.ts";
import { EngineError, errorMessage, isEngineError, isErrno, wrapError } from "../core/errors.ts";
import type { OciHooks, OciState, RuntimeConfig } from "../oci/runtime.ts";
import { ociVersion } from "../oci/version.ts";
import { accompany } from "./accompany.ts";
import { warnOfUnknownCapabilities } from "./capabilities.ts";
import { type Cgroup, openCgroup } from "./cgroup/cgroup.ts";
import type { UnitCgroup } from "./cgroup/driver.ts";
import { giveToOwner } from "./cgroup/ownership.ts";
import { cgroupHierarchies, ownHierarchies } from "./cgroup-hierarchies.ts";
import { type CheckedConfig, checkConfig } from "./check-config.ts";
import { type ConsoleReceiver, openConsole } from "./console.ts";
import { cgroupRecord } from "./container-cgroup.ts";
import { endProcesses } from "./delete.ts";
import { PlanDescriptors } from "./descriptors.ts";
import { withHome } from "./home.ts";
import { addHookStates } from "./hook-states.ts";
import { runHooks } from "./hooks.ts";
import type { CreateOptions, RunningContainer } from "./options.ts";
import { writePidFile } from "./pid-file.ts";
import { compileInit } from "./plan/init.ts";
import { sysctlNamespace } from "./plan/proc.ts";
import type { ContainerRecord } from "./record.ts";
import { seccompFilter } from "./seccomp-filter.ts";
import { sendSeccompListener } from "./seccomp-listener.ts";
import { spawnInCgroup } from "./spawn-in-cgroup.ts";
import { ociState } from "./status.ts";
import {
  createContainerDirectory,
  execFifoPath,
  refuseTakenId,
  removeContainerDirectory,
  writeConfig,
  writeRecord,
} from "./store.ts";
import { writeUserMaps } from "./user-maps.ts";

const SIGKILL = 9;

/** What a creation has made so far, and has to take back if it fails. */
export interface Creation {
  options: CreateOptions;
  checked: CheckedConfig;
  record: ContainerRecord;
  cgroup: Cgroup | UnitCgroup | undefined;
  process: PlanProcess | undefined;
}

/**
 * Makes a container of a configuration: its state, its cgroup, and its first process, in its namespaces. The process is
 * a child of this one. The thread stands still until the process waits for `start`, or has become its program.
 * @throws EngineError; nothing is left of the container then. command_not_found and command_not_executable mean the
 * program, and are certain only with `start: "now"`.
 */
export function createContainer(options: CreateOptions): RunningContainer {
  const { root, id } = options;
  refuseTakenId(root, id);
  const checked = checkConfig(options.config, options.bundle, options.rootfsMount);
  warnOfUnknownCapabilities(checked.process.capabilities, options.warn);
  using console = openConsole(checked.process.terminal ?? false, options.stdio);
  const cgroup = openEmptyCgroup(options);
  using _lock = createContainerDirectory(root, id);
  const creation: Creation = {
    options,
    checked,
    cgroup,
    record: newRecord(options, checked, cgroup),
    process: undefined,
  };
  try {
    options.prepareState?.();
    writeConfig(root, id, options.config);
    // From here on everything is found by who deletes the container, should this process be killed.
    writeRecord(root, creation.record);
    makeCgroup(creation);
    return startFirstProcess(creation, console);
  } catch (error) {
    throw abandon(creation, error);
  } finally {
    creation.process?.[Symbol.dispose]();
  }
}

/**
 * Without a cgroupsPath it has the container's name, below or beside this process's own (resolveCgroupsPath).
 *
 * A cgroup with processes in it is somebody else's, and would be killed with the container.
 */
export function openEmptyCgroup({ config, id, cgroupDriver }: CreateOptions): Cgroup | UnitCgroup {
  const cgroup = cgroupDriver?.design(config, id) ?? openCgroup(config.linux?.cgroupsPath || id);
  const count = cgroup.exists() ? cgroup.pids().length : 0;
  if (count === 0) return cgroup;
  throw new EngineError(
    "conflict",
    `linux.cgroupsPath: cgroup ${cgroup.path} is not empty: ${count} process(es) found`,
  );
}

export function newRecord(
  options: CreateOptions,
  { rootfs }: CheckedConfig,
  cgroup: Cgroup | UnitCgroup,
): ContainerRecord {
  const { config, id, bundle } = options;
  return {
    id,
    bundle,
    rootfs,
    ociVersion,
    createdAt: new Date().toISOString(),
    ownerUid: process.geteuid?.() ?? 0,
    ...(config.annotations && { annotations: config.annotations }),
    ...laterHooks(config.hooks),
    ...cgroupRecord(cgroup),
    ...("unit" in cgroup && { systemd: cgroup.unit }),
    lifecycle: { phase: "creating", creator: identityOf(process.pid) },
  };
}

function laterHooks({ poststart, poststop }: OciHooks = {}): Pick<ContainerRecord, "hooks"> {
  const hooks = { ...(poststart?.length && { poststart }), ...(poststop?.length && { poststop }) };
  return Object.keys(hooks).length === 0 ? {} : { hooks };
}

export function identityOf(pid: number): ProcessIdentity {
  const stat = processStat(pid);
  if (stat === undefined) throw new Error(`process ${pid} is gone`);
  return { pid, startTime: stat.startTime };
}

export function makeCgroup(creation: Creation): void {
  const { options, cgroup } = creation;
  const { linux } = options.config;
  try {
    cgroup?.create();
    if (admission(creation) === undefined) limitCgroup(creation);
  } catch (error) {
    if (isTaken(creation, error)) forgetCgroup(creation);
    if ("unit" in (cgroup ?? {}) || !options.ignoreCgroupErrors || !isErrno(error, "EACCES", "EPERM", "EROFS"))
      throw error;
    // Nobody misses the cgroup of a container that asked for nothing.
    if (linux?.cgroupsPath || linux?.resources) options.warn?.(`going on without a cgroup: ${errorMessage(error)}`);
    forgetCgroup(creation);
  }
}

function limitCgroup({ options: { config }, cgroup }: Creation): void {
  cgroup?.apply(config.linux?.resources ?? {}, config.linux?.devices ?? []);
  if (cgroup !== undefined) giveToOwner(cgroup, config);
}

/** How the first process comes into a cgroup that is made with it. */
export function admission(creation: Creation): ((pid: number) => void) | undefined {
  const { cgroup } = creation;
  if (cgroup === undefined || !("admit" in cgroup) || cgroup.admit === undefined) return undefined;
  const { admit } = cgroup;
  return (pid) => {
    try {
      admit(pid);
    } catch (error) {
      if (isTaken(creation, error)) forgetCgroup(creation);
      throw error;
    }
    limitCgroup(creation);
  };
}

/** The unit is somebody else's: it must not be stopped with what was made of the container. */
function isTaken({ cgroup }: Creation, error: unknown): boolean {
  return cgroup !== undefined && "unit" in cgroup && isEngineError(error, "already_exists");
}

function forgetCgroup(creation: Creation): void {
  const { cgroupPath: _path, cgroupHost: _host, systemd: _unit, ...record } = creation.record;
  creation.cgroup = undefined;
  creation.record = record;
  writeRecord(creation.options.root, record);
}

function startFirstProcess(creation: Creation, console: ConsoleReceiver | undefined): RunningContainer {
  const { options, checked, cgroup } = creation;
  const { root, id, config, bundle } = options;
  using descriptors = new PlanDescriptors();
  descriptors.addStdio(options.stdio);
  descriptors.addPreserved(options.preserveFds ?? 0);
  for (const { type, path } of config.linux?.namespaces ?? []) {
    if (path) descriptors.addNamespace(type, path);
  }
  refuseHostSysctls(config, descriptors);
  if (options.start === "wait") makeExecFifo(root, id, descriptors);
  const writeHookStates = addHookStates(descriptors, config.hooks);
  const seccomp = seccompFilter(root, config.linux?.seccomp);
  const withEnvironment = { ...config, process: { ...checked.process, env: environment(creation) } };
  const compile = (cgroupProcs: number, awaitsAdmission: boolean) =>
    compileInit(withEnvironment, {
      id,
      bundle,
      start: options.start,
      cgroupProcs,
      awaitsAdmission,
      cgroupHierarchies: cgroup === undefined ? ownHierarchies() : cgroupHierarchies(cgroup),
      ...(seccomp && { seccomp }),
      ...(options.rootfsMount && { rootfsMount: options.rootfsMount }),
      preserveFds: options.preserveFds ?? 0,
      noPivot: options.noPivot ?? false,
      unprivileged: globalThis.process.geteuid?.() !== 0,
      noNewKeyring: options.noNewKeyring ?? false,
    });
  const { compiled, process } = spawnInCgroup(cgroup, descriptors, compile, {
    admit: admission(creation),
  });
  creation.process = process;
  const init = identityOf(process.pid);
  setLifecycle(creation, { phase: "creating", creator: identityOf(globalThis.process.pid), init });
  if (options.pidFile !== undefined) writePidFile(options.pidFile, init.pid);
  accompany(process, compiled, checked.process, {
    config,
    container: { config, rootfs: checked.rootfs },
    writeUserMaps: () => writeUserMaps(init.pid, config.linux?.uidMappings ?? [], config.linux?.gidMappings ?? []),
    runCreateHooks: () => {
      const state: OciState = { ...ociState(creation.record, { status: "creating" }), pid: init.pid };
      runHooks("prestart", config.hooks?.prestart, state);
      runHooks("createRuntime", config.hooks?.createRuntime, state);
      writeHookStates(state);
    },
    console,
    takeSeccompListener: (listener) => {
      const state: OciState = { ...ociState(creation.record, { status: "creating" }), pid: init.pid };
      sendSeccompListener(listener, config.linux?.seccomp, state);
    },
  });
  setLifecycle(creation, { phase: "created", init });
  if (options.start === "now") {
    runHooks("poststart", config.hooks?.poststart, ociState(creation.record, { status: "running", init }));
  }
  return { id, pid: init.pid, pidfd: process.pidfd.move() };
}

export function setLifecycle(creation: Creation, lifecycle: ContainerRecord["lifecycle"]): void {
  creation.record = { ...creation.record, lifecycle };
  writeRecord(creation.options.root, creation.record);
}

/** An overlay's files are not there yet, and its maker knows the image's users: the environment is complete then. */
function environment({ options, checked }: Creation): string[] {
  const { env = [], user } = checked.process;
  return options.rootfsMount === undefined ? withHome(env, checked.rootfs, user?.uid ?? 0) : env;
}

function makeExecFifo(root: string, id: string, descriptors: PlanDescriptors): void {
  const path = execFifoPath(root, id);
  mknodat(AT_FDCWD, path, S_IFIFO | 0o600);
  // In spite of the umask: the process that opens it may be another user by then.
  chmodSync(path, 0o622);
  descriptors.add("execFifo", open(path, O_PATH));
}

/** Takes back what was made, and gives the error to throw. What cannot be taken back stays for `delete --force`. */
export function abandon(creation: Creation, error: unknown): EngineError {
  const { options, record, process } = creation;
  const failure = isEngineError(error) ? error : wrapError(error, `create container ${record.id}`);
  try {
    if (options.pidFile !== undefined && process !== undefined) rmSync(options.pidFile, { force: true });
    if (process !== undefined) {
      pidfd_send_signal(process.pidfd, SIGKILL);
      process.reap();
    }
    endProcesses(record, creation.cgroup);
    removeContainerDirectory(options.root, record.id);
    return failure;
  } catch (problem) {
    const message = `${failure.message} (and then: ${errorMessage(problem)})`;
    return new EngineError(failure.code, message, { cause: error, hint: `delete --force ${record.id}` });
  }
}

/** A sysctl of a namespace that was joined by path and is the host's own would be the host's. */
function refuseHostSysctls(config: RuntimeConfig, descriptors: PlanDescriptors): void {
  for (const key of Object.keys(config.linux?.sysctl ?? {})) {
    const namespace = sysctlNamespace(key);
    if (namespace === undefined || !descriptors.isOwnNamespace(namespace)) continue;
    throw new EngineError(
      "invalid_argument",
      `linux.sysctl["${key}"]: not allowed in the host's ${namespace} namespace`,
    );
  }
}
