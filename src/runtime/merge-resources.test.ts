import { describe, expect, test } from "bun:test";
import { changesOf, mergeResources, withCompanions } from "./merge-resources.ts";

describe("an update", () => {
  test("leaves what it has as 0 or as no text, but not what 0 is a value of", () => {
    const changes = changesOf({
      memory: { limit: 0, reservation: 0, swap: 7, swappiness: 0 },
      cpu: { shares: 0, quota: 0, cpus: "", burst: 0, idle: 0, period: 5 },
      blockIO: { weight: 0 },
      pids: { limit: 0 },
    });
    expect(changes).toEqual({
      memory: { swap: 7, swappiness: 0 },
      cpu: { burst: 0, idle: 0, period: 5 },
      blockIO: {},
      pids: { limit: 0 },
    });
  });

  test("is merged device by device, size by size and name by name; device rules are replaced", () => {
    const rule = (minor: number) => ({ allow: true, type: "c" as const, major: 1, minor });
    const merged = mergeResources(
      {
        blockIO: { weight: 100, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] },
        hugepageLimits: [{ pageSize: "2MB", limit: 1 }],
        unified: { "memory.high": "1", "memory.low": "2" },
        rdma: { a: { hcaHandles: 1, hcaObjects: 2 } },
        devices: [rule(1)],
        pids: { limit: 9 },
      },
      {
        blockIO: {
          throttleReadBpsDevice: [
            { major: 8, minor: 16, rate: 2 },
            { major: 8, minor: 0, rate: 3 },
          ],
        },
        hugepageLimits: [
          { pageSize: "1GB", limit: 4 },
          { pageSize: "2MB", limit: 5 },
        ],
        unified: { "memory.high": "6" },
        rdma: { a: { hcaObjects: 7 } },
        devices: [rule(2)],
      },
      2,
    );
    expect(merged).toEqual({
      blockIO: {
        weight: 100,
        throttleReadBpsDevice: [
          { major: 8, minor: 0, rate: 3 },
          { major: 8, minor: 16, rate: 2 },
        ],
      },
      hugepageLimits: [
        { pageSize: "2MB", limit: 5 },
        { pageSize: "1GB", limit: 4 },
      ],
      unified: { "memory.high": "6", "memory.low": "2" },
      rdma: { a: { hcaHandles: 1, hcaObjects: 7 } },
      devices: [rule(2)],
      pids: { limit: 9 },
    });
  });

  test("of memory alone keeps the limit of swap that the kernel has: the sum in v1, swap's own in v2", () => {
    const before = { memory: { limit: 100, swap: 150 } };
    const changes = { memory: { limit: 120 } };
    expect(mergeResources(before, changes, 1)).toEqual({ memory: { limit: 120, swap: 150 } });
    expect(mergeResources(before, changes, 2)).toEqual({ memory: { limit: 120, swap: 170 } });
    expect(mergeResources(before, { memory: { limit: -1 } }, 2)).toEqual({ memory: { limit: -1, swap: -1 } });
    expect(mergeResources({}, changes, 2)).toEqual(changes);
  });

  test("writes quota and period, and limits of memory and of swap, together", () => {
    const before = { cpu: { quota: 10, period: 100, shares: 5 }, memory: { limit: 100, swap: 150 } };
    const written = (changes: Parameters<typeof changesOf>[0]) =>
      withCompanions(changes, mergeResources(before, changes, 2));
    expect(written({ cpu: { period: 200 } })).toEqual({ cpu: { quota: 10, period: 200 } });
    expect(written({ cpu: { shares: 6 } })).toEqual({ cpu: { shares: 6 } });
    expect(written({ memory: { swap: 300 } })).toEqual({ memory: { swap: 300, limit: 100 } });
    expect(written({ memory: { limit: 90 } })).toEqual({ memory: { limit: 90 } });
  });
});
