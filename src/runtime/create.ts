import { AT_FDCWD, O_PATH } from "../../ffi/constants/open.ts";
import { S_IFIFO } from "../../ffi/constants/stat.ts";
import { mknodat, open } from "../../ffi/files.ts";
import { chmodSync } from "../../ffi/fs.ts";
import { EngineError } from "../core/errors.ts";
import type { OciState, RuntimeConfig } from "../oci/runtime.ts";
import { accompany } from "./accompany.ts";
import { warnOfUnknownCapabilities } from "./capabilities.ts";
import { cgroupHierarchies, ownHierarchies } from "./cgroup-hierarchies.ts";
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
import { PlanDescriptors } from "./descriptors.ts";
import { withHome } from "./home.ts";
import { addHookStates } from "./hook-states.ts";
import { runHooks } from "./hooks.ts";
import { makeMappingNamespace } from "./mapping-namespace.ts";
import type { CreateOptions, RunningContainer } from "./options.ts";
import { writePidFile } from "./pid-file.ts";
import { compileInit } from "./plan/init.ts";
import { mappingNamespaces } from "./plan/mappings.ts";
import { sysctlNamespace } from "./plan/proc.ts";
import { seccompFilter } from "./seccomp-filter.ts";
import { sendSeccompListener } from "./seccomp-listener.ts";
import { spawnInCgroup } from "./spawn-in-cgroup.ts";
import { ociState } from "./status.ts";
import { execFifoPath, refuseTakenId } from "./store.ts";
import { writeUserMaps } from "./user-maps.ts";

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
  const { creation, lock } = beginCreation(options, checked);
  using _lock = lock;
  try {
    options.prepareState?.();
    writeFirstRecord(creation);
    makeCgroup(creation);
    return startFirstProcess(creation, console);
  } catch (error) {
    throw abandon(creation, error);
  } finally {
    creation.process?.[Symbol.dispose]();
  }
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
  addMappings(descriptors, options);
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
  if (options.pidFile !== undefined) {
    writePidFile(options.pidFile, init.pid);
    creation.hasPidFile = true;
  }
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

/** The plan refuses what is to be mapped by a user without privileges. */
function addMappings(descriptors: PlanDescriptors, { config, rootfsMount }: CreateOptions): void {
  if (globalThis.process.geteuid?.() !== 0) return;
  for (const { name, mappings } of mappingNamespaces(config, rootfsMount?.mapped)) {
    descriptors.add(name, makeMappingNamespace(mappings.uids, mappings.gids));
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
