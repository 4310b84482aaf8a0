/** What leads out of a container: mounts, streams, namespaces. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeConfig } from "../../oci/runtime.ts";
import { restoredMounts, savedMounts } from "./external-mounts.ts";
import { parseMountInfo } from "./mount-info.ts";
import { restoredNamespaces, savedNamespaces } from "./namespaces.ts";
import { externalFiles, inheritedStreams, readStreamNames, streamNames, writeStreamNames } from "./streams.ts";

const config = {
  ociVersion: "1.0.0",
  mounts: [
    { destination: "/proc", type: "proc" },
    { destination: "/link/data/", type: "bind", source: "data", options: ["rbind"] },
    { destination: "/link/data/own", type: "tmpfs", source: "tmpfs" },
    { destination: "/one file", type: "none", source: "/srv/x/../file", options: ["bind"] },
    { destination: "/remounted", type: "none", source: "/x", options: ["bind", "remount", "ro"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup" },
  ],
  linux: {
    namespaces: [{ type: "mount" }],
    maskedPaths: ["/proc/kcore", "/sys/firmware"],
    devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }],
  },
} satisfies RuntimeConfig as RuntimeConfig;

const mounts = parseMountInfo(`
1 0 8:1 /rootfs / rw - ext4 /dev/sda rw
2 1 0:5 / /proc rw - proc proc rw
3 1 8:1 /bundle/data /real/data rw master:1 - ext4 /dev/sda rw
4 3 0:6 / /real/data/below rw - tmpfs tmpfs rw
5 3 0:7 / /real/data/own rw - tmpfs tmpfs rw
6 1 8:1 /srv/file /one\\040file rw - ext4 /dev/sda rw
7 2 0:8 /null /proc/kcore rw - tmpfs tmpfs rw
8 1 0:9 / /sys/firmware ro - tmpfs tmpfs rw
9 1 0:8 / /dev rw - tmpfs tmpfs rw
10 9 0:4 /fuse /dev/fuse rw - devtmpfs devtmpfs rw
11 1 0:10 /c1 /sys/fs/cgroup ro - cgroup2 cgroup rw
`);

describe("mounts", () => {
  test("of the host's are saved as the names of their destinations; masked files as /dev/null", () => {
    const at: Record<string, number> = { "/link/data": 3, "/one file": 6 };
    expect(savedMounts(config, mounts, (path) => at[path])).toEqual([
      "mnt[/real/data]:/link/data",
      "mnt[/real/data/below]:/link/data/below",
      "mnt[/one file]:/one file",
      "mnt[/proc/kcore]:/dev/null",
      "mnt[/dev/fuse]:/dev/fuse",
      "mnt[/sys/fs/cgroup]:/sys/fs/cgroup",
    ]);
  });

  test("of a cgroup namespace are the container's own, and a bind that is gone is none", () => {
    const own = { ...config, linux: { ...config.linux, namespaces: [{ type: "cgroup" as const }] } };
    expect(savedMounts(own, mounts, () => undefined)).toEqual([
      "mnt[/proc/kcore]:/dev/null",
      "mnt[/dev/fuse]:/dev/fuse",
    ]);
  });

  test("are restored from their sources, and what is mounted below those", () => {
    const host = parseMountInfo(
      "1 0 8:1 / / rw - ext4 x rw\n2 1 0:6 / /bundle/data/below rw - tmpfs x rw\n3 1 0:7 / /bundle/database rw - tmpfs x rw",
    );
    const cgroups = [{ name: "", options: [], directory: "/sys/fs/cgroup/c2" }];
    expect(
      restoredMounts(config, "/bundle", host, cgroups).filter((name) => !/\/dev\/(?!fuse|null)/.test(name)),
    ).toEqual([
      "mnt[/link/data]:/bundle/data",
      "mnt[/link/data/below]:/bundle/data/below",
      "mnt[/one file]:/srv/file",
      "mnt[/dev/null]:/dev/null",
      "mnt[/dev/fuse]:/dev/fuse",
      "mnt[/sys/fs/cgroup]:/sys/fs/cgroup/c2",
    ]);
  });
});

describe("streams", () => {
  test("are named as criu knows them: pipes by themselves, files that are not the container's as external", async () => {
    // In a subshell: the redirection of a built-in command is one of the shell's own, for a moment that can be seen.
    const child = Bun.spawn(["sh", "-c", "echo x | { read x; (echo ready >&2); exec sleep 1000; }"], {
      stdio: [Bun.file("/dev/null"), Bun.file("/dev/null"), "pipe"],
    });
    try {
      await child.stderr.getReader().read();
      const pid = Number(
        readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ").at(-1),
      );
      const id = /mnt_id:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/1`, "utf8"))![1]!;
      const names = streamNames(pid, []);
      expect(names[0]).toMatch(/^pipe:\[\d+\]$/);
      expect(names[1]).toMatch(new RegExp(`^file\\[${Number(id).toString(16)}:[0-9a-f]+\\]$`));
      expect(externalFiles(names)).toEqual([names[1]!]);
      const inside = [{ id: Number(id), root: "/", mountPoint: "/dev", type: "tmpfs" }];
      expect(streamNames(pid, inside)[1]).toBe("/dev/null");
      process.kill(pid, "SIGKILL");
    } finally {
      child.kill("SIGKILL");
      await child.exited;
    }
  });

  test("are given to criu by their names, each once, and only those that lead outside", () => {
    expect(inheritedStreams(["pipe:[1]", "file[1a:2]", "/dev/pts/0"], 4)).toEqual([
      { key: "pipe:[1]", descriptor: 4 },
      { key: "file[1a:2]", descriptor: 5 },
    ]);
    expect(inheritedStreams(["/dev/null", "pipe:[1]", "pipe:[1]"], 4)).toEqual([{ key: "pipe:[1]", descriptor: 5 }]);
    expect(inheritedStreams([""], 4)).toEqual([]);
  });

  test("are kept in runc's format; what is no such file is refused with its path", () => {
    const images = mkdtempSync("/var/tmp/tsd-images-");
    try {
      expect(() => readStreamNames(images)).toThrow(`${images} holds no checkpoint`);
      writeStreamNames(images, ["/dev/null", "pipe:[1]", "pipe:[2]"]);
      expect(JSON.parse(readFileSync(join(images, "descriptors.json"), "utf8"))).toEqual([
        "/dev/null",
        "pipe:[1]",
        "pipe:[2]",
      ]);
      expect(readStreamNames(images)).toEqual(["/dev/null", "pipe:[1]", "pipe:[2]"]);
      for (const text of ["{", "{}", "[1]"]) {
        writeFileSync(join(images, "descriptors.json"), text);
        expect(() => readStreamNames(images)).toThrow(join(images, "descriptors.json"));
      }
    } finally {
      rmSync(images, { recursive: true });
    }
  });
});

describe("namespaces that are joined", () => {
  const joining = (type: "network" | "pid" | "uts" | "cgroup", path?: string): RuntimeConfig => ({
    ociVersion: "1.0.0",
    linux: { namespaces: [{ type, ...(path !== undefined && { path }) }] },
  });

  test("are external when they are the network or the processes, and joined by path else", () => {
    expect(savedNamespaces(joining("network", "/x"), process.pid)).toEqual([
      expect.stringMatching(/^net\[\d+\]:extRootNetNS$/),
    ]);
    expect(savedNamespaces(joining("uts", "/x"), process.pid)).toEqual([]);
    expect(savedNamespaces(joining("network"), process.pid)).toEqual([]);
    using pid = restoredNamespaces(joining("pid", "/proc/self/ns/pid"));
    expect([pid.inherited.map(({ key }) => key), pid.joined]).toEqual([["extRootPidNS"], []]);
    using uts = restoredNamespaces(joining("uts", "/x"));
    expect([uts.inherited, uts.joined]).toEqual([[], [{ type: "uts", path: "/x" }]]);
  });

  test("are refused when they are not there, or criu cannot join them", () => {
    expect(() => restoredNamespaces(joining("network", "/nowhere/net"))).toThrow(
      /join network: .*\/nowhere\/net: ENOENT/,
    );
    expect(() => restoredNamespaces(joining("cgroup", "/proc/self/ns/cgroup"))).toThrow("cgroup namespace");
  });
});
