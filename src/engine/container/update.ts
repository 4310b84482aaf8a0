/** `update`: limits and the restart policy of a container that is there, in its record and, while it runs, in its cgroup. */
import type { ContainerUpdateRequest, HostConfig, Resources } from "../../api/schema/container-config.ts";
import { withoutSync } from "../../core/database.ts";
import { EngineError, errorMessage, isEngineError, wrapError } from "../../core/errors.ts";
import { log } from "../../core/log.ts";
import type { EngineContext } from "../context.ts";
import type { Container } from "./container.ts";
import { isOver } from "./ended.ts";
import { containerEvent } from "./event.ts";
import { checkRestartPolicy, restarts } from "./restart-policy.ts";

/**
 * All or nothing. The record comes first, with what it said before: a daemon that is killed in between is followed by
 * one that finishes the update (settleUpdate).
 * @returns warnings in docker's words.
 * @throws EngineError invalid_argument for what no container can have; conflict for what this one cannot; what the
 * kernel
 *   said, naming the limit.
 */
export async function updateContainer(
  context: EngineContext,
  container: Container,
  { RestartPolicy, ...resources }: ContainerUpdateRequest,
): Promise<string[]> {
  if (RestartPolicy !== undefined) checkRestartPolicy(RestartPolicy);
  const { hostConfig: settled, warnings } = context.bundles.settleLimits(resources, { isUpdate: true });
  await context.locks.run(container.id, async () => {
    try {
      const asked = { ...settled, ...(RestartPolicy?.Name && { RestartPolicy }) };
      await change(context, container, asked);
    } catch (error) {
      throw wrapError(error, `Cannot update container ${container.id}`, { stage: "update" });
    }
    containerEvent(context, container, "update");
  });
  return warnings;
}

async function change(context: EngineContext, container: Container, asked: HostConfig): Promise<void> {
  const { state, definition } = container;
  if (container.removed || state.status === "removing" || state.status === "dead") {
    throw conflict('container is marked for removal and cannot be "update"');
  }
  const before = definition.hostConfig;
  const after = updated(before, asked);
  if (state.status !== "running") {
    context.containers.setHostConfig(container, after);
    return;
  }
  // What is wrong with it is said before anything is changed.
  const limits = context.bundles.updateResources(asked, before, after);
  if (Object.keys(limits).length === 0) {
    context.containers.setHostConfig(container, after);
    return;
  }
  const shim = container.runningShim();
  context.containers.setHostConfig(container, after, before);
  try {
    await shim.update(limits);
  } catch (error) {
    // What has just ended has the new limits when it starts again.
    if (!(await isOver(container, shim))) {
      takeBack(context, container, before);
      throw explained(error);
    }
  }
  finished(context, container);
}

/** The limits as they were. What else has changed meanwhile stays, as links to a container that was renamed do. */
function takeBack({ containers }: EngineContext, container: Container, before: HostConfig): void {
  const hostConfig = { ...container.definition.hostConfig };
  for (const field of [...numbersAndTexts, ...lists, "PidsLimit", "RestartPolicy"] as const) {
    delete hostConfig[field];
    if (before[field] !== undefined) Object.assign(hostConfig, { [field]: before[field] });
  }
  containers.setHostConfig(container, hostConfig);
}

/** For this boot only: no need to wait for the disk. */
function finished({ containers, database }: EngineContext, container: Container): void {
  withoutSync(database, () => containers.setHostConfig(container, container.definition.hostConfig));
}

/** What a daemon that was killed has begun: the record is what is to be. */
export async function settleUpdate(context: EngineContext, container: Container): Promise<void> {
  const { hostConfig, updatedFrom } = container.definition;
  if (updatedFrom === undefined) return;
  const { shim } = container;
  if (container.state.status === "running" && shim !== undefined) {
    try {
      await shim.update(context.bundles.updateResources(hostConfig, updatedFrom, hostConfig));
      log("info", "finished an update", { container: container.id });
    } catch (error) {
      if (await isOver(container, shim)) return finished(context, container);
      log("warn", "could not finish an update", { container: container.id, error: errorMessage(error) });
      // It was refused as a whole: the limits are what they were.
      takeBack(context, container, updatedFrom);
      return;
    }
  }
  finished(context, container);
}

/** Docker's rules: 0 and "" leave a limit as it is, and so does a list that is not there. */
function updated(before: HostConfig, asked: HostConfig): HostConfig {
  checkTogether(before, asked);
  const after = { ...before };
  for (const field of numbersAndTexts) if (asked[field]) Object.assign(after, { [field]: asked[field] });
  for (const field of lists) if (asked[field] !== undefined) Object.assign(after, { [field]: asked[field] });
  if (asked.PidsLimit !== undefined) after.PidsLimit = asked.PidsLimit;
  if (asked.RestartPolicy !== undefined) {
    if (before.AutoRemove && restarts(asked.RestartPolicy)) {
      throw conflict("Restart policy cannot be updated because AutoRemove is enabled for the container");
    }
    after.RestartPolicy = { MaximumRetryCount: 0, ...asked.RestartPolicy };
  }
  return after;
}

const numbersAndTexts = [
  "BlkioWeight",
  "CpuShares",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpusetCpus",
  "CpusetMems",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "Memory",
  "MemorySwap",
  "MemoryReservation",
] as const satisfies (keyof Resources)[];

const lists = [
  "BlkioWeightDevice",
  "BlkioDeviceReadBps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteIOps",
] as const satisfies (keyof Resources)[];

/** @throws EngineError conflict in docker's words for what cannot stand beside limits that the container has. */
function checkTogether(has: Resources, asked: Resources): void {
  const set = (value: number | undefined) => (value ?? 0) > 0;
  const both = (one: string, other: string) =>
    conflict(`Conflicting options: ${one} cannot be updated as ${other} has already been set`);
  if (set(asked.NanoCpus) && set(has.CpuPeriod)) throw both("Nano CPUs", "CPU Period");
  if (set(asked.NanoCpus) && set(has.CpuQuota)) throw both("Nano CPUs", "CPU Quota");
  if (set(asked.CpuPeriod) && set(has.NanoCpus)) throw both("CPU Period", "NanoCPUs");
  if (set(asked.CpuQuota) && set(has.NanoCpus)) throw both("CPU Quota", "NanoCPUs");
  if (set(asked.Memory) && !asked.MemorySwap && asked.Memory! > (has.MemorySwap ?? 0)) {
    throw conflict(
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    );
  }
}

function explained(error: unknown): unknown {
  if (!isEngineError(error, "invalid_argument") || !error.message.includes("there is no request")) return error;
  return new EngineError(
    "unsupported",
    "it was started by an earlier version of tsd, and keeps its limits until its end",
    {
      hint: "update it while it is stopped",
      cause: error,
    },
  );
}

function conflict(message: string): EngineError {
  return new EngineError("conflict", message);
}
