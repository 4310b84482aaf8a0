/** What creating and restoring a container have in common: what is recorded first, its cgroup, and taking it all back. */
import { rmSync } from "../../ffi/fs.ts";
import type { PlanProcess } from "../../ffi/plan/spawn.ts";
import { type ProcessIdentity, processStat } from "../../ffi/process.ts";
import { EngineError, errorMessage, isEngineError, isErrno, wrapError } from "../core/errors.ts";
import type { OciHooks } from "../oci/runtime.ts";
import { ociVersion } from "../oci/version.ts";
import { type Cgroup, openCgroup } from "./cgroup/cgroup.ts";
import type { UnitCgroup } from "./cgroup/driver.ts";
import { giveToOwner } from "./cgroup/ownership.ts";
import type { CheckedConfig } from "./check-config.ts";
import { cgroupRecord } from "./container-cgroup.ts";
import { endProcesses } from "./delete.ts";
import type { CreateOptions } from "./options.ts";
import type { ContainerRecord } from "./record.ts";
import { createContainerDirectory, removeContainerDirectory, writeConfig, writeRecord } from "./store.ts";

/** What a creation has made so far, and has to take back if it fails. */
export interface Creation {
  options: CreateOptions;
  checked: CheckedConfig;
  record: ContainerRecord;
  cgroup: Cgroup | UnitCgroup | undefined;
  process: PlanProcess | undefined;
  /** The pid file is this creation's own, not one that was there before. */
  hasPidFile: boolean;
}

/** The container's place and name are taken until the lock is let go. */
export interface BegunCreation {
  creation: Creation;
  lock: Disposable;
}

/**
 * Takes the container's name: its directory, locked. Nothing is written yet.
 * @throws EngineError already_exists; conflict for a cgroup with processes in it.
 */
export function beginCreation(options: CreateOptions, checked: CheckedConfig): BegunCreation {
  const cgroup = openEmptyCgroup(options);
  const lock = createContainerDirectory(options.root, options.id);
  const record = newRecord(options, checked, cgroup);
  return { creation: { options, checked, cgroup, record, process: undefined, hasPidFile: false }, lock };
}

/** From here on everything is found by who deletes the container, should this process be killed. */
export function writeFirstRecord({ options, record }: Creation): void {
  writeConfig(options.root, record.id, options.config);
  writeRecord(options.root, record);
}

/**
 * Without a cgroupsPath it has the container's name, below or beside this process's own (resolveCgroupsPath).
 *
 * A cgroup with processes in it is somebody else's, and would be killed with the container.
 */
function openEmptyCgroup({ config, id, cgroupDriver }: CreateOptions): Cgroup | UnitCgroup {
  const cgroup = cgroupDriver?.design(config, id) ?? openCgroup(config.linux?.cgroupsPath || id);
  const count = cgroup.exists() ? cgroup.pids().length : 0;
  if (count === 0) return cgroup;
  throw new EngineError(
    "conflict",
    `linux.cgroupsPath: cgroup ${cgroup.path} is not empty: ${count} process(es) found`,
  );
}

function newRecord(options: CreateOptions, { rootfs }: CheckedConfig, cgroup: Cgroup | UnitCgroup): ContainerRecord {
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

export function setLifecycle(creation: Creation, lifecycle: ContainerRecord["lifecycle"]): void {
  creation.record = { ...creation.record, lifecycle };
  writeRecord(creation.options.root, creation.record);
}

/**
 * Takes back what was made, and gives the error to throw. Every step is tried. What cannot be taken back stays for
 * `delete --force`, and so does the directory by which that finds it.
 * @param steps what the caller made beside, to be taken back first.
 */
export function abandon(creation: Creation, error: unknown, steps: readonly (() => void)[] = []): EngineError {
  const { options, record, process } = creation;
  const { pidFile } = options;
  const problems: string[] = [];
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (problem) {
      problems.push(errorMessage(problem));
    }
  };
  for (const step of steps) attempt(step);
  attempt(() => process?.kill());
  attempt(() => endProcesses(record, creation.cgroup));
  if (problems.length === 0) attempt(() => removeContainerDirectory(options.root, record.id));
  if (pidFile !== undefined && creation.hasPidFile) attempt(() => rmSync(pidFile, { force: true }));
  const failure = isEngineError(error) ? error : wrapError(error, `create container ${record.id}`);
  if (problems.length === 0) return failure;
  const message = `${failure.message} (and then: ${problems.join("; ")})`;
  return new EngineError(failure.code, message, { cause: error, hint: `delete --force ${record.id}` });
}
