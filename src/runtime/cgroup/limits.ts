/** linux.resources: every limit to its controller. */
import { EngineError } from "../../core/errors.ts";
import type { LinuxDevice, LinuxResources } from "../../oci/runtime.ts";
import { applyBlockIo } from "./block-io.ts";
import { applyCpu } from "./cpu.ts";
import { applyDevices } from "./devices.ts";
import { tryWriteField, writeField } from "./files.ts";
import { applyMemory } from "./memory.ts";
import type { Places } from "./place.ts";

/** @throws EngineError that names the field; unsupported where the host has no controller for it. */
export function applyLimits(resources: LinuxResources, places: Places, devices: readonly LinuxDevice[]): void {
  const { memory, cpu, pids, blockIO, hugepageLimits, network, rdma, unified } = resources;
  if (memory !== undefined) applyMemory(memory, places);
  if (cpu !== undefined) applyCpu(cpu, places);
  if (pids !== undefined) applyPids(pids, places);
  if (blockIO !== undefined) applyBlockIo(blockIO, places);
  if (hugepageLimits !== undefined) applyHugepages(hugepageLimits, places);
  if (network !== undefined) applyNetwork(network, places);
  if (rdma !== undefined) applyRdma(rdma, places);
  // Last, so that it has the last word (config-linux.md, "unified").
  if (unified !== undefined) applyUnified(unified, places);
  if (resources.devices !== undefined) applyDevices(resources.devices, devices, places);
}

function applyPids({ limit }: NonNullable<LinuxResources["pids"]>, places: Places): void {
  if (limit === undefined) return;
  const field = "linux.resources.pids.limit";
  const { directory } = places.require("pids", field);
  // 0 forbids forks as 1 does, but would forbid the first process too, which on v2 is born in its cgroup.
  writeField(field, `${directory}/pids.max`, limit < 0 ? "max" : String(Math.max(1, limit)));
}

function applyHugepages(limits: NonNullable<LinuxResources["hugepageLimits"]>, places: Places): void {
  for (const [index, { pageSize, limit }] of limits.entries()) {
    const field = `linux.resources.hugepageLimits[${index}]`;
    const { version, directory } = places.require("hugetlb", field);
    const name = version === 2 ? "max" : "limit_in_bytes";
    writeField(field, `${directory}/hugetlb.${pageSize}.${name}`, String(limit));
    // Reservations count beside faults since Linux 5.7.
    tryWriteField(field, `${directory}/hugetlb.${pageSize}.rsvd.${name}`, String(limit), "ENOENT");
  }
}

function applyNetwork({ classID, priorities }: NonNullable<LinuxResources["network"]>, places: Places): void {
  const v1 = (controller: string, field: string): string => {
    const place = places.find(controller);
    if (place?.version === 1) return place.directory;
    throw new EngineError("unsupported", `${field}: the ${controller} controller of cgroup v1 is missing`);
  };
  if (classID) {
    const field = "linux.resources.network.classID";
    writeField(field, `${v1("net_cls", field)}/net_cls.classid`, String(classID));
  }
  for (const [index, { name, priority }] of (priorities ?? []).entries()) {
    const field = `linux.resources.network.priorities[${index}]`;
    writeField(field, `${v1("net_prio", field)}/net_prio.ifpriomap`, `${name} ${priority}`);
  }
}

function applyRdma(devices: NonNullable<LinuxResources["rdma"]>, places: Places): void {
  for (const [device, { hcaHandles, hcaObjects }] of Object.entries(devices)) {
    const field = `linux.resources.rdma.${device}`;
    const limits = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    if (limits.length > 0) {
      writeField(field, `${places.require("rdma", field).directory}/rdma.max`, `${device} ${limits.join(" ")}`);
    }
  }
}

/** Files of v2 by name. A hybrid host's v2 hierarchy has none of the controllers that limits are about. */
function applyUnified(files: NonNullable<LinuxResources["unified"]>, places: Places): void {
  for (const [name, value] of Object.entries(files)) {
    const field = `linux.resources.unified[${JSON.stringify(name)}]`;
    if (!/^[a-z][\w.]*$/i.test(name)) throw new EngineError("invalid_argument", `${field}: is not the name of a file`);
    const place = places.unified();
    if (place === undefined || places.version === 1) {
      throw new EngineError("unsupported", `${field}: is for cgroup v2, and this host has cgroup v1`);
    }
    const controller = name.slice(0, name.indexOf("."));
    // cgroup.* belongs to the core and is always there.
    if (controller !== "cgroup") places.require(controller, field);
    for (const line of value.split("\n")) if (line !== "") writeField(field, `${place.directory}/${name}`, line);
  }
}
