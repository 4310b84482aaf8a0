/** The bundle part, with the host that it needs to know read once. */
import { renameSync, writeFileSync } from "node:fs";
import { initExecutable } from "../../ffi/init/program.ts";
import type { ContainerConfig, HostConfig } from "../api/schema/container-config.ts";
import type { ExecCreateRequest } from "../api/schema/exec.ts";
import { applyEdits } from "../bundle/cdi/edits.ts";
import { CdiRegistry } from "../bundle/cdi/registry.ts";
import { requestedEdits } from "../bundle/cdi/requests.ts";
import { defaultPath } from "../bundle/environment.ts";
import { readHost } from "../bundle/host.ts";
import type { BundleHost, BundleImageConfig, BundleInput, BundleMount, BundleUser } from "../bundle/input.ts";
import { settleLimits } from "../bundle/limits.ts";
import { containerMounts } from "../bundle/mounts.ts";
import { bundleConfig, bundleProcess, hiddenPaths, imageBundleConfig, runsInit } from "../bundle/spec.ts";
import { updateResources } from "../bundle/update-resources.ts";
import { lookupUser } from "../bundle/users.ts";
import type { LinuxResources, OciMount, OciProcess, RuntimeConfig } from "../oci/runtime.ts";
import type { ContainerDefinition } from "./container/definition.ts";
import type { Layout } from "./layout.ts";
import type { BundlePart, DiscoveredDevices, ProcessSurroundings, SettledLimits } from "./parts.ts";

export class Bundles implements BundlePart {
  readonly #layout: Layout;
  readonly #cdi: CdiRegistry;
  #host: BundleHost | undefined;

  /** @param cdiFolders where files of CDI are; later ones take precedence. */
  constructor(layout: Layout, cdiFolders: readonly string[]) {
    this.#layout = layout;
    this.#cdi = new CdiRegistry(cdiFolders);
  }

  get host(): BundleHost {
    this.#host ??= readHost();
    return this.#host;
  }

  config(input: Omit<BundleInput, "host">): RuntimeConfig {
    const config = this.#bundleConfig(input);
    for (const edits of requestedEdits(input.hostConfig.DeviceRequests ?? [], this.#cdi)) {
      applyEdits(config, edits, this.host);
    }
    if (runsInit(input.hostConfig)) writeInit(this.#layout.container(input.id).init, config.process!);
    return config;
  }

  settleLimits(hostConfig: HostConfig, options: { isUpdate?: boolean } = {}): SettledLimits {
    return settleLimits(hostConfig, this.host, options);
  }

  updateResources(asked: HostConfig, before: HostConfig, after: HostConfig): LinuxResources {
    return updateResources(asked, before, after, this.host);
  }

  hiddenPaths(hostConfig: HostConfig): Pick<HostConfig, "MaskedPaths" | "ReadonlyPaths"> {
    const { maskedPaths, readonlyPaths } = hiddenPaths(hostConfig, this.host);
    return {
      ...(maskedPaths && { MaskedPaths: maskedPaths }),
      ...(readonlyPaths && { ReadonlyPaths: readonlyPaths }),
    };
  }

  check(config: ContainerConfig, hostConfig: HostConfig): void {
    const namespace = (mode = "") => (mode.startsWith("container:") ? { path: "/proc/self/ns/checked" } : undefined);
    const ipc = namespace(hostConfig.IpcMode)?.path;
    const pid = namespace(hostConfig.PidMode)?.path;
    const network = namespace(hostConfig.NetworkMode)?.path;
    this.#bundleConfig({
      id: "",
      config,
      // Privileged containers have every device of the host: looking for them all takes longer than the rest.
      hostConfig: { ...hostConfig, Privileged: false, Devices: [] },
      rootfs: "/",
      user: { uid: 0, gid: 0, additionalGids: [], home: "/" },
      mounts: [],
      namespacePaths: { ...(ipc && { ipc }), ...(pid && { pid }), ...(network && { network }) },
      cgroupsPath: "/",
    });
  }

  discoveredDevices(): DiscoveredDevices {
    const { devices, errors } = this.#cdi.read();
    return {
      names: [...devices.keys()],
      warnings: errors.map(({ path, message }) => `CDI: Error associated with spec file ${path}: ${message}`),
    };
  }

  imageConfig(image: BundleImageConfig, user: BundleUser): RuntimeConfig {
    return imageBundleConfig(image, { host: this.host, user });
  }

  mounts(hostConfig: HostConfig, mounts: readonly BundleMount[]): OciMount[] {
    const choices = { hostConfig, mounts, tmpfs: [], host: this.host, writableCgroups: false };
    return containerMounts(choices).filter(({ type }) => type === "bind");
  }

  user(layers: readonly string[], user: string, groupAdd: readonly string[]): BundleUser {
    return lookupUser(layers, user, groupAdd);
  }

  /**
   * A further process has the first one's surroundings: its variables, directory, user and capabilities, where the
   * request does not say otherwise. What belongs to the container as a whole is left out: it is there already.
   */
  process(
    definition: ContainerDefinition,
    request: ExecCreateRequest,
    { layers, extraEnvironment }: ProcessSurroundings,
  ): OciProcess {
    const { config, hostConfig } = definition;
    const user = request.User || config.User || "";
    return bundleProcess({
      id: "",
      config: {
        ...config,
        Entrypoint: [],
        Cmd: request.Cmd ?? [],
        Env: [...(config.Env ?? []), ...(request.Env ?? [])],
        Tty: request.Tty === true,
        WorkingDir: request.WorkingDir || config.WorkingDir || "",
      },
      hostConfig: {
        CapAdd: hostConfig.CapAdd ?? [],
        CapDrop: hostConfig.CapDrop ?? [],
        Privileged: hostConfig.Privileged === true || request.Privileged === true,
        Ulimits: hostConfig.Ulimits ?? [],
        OomScoreAdj: hostConfig.OomScoreAdj ?? 0,
        // The filter is the container's: the shim has it.
        SecurityOpt: (hostConfig.SecurityOpt ?? []).filter((option) => !option.startsWith("seccomp")),
        ConsoleSize: request.ConsoleSize ?? [],
      },
      extraEnvironment,
      rootfs: "/",
      user: this.user(layers, user, hostConfig.GroupAdd ?? []),
      mounts: [],
      cgroupsPath: "",
      host: this.host,
    });
  }

  #bundleConfig(input: Omit<BundleInput, "host">): RuntimeConfig {
    const { init } = this.#layout.container(input.id);
    return bundleConfig({ ...input, initPath: init, host: this.host });
  }
}

/** The file is replaced: what still runs of the last start could not be written to (ETXTBSY). */
function writeInit(path: string, { args, env = [] }: OciProcess): void {
  const [, _separator, name] = args!;
  const variable = env.findLast((entry) => entry.startsWith("PATH="));
  const program = initExecutable({ name: name!, path: variable?.slice("PATH=".length) ?? defaultPath });
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, program, { mode: 0o755 });
  renameSync(temporary, path);
}
