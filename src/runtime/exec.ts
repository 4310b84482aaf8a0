import { O_WRONLY } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { open } from "../../ffi/files.ts";
import { readFileSync } from "../../ffi/fs.ts";
import { join } from "../../ffi/path.ts";
import { PlanTimeout } from "../../ffi/plan/spawn.ts";
import { openProcess, pidfd_send_signal } from "../../ffi/process.ts";
import { EngineError, isEngineError } from "../core/errors.ts";
import type { LinuxNamespaceType, OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import { accompany } from "./accompany.ts";
import { warnOfUnknownCapabilities } from "./capabilities.ts";
import type { CgroupMembers } from "./cgroup/members.ts";
import { checkArguments } from "./check-config.ts";
import { openConsole } from "./console.ts";
import { containerCgroup } from "./container-cgroup.ts";
import { namespaceFiles, PlanDescriptors } from "./descriptors.ts";
import { withHome } from "./home.ts";
import type { ExecOptions, StartedProcess } from "./options.ts";
import { writePidFile } from "./pid-file.ts";
import type { ExecContext } from "./plan/context.ts";
import { compileExec } from "./plan/exec.ts";
import type { ContainerRecord } from "./record.ts";
import { seccompFilter } from "./seccomp-filter.ts";
import { sendSeccompListener } from "./seccomp-listener.ts";
import { spawnInCgroup } from "./spawn-in-cgroup.ts";
import { containerStatus, ociState } from "./status.ts";
import { lockContainer, readConfig, readRecord } from "./store.ts";

/**
 * How long a process may take to enter a container. What it does there takes a millisecond, but a container that may
 * trace or stop it can hold it up, and the caller's thread with it.
 */
const entryTimeoutMs = 30_000;

/**
 * Starts a process in a container that is there: in its namespaces, its cgroup and below its root. The process is a
 * child of this one. Returns once it has become its program.
 * @throws EngineError not_found; conflict when the container has stopped or is paused; command_not_found and
 * command_not_executable for the program; timeout when the container does not let the process in.
 */
export function execInContainer(root: string, id: string, process: OciProcess, options: ExecOptions): StartedProcess {
  try {
    return enter(root, id, process, options);
  } catch (error) {
    if (!(error instanceof PlanTimeout)) throw error;
    const hint = "a process of the container has stopped it";
    throw new EngineError("timeout", `exec in container ${id}: ${error.message}`, { hint, cause: error });
  }
}

function enter(root: string, id: string, process: OciProcess, options: ExecOptions): StartedProcess {
  checkArguments(process);
  warnOfUnknownCapabilities(process.capabilities, options.warn);
  using console = openConsole(process.terminal ?? false, options.stdio);
  using lock = lockContainer(root, id, "shared");
  const record = readRecord(root, id);
  const status = containerStatus(root, record);
  if (status.status === "creating" || status.status === "stopped") {
    throw new EngineError("conflict", `cannot exec in a ${status.status} container`);
  }
  if (status.status === "paused" && !options.ignorePaused) {
    throw new EngineError("conflict", "cannot exec in a paused container (use --ignore-paused to override)");
  }
  // Its process stands still as soon as it is in the cgroup, until `resume`, which must not wait for it.
  if (status.status === "paused") lock.close();
  using init = openProcess(status.init);
  if (init === undefined) throw new EngineError("conflict", "cannot exec in a stopped container");
  const config = readConfig(root, id);
  const seccomp = seccompFilter(root, config.linux?.seccomp);
  const cgroup = containerCgroup(record);
  const admit = admission(record, options, status.init.pid);
  const environment = withHome(process.env ?? [], `/proc/${status.init.pid}/root`, process.user?.uid ?? 0);

  using descriptors = new PlanDescriptors();
  descriptors.addStdio(options.stdio);
  descriptors.addPreserved(options.preserveFds ?? 0);
  const namespaces = addNamespaces(descriptors, config, status.init.pid);
  const cgroupFallback =
    admit === undefined && cgroup?.version === 2 && addFallback(descriptors, cgroup, status.init.pid);
  // All that was opened by the pid was init's, if init is still there now.
  if (!pidfd_send_signal(init, 0)) throw new EngineError("conflict", "cannot exec in a stopped container");
  const { compiled, process: started } = spawnInCgroup(
    admit === undefined ? cgroup && withSubCgroups(cgroup, options.cgroup ?? []) : undefined,
    descriptors,
    (cgroupProcs, awaitsAdmission) =>
      compileExec(
        { ...process, env: environment },
        {
          id,
          namespaces,
          cgroupProcs,
          cgroupFallback,
          awaitsAdmission,
          ...mappedUsers(config),
          unprivileged: globalThis.process.geteuid?.() !== 0,
          ...(seccomp && { seccomp }),
          preserveFds: options.preserveFds ?? 0,
          keepOrphans: options.keepOrphans ?? false,
        },
      ),
    // A frozen one goes on when it is thawed, and not before.
    { admit, timeoutMs: status.status === "paused" ? undefined : entryTimeoutMs },
  );
  try {
    if (options.pidFile !== undefined) writePidFile(options.pidFile, started.pid);
    accompany(started, compiled, process, {
      config: { process },
      console,
      takeSeccompListener: (listener) =>
        sendSeccompListener(listener, config.linux?.seccomp, { ...ociState(record, status), pid: started.pid }),
    });
    return { pid: started.pid, pidfd: started.pidfd.move() };
  } catch (error) {
    started.kill();
    throw error;
  } finally {
    started[Symbol.dispose]();
  }
}

/**
 * A user's systemd moves the process where he may not, from his session into his container. A container that has made
 * groups below its cgroup leaves no room there: then to its first process.
 */
function admission(
  { cgroupPath, systemd }: ContainerRecord,
  { cgroupDriver, cgroup: below = [] }: ExecOptions,
  init: number,
): ((pid: number) => void) | undefined {
  if (cgroupPath === undefined || systemd === undefined) return undefined;
  const admit = cgroupDriver?.reopen(cgroupPath, systemd).admit;
  if (admit === undefined) return undefined;
  return (pid) => {
    for (const { path } of below) admit(pid, join("/", path));
    if (below.length > 0) return;
    try {
      admit(pid);
    } catch (error) {
      const own = ownCgroup(init);
      if (!isEngineError(error, "conflict") || !own?.startsWith(`${cgroupPath}/`)) throw error;
      admit(pid, own.slice(cgroupPath.length));
    }
  };
}

function ownCgroup(pid: number): string | undefined {
  return /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
}

/** What the container does not share with the host, whether it was made for it or joined. */
function addNamespaces(descriptors: PlanDescriptors, config: RuntimeConfig, pid: number): LinuxNamespaceType[] {
  const types = (config.linux?.namespaces ?? []).map((namespace) => namespace.type);
  for (const type of types) descriptors.addNamespace(type, `/proc/${pid}/ns/${namespaceFiles[type]}`);
  return types;
}

function mappedUsers({ linux = {} }: RuntimeConfig): Pick<ExecContext, "users"> {
  const { namespaces = [], uidMappings } = linux;
  return uidMappings !== undefined && namespaces.some(({ type }) => type === "user") ? { users: uidMappings } : {};
}

/** cgroup v2: a container that has enabled controllers below its cgroup leaves no room there for processes. */
function addFallback(descriptors: PlanDescriptors, cgroup: CgroupMembers, pid: number): boolean {
  const directory = cgroup.directories[""];
  const path = ownCgroup(pid);
  if (directory === undefined || path === undefined) return false;
  const mountPoint = directory.slice(0, directory.length - cgroup.path.length);
  descriptors.add("cgroup.fallback.0", open(join(mountPoint, path, "cgroup.procs"), O_WRONLY));
  return true;
}

/** The container's cgroup with its way in replaced by that of groups below it (`exec --cgroup`). */
function withSubCgroups(
  cgroup: CgroupMembers,
  below: NonNullable<ExecOptions["cgroup"]>,
): Pick<CgroupMembers, "intoCgroupFd" | "procsFds"> {
  if (below.length === 0) return cgroup;
  const paths = new Map(Object.values(cgroup.directories).map((directory) => [directory, directory]));
  for (const { controllers = Object.keys(cgroup.directories), path } of below) {
    for (const controller of controllers) {
      const directory = cgroup.directories[controller];
      if (directory === undefined)
        throw new EngineError("invalid_argument", `--cgroup: no controller ${controller} here`);
      const target = join(directory, path);
      if (target !== directory && !target.startsWith(`${directory}/`)) {
        throw new EngineError("invalid_argument", `--cgroup ${path}: not below the container's cgroup`);
      }
      paths.set(directory, target);
    }
  }
  const procsFds = (): Fd[] => [...paths.values()].map((directory) => open(join(directory, "cgroup.procs"), O_WRONLY));
  return { intoCgroupFd: () => undefined, procsFds };
}
