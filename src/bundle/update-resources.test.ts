import { expect, test } from "bun:test";
import { readHost } from "./host.ts";
import type { BundleHost, BundleHostConfig } from "./input.ts";
import { updateResources } from "./update-resources.ts";

const minors: Record<string, number> = { "/dev/a": 1, "/dev/b": 2 };
const host: BundleHost = {
  ...readHost(),
  swapLimit: true,
  devicesAt: (path) =>
    minors[path] === undefined ? [] : [{ path, type: "b", major: 8, minor: minors[path] } as never],
};
const changes = (asked: BundleHostConfig, before: BundleHostConfig = {}) =>
  updateResources(asked, before, { ...before, ...asked }, host);

test("only what is spoken of is written, and what the kernel takes together", () => {
  expect(changes({})).toEqual({});
  expect(changes({ CpuShares: 3 }, { CpuPeriod: 1000, Memory: 10 })).toEqual({ cpu: { shares: 3 } });
  expect(changes({ CpuQuota: 5000 }, { CpuPeriod: 10_000 })).toEqual({ cpu: { period: 10_000, quota: 5000 } });
  expect(changes({ NanoCpus: 5e8 })).toEqual({ cpu: { period: 100_000, quota: 50_000 } });
  expect(changes({ MemorySwap: 30 }, { Memory: 10 })).toEqual({ memory: { limit: 10, swap: 30 } });
  expect(changes({ MemoryReservation: 5 }, { Memory: 10, MemorySwap: 20 })).toEqual({ memory: { reservation: 5 } });
  expect(changes({ PidsLimit: 0 })).toEqual({ pids: { limit: -1 } });
  expect(changes({ CpusetCpus: "1", CpusetMems: "0", BlkioWeight: 10, CpuRealtimeRuntime: 7 })).toEqual({
    cpu: { cpus: "1", mems: "0", realtimeRuntime: 7 },
    blockIO: { weight: 10 },
  });
});

test("a list of devices takes the place of the one before: those that are gone lose their limit", () => {
  const before = {
    BlkioDeviceReadBps: [{ Path: "/dev/a", Rate: 9 }],
    BlkioWeightDevice: [{ Path: "/dev/b", Weight: 20 }],
  };
  expect(changes({ BlkioDeviceReadBps: [{ Path: "/dev/b", Rate: 5 }] }, before)).toEqual({
    blockIO: {
      throttleReadBpsDevice: [
        { major: 8, minor: 1, rate: 0 },
        { major: 8, minor: 2, rate: 5 },
      ],
    },
  });
  expect(changes({ BlkioDeviceReadBps: [], BlkioWeightDevice: [] }, before)).toEqual({
    blockIO: {
      throttleReadBpsDevice: [{ major: 8, minor: 1, rate: 0 }],
      weightDevice: [{ major: 8, minor: 2, weight: 0 }],
    },
  });
  expect(changes({ BlkioDeviceWriteIOps: [] }, before)).toEqual({});
  expect(() => changes({ BlkioDeviceReadBps: [{ Path: "/dev/none", Rate: 1 }] })).toThrow(
    "no block device at /dev/none",
  );
});
