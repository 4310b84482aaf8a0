import { describe, expect, test } from "bun:test";
import { readHost } from "./host.ts";

describe("devices at a path of the host", () => {
  const host = readHost();

  test("are the one that is there, and those of a folder unless one alone is wanted", () => {
    expect(host.devicesAt("/dev/null")).toMatchObject([{ type: "c", path: "/dev/null", major: 1, minor: 3 }]);
    expect(host.devicesAt("/dev/null", { alone: true })).toHaveLength(1);
    expect(host.devicesAt("/dev").map(({ path }) => path)).toContain("/dev/null");
    expect(host.devicesAt("/dev", { alone: true })).toEqual([]);
    expect(host.devicesAt("/etc/passwd")).toEqual([]);
  });

  test("are not looked for in the whole file system", () => {
    expect(() => host.devicesAt("/")).toThrow(/^\/.*: more than 20000 files, which no folder of devices has$/);
    expect(host.devicesAt("/", { alone: true })).toEqual([]);
  });
});
