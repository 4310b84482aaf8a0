import type { ContainerUpdateRequest } from "../../api/schema/container-config.ts";
import { throttleBytesFlag, throttleOperationsFlag, weightDeviceFlag } from "../block-device-flag.ts";
import { command, type Invocation, someArguments } from "../command.ts";
import { forEach } from "../each.ts";
import { bytesFlag, intFlag, nanoCpusFlag, stringFlag, UsageError, uint16Flag } from "../flags.ts";
import { restartPolicy } from "../life-flags.ts";
import { printLine } from "../output.ts";

const flags = {
  "blkio-weight": uint16Flag("Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
  "blkio-weight-device": weightDeviceFlag("Block IO weight (relative device weight)"),
  "cpu-period": intFlag("Limit CPU CFS (Completely Fair Scheduler) period"),
  "cpu-quota": intFlag("Limit CPU CFS (Completely Fair Scheduler) quota"),
  "cpu-rt-period": intFlag("Limit the CPU real-time period in microseconds"),
  "cpu-rt-runtime": intFlag("Limit the CPU real-time runtime in microseconds"),
  "cpu-shares": intFlag("CPU shares (relative weight)", { short: "c" }),
  cpus: nanoCpusFlag("Number of CPUs"),
  "cpuset-cpus": stringFlag("CPUs in which to allow execution (0-3, 0,1)"),
  "cpuset-mems": stringFlag("MEMs in which to allow execution (0-3, 0,1)"),
  "device-read-bps": throttleBytesFlag("Limit read rate (bytes per second) from a device"),
  "device-read-iops": throttleOperationsFlag("Limit read rate (IO per second) from a device"),
  "device-write-bps": throttleBytesFlag("Limit write rate (bytes per second) to a device"),
  "device-write-iops": throttleOperationsFlag("Limit write rate (IO per second) to a device"),
  memory: bytesFlag("Memory limit", { short: "m" }),
  "memory-reservation": bytesFlag("Memory soft limit"),
  "memory-swap": bytesFlag("Swap limit equal to memory plus swap: -1 to enable unlimited swap", { unlimited: true }),
  "pids-limit": intFlag("Tune container pids limit (set -1 for unlimited)"),
  restart: stringFlag("Restart policy to apply when a container exits"),
};

export const updateCommand = command({
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Update configuration of one or more containers",
  aliases: ["container update", "update"],
  flags,
  arity: someArguments,
  run: async (invocation) => {
    const { session, given, positionals } = invocation;
    if (given.size === 0) throw new UsageError("you must provide one or more flags when using this command", 1);
    const request = updateRequest(invocation);
    const client = await session.client();
    const warnings: string[] = [];
    const status = await forEach(positionals, async (name) => {
      warnings.push(...((await client.updateContainer(name, request)).Warnings ?? []));
      return undefined;
    });
    for (const warning of warnings) printLine(warning);
    return status;
  },
});

/** What was not given is left out; zeros leave a limit as it is. */
function updateRequest({ flags: values, given }: Invocation<typeof flags>): ContainerUpdateRequest {
  const numbersAndTexts = {
    BlkioWeight: values["blkio-weight"],
    CpuPeriod: values["cpu-period"],
    CpuQuota: values["cpu-quota"],
    CpuRealtimePeriod: values["cpu-rt-period"],
    CpuRealtimeRuntime: values["cpu-rt-runtime"],
    CpuShares: values["cpu-shares"],
    NanoCpus: values.cpus,
    CpusetCpus: values["cpuset-cpus"],
    CpusetMems: values["cpuset-mems"],
    Memory: values.memory,
    MemoryReservation: values["memory-reservation"],
    MemorySwap: values["memory-swap"],
    PidsLimit: values["pids-limit"],
  };
  return {
    ...Object.fromEntries(Object.entries(numbersAndTexts).filter(([, value]) => value)),
    ...(given.has("blkio-weight-device") && { BlkioWeightDevice: values["blkio-weight-device"] }),
    ...(given.has("device-read-bps") && { BlkioDeviceReadBps: values["device-read-bps"] }),
    ...(given.has("device-read-iops") && { BlkioDeviceReadIOps: values["device-read-iops"] }),
    ...(given.has("device-write-bps") && { BlkioDeviceWriteBps: values["device-write-bps"] }),
    ...(given.has("device-write-iops") && { BlkioDeviceWriteIOps: values["device-write-iops"] }),
    ...(values.restart !== "" && { RestartPolicy: restartPolicy(values.restart) }),
  };
}
