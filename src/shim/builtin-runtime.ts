/** The built-in runtime, in the shim's own process: no program is started but the container's. */
import type { Fd } from "../../ffi/fd.ts";
import { isEngineError } from "../core/errors.ts";
import { log } from "../core/log.ts";
import type { LinuxResources, OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import { type Cgroup, openCgroup } from "../runtime/cgroup/cgroup.ts";
import type { OomFigures } from "../runtime/cgroup/stats.ts";
import {
  type ContainerStdio,
  createContainer,
  deleteContainer,
  execInContainer,
  keepFailure,
  killContainer,
} from "../runtime/container.ts";
import type { RuntimeDriver } from "./driver.ts";
import type { CheckpointPlace, ShimContainer } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";

export class BuiltinRuntime implements RuntimeDriver {
  readonly #container: ShimContainer;
  readonly #config: RuntimeConfig;
  /** Knows which children are criu. */
  readonly #reaper: Reaper;
  readonly sharesPidNamespace: boolean;

  constructor(container: ShimContainer, config: RuntimeConfig, reaper: Reaper) {
    this.#reaper = reaper;
    this.#container = container;
    this.#config = config;
    this.sharesPidNamespace = !config.linux?.namespaces?.some(({ type, path }) => type === "pid" && path === undefined);
  }

  async run(stdio: ContainerStdio, onPid: (pid: number) => void): Promise<void> {
    const { id, bundle, runtimeRoot, rootfsMount, noPivot, noNewKeyring, restore } = this.#container;
    try {
      if (restore !== undefined) {
        const { restoreFrom } = await import("./checkpoints.ts");
        const { pid, pidfd } = await restoreFrom(restore, this.#container, this.#config, stdio, this.#reaper);
        report(pid, pidfd, onPid);
        return;
      }
      const { pid, pidfd } = createContainer({
        id,
        bundle,
        root: runtimeRoot,
        config: this.#config,
        stdio,
        start: "now",
        ...(rootfsMount !== undefined && { rootfsMount }),
        ...(noPivot !== undefined && { noPivot }),
        ...(noNewKeyring !== undefined && { noNewKeyring }),
      });
      report(pid, pidfd, onPid);
    } catch (error) {
      await this.#keepFailure("run", error);
      throw error;
    }
  }

  async exec(
    process: OciProcess,
    stdio: ContainerStdio,
    onPid: (pid: number) => void,
    { keepOrphans }: { keepOrphans: boolean },
  ): Promise<void> {
    try {
      const { runtimeRoot, id } = this.#container;
      const { pid, pidfd } = execInContainer(runtimeRoot, id, process, { stdio, keepOrphans });
      report(pid, pidfd, onPid);
    } catch (error) {
      await this.#keepFailure("exec", error);
      throw error;
    }
  }

  /** For `tsd runtime --root STATE/runtime explain --failed ID`. */
  #keepFailure(verb: "run" | "exec", error: unknown): Promise<void> {
    const { runtimeRoot, id } = this.#container;
    return keepFailure(runtimeRoot, verb, id, error, { warn: (message) => log("warn", message) });
  }

  async signal(signal: number, all: boolean): Promise<void> {
    killContainer(this.#container.runtimeRoot, this.#container.id, signal, all);
  }

  async pause(): Promise<void> {
    this.#cgroup().freeze();
  }

  async resume(): Promise<void> {
    this.#cgroup().thaw();
  }

  /** Loaded when it is asked for: most containers keep the limits that they were made with. */
  async update(resources: LinuxResources): Promise<void> {
    const { updateContainer } = await import("../runtime/update.ts");
    updateContainer(this.#container.runtimeRoot, this.#container.id, resources);
  }

  async checkpoint(options: CheckpointPlace & { leaveRunning: boolean }): Promise<void> {
    const { saveTo } = await import("./checkpoints.ts");
    await saveTo(options, this.#container, this.#reaper);
  }

  oomFigures(): OomFigures | undefined {
    return this.#cgroup().oomFigures();
  }

  async remove(): Promise<void> {
    try {
      deleteContainer(this.#container.runtimeRoot, this.#container.id, { force: true });
    } catch (error) {
      if (!isEngineError(error, "not_found")) throw error;
    }
  }

  #cgroup(): Cgroup {
    return openCgroup(this.#config.linux?.cgroupsPath || this.#container.id);
  }
}

/** The shim hears of the end by SIGCHLD; nobody else can reap its children, so their numbers stay theirs. */
function report(pid: number, pidfd: Fd, onPid: (pid: number) => void): void {
  pidfd.close();
  onPid(pid);
}
