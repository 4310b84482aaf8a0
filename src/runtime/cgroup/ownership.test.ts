import { describe, expect, test } from "bun:test";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { ownerOf } from "./ownership.ts";

const mount = { source: "cgroup", destination: "/sys/fs/cgroup", type: "cgroup", options: ["nosuid"] };
const maps = [{ containerID: 0, hostID: 100_000, size: 1000 }];

function config(change: {
  user?: boolean;
  options?: string[];
  path?: string;
  uid?: number;
  mounts?: [];
}): RuntimeConfig {
  const cgroup =
    change.path === undefined ? { type: "cgroup" as const } : { type: "cgroup" as const, path: change.path };
  const user = change.user === false ? [] : [{ type: "user" as const }];
  return {
    ociVersion: "1.3.0",
    process: { cwd: "/", user: { uid: change.uid ?? 7, gid: 0 } },
    mounts: change.mounts ?? [{ ...mount, options: change.options ?? mount.options }],
    linux: { namespaces: [cgroup, ...user], ...(user.length > 0 && { uidMappings: maps }) },
  };
}

describe("the owner of a container's cgroup", () => {
  test("is the host's number of the process's user, where the container sees its cgroup writable", () => {
    expect(ownerOf(config({}))).toBe(100_007);
    expect(ownerOf(config({ user: false }))).toBe(7);
  });

  test.each([
    ["the mount is read-only", { options: ["ro"] }],
    ["there is no such mount", { mounts: [] as [] }],
    ["the cgroup namespace is another's", { path: "/proc/1/ns/cgroup" }],
    ["the user is nobody on the host", { uid: 5000 }],
  ])("stays who it is when %s", (_, change) => {
    expect(ownerOf(config(change))).toBeUndefined();
  });
});
