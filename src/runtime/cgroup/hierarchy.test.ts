import { describe, expect, test } from "bun:test";
import { type CgroupHost, parseHierarchies, resolveCgroupsPath } from "./hierarchy.ts";

const v1Mounts = `23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,favordynmods
36 31 0:33 / /mnt/second\\040memory rw,relatime - cgroup cgroup rw,memory,favordynmods
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
42 31 0:39 / /sys/fs/cgroup/elogind rw,relatime - cgroup cgroup rw,name=elogind
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
`;
const membership = `9:name=systemd:/user.slice/a
4:memory:/user.slice/b:c
1:cpu,cpuacct:/user.slice
0::/user.slice/a
`;

describe("cgroup hierarchies", () => {
  test("of v1 are found by their controllers, once each, with the v2 one beside them", () => {
    expect(parseHierarchies(v1Mounts, membership)).toEqual([
      { version: 1, mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: ["cpu", "cpuacct"], own: "/user.slice" },
      { version: 1, mountPoint: "/sys/fs/cgroup/memory", controllers: ["memory"], own: "/user.slice/b:c" },
      { version: 1, mountPoint: "/sys/fs/cgroup/systemd", controllers: ["name=systemd"], own: "/user.slice/a" },
      { version: 2, mountPoint: "/sys/fs/cgroup/unified", controllers: [], own: "/user.slice/a" },
    ]);
  });

  test("in a container with the host's cgroup namespace begin at the container's own", () => {
    const mounts = "32 31 0:29 /docker/x /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n";
    const own = (path: string) => parseHierarchies(mounts, `3:pids:${path}\n`)[0]!.own;
    expect(own("/docker/x")).toBe("/");
    expect(own("/docker/x/child")).toBe("/child");
    expect(own("/docker/xy")).toBe("/");
  });
});

describe("cgroupsPath", () => {
  const v1: CgroupHost = { version: 1, hierarchies: parseHierarchies(v1Mounts, membership) };
  const v2 = (own: string): CgroupHost => {
    return { version: 2, hierarchies: [{ version: 2, mountPoint: "/sys/fs/cgroup", controllers: [], own }] };
  };

  test("is absolute, or relative to this process's own cgroup", () => {
    expect(resolveCgroupsPath("/tsd/x/", v1)).toBe("/tsd/x");
    expect(resolveCgroupsPath("x/y", v1)).toBe("/user.slice/x/y");
    expect(resolveCgroupsPath("x", v2("/user.slice/session"))).toBe("/user.slice/x");
    expect(resolveCgroupsPath("x", v2("/"))).toBe("/x");
  });

  test("does not lead out of its mount, and is never the root", () => {
    expect(resolveCgroupsPath("/a/../../b", v2("/"))).toBe("/b");
    expect(resolveCgroupsPath("../../../b", v2("/user.slice/session"))).toBe("/user.slice/b");
    for (const path of ["", "/", "/a/..", "..", "a\0b"]) {
      expect(() => resolveCgroupsPath(path, v2("/"))).toThrow("linux.cgroupsPath");
    }
  });
});
