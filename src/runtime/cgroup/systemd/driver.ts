/** Cgroups that systemd makes: a scope, or a slice, for each container. */
import type { Fd } from "../../../../ffi/fd.ts";
import { existsSync } from "../../../../ffi/fs.ts";
import { EngineError } from "../../../core/errors.ts";
import type { LinuxDevice, LinuxResources, RuntimeConfig } from "../../../oci/runtime.ts";
import { HostCgroup } from "../cgroup.ts";
import { effectiveRules } from "../device-rules.ts";
import { isInUserNamespace } from "../devices.ts";
import type { CgroupDriver, SystemdUnit, UnitCgroup } from "../driver.ts";
import { type CgroupHost, cgroupHost } from "../hierarchy.ts";
import { annotationProperties } from "./annotations.ts";
import { deviceProperties } from "./devices.ts";
import { type ManagerKind, SystemdManager } from "./manager.ts";
import { placeUnit } from "./names.ts";
import { type Property, property, resourceProperties } from "./properties.ts";

/** sd_booted(3). */
const bootedPath = "/run/systemd/system";

export const systemdDriver: CgroupDriver = {
  design(config, id) {
    refuseOtherInit();
    const manager = managerOfCaller();
    const place = placeUnit(config.linux?.cgroupsPath, id, manager === "user" ? "user.slice" : "system.slice");
    // A wrong annotation is told before anything is made.
    const extra = annotationProperties(config.annotations ?? {});
    const connection = SystemdManager.connect(manager);
    if (connection.isTaken(place.unit)) {
      connection[Symbol.dispose]();
      throw new EngineError("already_exists", `linux.cgroupsPath: systemd has a unit ${place.unit} already`, {
        hint: "another container of that name, or something else's; choose another path",
      });
    }
    const path = `${connection.controlGroup()}${place.path}`;
    const design: Design = { id, slice: place.slice, extra, config };
    return new SystemdCgroup(path, { unit: place.unit, manager }, cgroupHost(), connection, design);
  },
  reopen: (path, unit) => new SystemdCgroup(path, unit, cgroupHost()),
};

/** @throws EngineError unsupported. */
export function refuseOtherInit(path: string = bootedPath): void {
  if (existsSync(path)) return;
  throw new EngineError(
    "unsupported",
    `--systemd-cgroup: systemd is not running on this host: ${path} does not exist`,
    { path, hint: "without the flag the cgroup file system is used" },
  );
}

/** The system's units belong to the host's root; everybody else has a systemd of his own. */
function managerOfCaller(): ManagerKind {
  return process.geteuid?.() === 0 && !isInUserNamespace() ? "system" : "user";
}

/** What a unit that is to be made is made of. */
interface Design {
  id: string;
  slice: string;
  /** From annotations; they have the last word. */
  extra: readonly Property[];
  config: RuntimeConfig;
}

class SystemdCgroup extends HostCgroup implements UnitCgroup {
  readonly unit: SystemdUnit;
  readonly admit?: (pid: number, below?: string) => void;
  /** What systemd leaves to others: v1's hierarchies beside its own; on v2 the controllers that it does not know. */
  readonly #byHand: HostCgroup;
  /** Until the unit is there. */
  readonly #design: Design | undefined;
  #connection: SystemdManager | undefined;

  constructor(path: string, unit: SystemdUnit, host: CgroupHost, connection?: SystemdManager, design?: Design) {
    super(path, host);
    this.unit = unit;
    this.#byHand = new HostCgroup(path, byHand(host));
    this.#connection = connection;
    this.#design = design;
    if (design !== undefined && unit.unit.endsWith(".scope")) this.admit = (pid) => this.#startScope(pid);
    else if (design === undefined && unit.manager === "user") this.admit = (pid, below) => this.#attach(pid, below);
  }

  /** Of a scope, the directories that are not systemd's: it comes with its process. A slice is there afterwards. */
  override create(): void {
    if (this.#design === undefined) return;
    if (this.admit === undefined) this.#start([]);
    if (this.admit === undefined || this.version === 1) this.#byHand.create();
  }

  override apply(resources: LinuxResources, devices?: readonly LinuxDevice[]): void {
    this.#write(resources, devices);
    // A new unit was made with them.
    if (this.#design !== undefined) return;
    // The kernel has accepted them: now systemd's record, which systemd writes to the files as well, rounded.
    this.#update(resources, devices ?? []);
    this.#write(resources, devices);
  }

  #write(resources: LinuxResources, devices: readonly LinuxDevice[] | undefined): void {
    if (this.unit.manager === "system") {
      super.apply(resources, devices);
      return;
    }
    // A user may put no program on a cgroup, and can make no device nodes either.
    const { devices: _, ...others } = resources;
    super.apply(others);
  }

  override procsFds(born = false): Fd[] {
    if (this.#design === undefined || this.admit === undefined) return super.procsFds(born);
    return this.version === 2 ? [] : this.#byHand.procsFds();
  }

  override intoCgroupFd(): Fd | undefined {
    return this.admit === undefined ? super.intoCgroupFd() : undefined;
  }

  override remove(timeoutMs?: number): void {
    this.#use((manager) => manager.stop(this.unit.unit));
    super.remove(timeoutMs);
  }

  /** The connection is not kept: it would fill with signals that nobody reads while the container runs. */
  #use(work: (manager: SystemdManager) => void): void {
    using manager = this.#connection ?? SystemdManager.connect(this.unit.manager);
    this.#connection = undefined;
    work(manager);
  }

  #startScope(pid: number): void {
    this.#start([property("PIDs", "au", [pid]), property("Delegate", "b", true)]);
    if (this.version === 2) this.#byHand.create();
  }

  #start(more: readonly Property[]): void {
    const { id, slice, extra, config } = this.#design!;
    const { resources = {}, devices = [] } = config.linux ?? {};
    const { unit } = this.unit;
    const io = this.version === 2 ? "IOAccounting" : "BlockIOAccounting";
    const accounting = ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"];
    this.#use((manager) => {
      manager.start(unit, [
        property("Description", "s", `tsd container ${id}`),
        // A slice's place is in its name; what is above it only has to be there.
        unit.endsWith(".scope") ? property("Slice", "s", slice) : property("Wants", "as", [slice]),
        ...more,
        ...accounting.map((name) => property(name, "b", true)),
        property("DefaultDependencies", "b", false),
        // A container that has failed leaves no unit behind that nobody would ask about.
        property("CollectMode", "s", "inactive-or-failed"),
        ...this.#properties({ devices: [], ...resources }, devices, manager),
        ...extra,
      ]);
    });
  }

  #properties(resources: LinuxResources, nodes: readonly LinuxDevice[], manager: SystemdManager): Property[] {
    const { devices } = resources;
    return [
      ...resourceProperties(resources, { cgroupVersion: this.version, systemdVersion: manager.version() }),
      ...(devices === undefined || this.unit.manager === "user"
        ? []
        : deviceProperties(effectiveRules(devices, nodes))),
    ];
  }

  /**
   * v1 has no way to change all rules for devices at once: systemd forbids everything for a moment, in which the
   * container is not to run.
   */
  #update(resources: LinuxResources, nodes: readonly LinuxDevice[]): void {
    const freeze = this.version === 1 && resources.devices !== undefined && !this.frozen();
    if (freeze) this.freeze();
    try {
      this.#use((manager) => {
        const properties = this.#properties(resources, nodes, manager);
        if (properties.length > 0) manager.setProperties(this.unit.unit, properties);
      });
    } finally {
      if (freeze) this.thaw();
    }
  }

  #attach(pid: number, below = "/"): void {
    this.#use((manager) => manager.attach(this.unit.unit, below, [pid]));
  }
}

function byHand(host: CgroupHost): CgroupHost {
  if (host.version === 2) return host;
  // systemd's own tell it which unit a process belongs to: nobody else moves processes there.
  const hierarchies = host.hierarchies.filter(({ version, controllers }) => {
    return version === 1 && !controllers.includes("name=systemd");
  });
  return { version: 1, hierarchies };
}
