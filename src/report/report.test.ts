import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatCard } from "./card.ts";
import { type Facts, readFacts } from "./facts.ts";
import { readMounts } from "./mounts.ts";
import { readNetwork } from "./network.ts";

let root: string;

/** A procfs as a default container sees it, and a cgroup v2 beside it. */
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-report-"));
  const files: Record<string, string> = {
    "proc/self/status": `Name:\ttsd
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
Groups:\t0 10
CapInh:\t0000000000000000
CapPrm:\t00000000a80425fb
CapEff:\t00000000a80425fb
CapBnd:\t00000000a80425fb
CapAmb:\t0000000000000000
NoNewPrivs:\t0
Seccomp:\t2
Seccomp_filters:\t1
Cpus_allowed_list:\t0-3
`,
    "proc/self/attr/current": "tsd-default (enforce)\n",
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": mountinfo(`${root}/cgroup`),
    "proc/sys/kernel/osrelease": "6.1.0\n",
    "proc/sys/kernel/hostname": "4f2a9c1e77b0\n",
    "proc/sys/kernel/cap_last_cap": "40\n",
    "proc/net/dev": "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n",
    "proc/net/route": routes,
    "proc/net/fib_trie": trie,
    "proc/1/comm": "tsd\n",
    "cgroup/memory.max": "67108864\n",
    "cgroup/memory.current": "5242880\n",
    "cgroup/memory.swap.max": "0\n",
    "cgroup/cpu.max": "50000 100000\n",
    "cgroup/pids.max": "max\n",
    "cgroup/pids.current": "4\n",
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  mkdirSync(join(root, "proc/self/ns"));
  const inodes = { mnt: 4026532740, pid: 4026532743, net: 4026532745, user: 4026531837, time: 4026531834 };
  for (const [name, inode] of Object.entries(inodes))
    symlinkSync(`${name}:[${inode}]`, join(root, "proc/self/ns", name));
});
afterAll(() => rmSync(root, { recursive: true }));

const mountinfo = (cgroup: string) => `700 600 0:50 / / rw,relatime - overlay overlay rw
701 700 0:51 / /proc rw,nosuid - proc proc rw
702 700 0:52 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
703 702 0:53 / /dev/pts rw - devpts devpts rw
704 700 0:54 / /sys ro,nosuid - sysfs sysfs ro
705 704 0:28 / ${cgroup} ro,nosuid - cgroup2 cgroup rw
706 700 254:1 /containers/x/hosts /etc/hosts rw - ext4 /dev/vda rw
707 700 254:1 /srv/data /data\\040here ro - ext4 /dev/vda rw
708 701 0:51 /sys /proc/sys ro - proc proc rw
709 701 0:52 /null /proc/kcore rw - tmpfs tmpfs rw,size=65536k
710 704 0:60 / /sys/firmware ro - tmpfs tmpfs ro
711 700 0:61 / /run rw - tmpfs tmpfs rw
`;
const routes = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
`;
const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.18.0.0/16 2 0 2
        |-- 172.18.0.0
           /16 link UNICAST
        |-- 172.18.0.2
           /32 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
Local:
        |-- 172.18.0.2
           /32 host LOCAL
`;

describe("the report", () => {
  test("tells a default container's confinement from its procfs", () => {
    const facts = readFacts(join(root, "proc"));
    expect(facts).toMatchObject({
      uid: 0,
      groups: [0, 10],
      processes: 1,
      hostname: "4f2a9c1e77b0",
      noNewPrivileges: false,
      seccomp: { mode: "filter", filters: 1 },
      label: "tsd-default (enforce)",
      limits: { version: 2, memory: 2 ** 26, memoryUsed: 5 * 2 ** 20, swap: 0, cpus: 0.5, pidsUsed: 4 },
    } satisfies Partial<Facts>);
    expect(facts.limits.pids).toBeUndefined();
    expect(facts.capabilities.effective).toHaveLength(14);
    expect(facts.namespaces.map(({ type, owner }) => `${type} ${owner}`)).toEqual([
      "mount own",
      "pid own",
      "network own",
      "user host",
      "time host",
    ]);
  });

  test("tells what is read-only, hidden, in memory and of the host", () => {
    expect(readMounts(mountinfo("/sys/fs/cgroup"))).toEqual({
      root: { type: "overlay", readOnly: false },
      readOnly: ["/sys", "/sys/fs/cgroup", "/data here", "/proc/sys"],
      hidden: ["/proc/kcore", "/sys/firmware"],
      memory: [{ path: "/dev", bytes: 2 ** 26 }, { path: "/run" }],
      host: [
        { path: "/etc/hosts", readOnly: false },
        { path: "/data here", readOnly: true },
      ],
    });
  });

  test("tells interfaces with their addresses, and the way out", () => {
    expect(readNetwork("h\nh\n lo: 0\n eth0: 0\n", routes, trie)).toEqual({
      interfaces: [
        { name: "lo", addresses: ["127.0.0.1/8"] },
        { name: "eth0", addresses: ["172.18.0.2/16"] },
      ],
      gateway: "172.18.0.1",
    });
    expect(readNetwork("h\nh\n lo: 0\n", "", "")).toEqual({ interfaces: [{ name: "lo", addresses: [] }] });
  });

  test("fits on eighty columns, whatever there is to tell", () => {
    const facts = readFacts(join(root, "proc"));
    const card = formatCard(facts, { bold: false });
    expect(card.split("\n").filter((line) => line.length > 80)).toEqual([]);
    for (const text of [
      "64MiB, 5MiB used",
      "0.5 CPUs' worth",
      "14 of the kernel's 41",
      "172.18.0.2/16",
      "/proc/kcore",
    ]) {
      expect(card).toContain(text);
    }
    expect(card).not.toContain("\x1b");
    expect(formatCard(facts, { bold: true })).toContain("\x1b[1mLimits\x1b[0m");
    const bare = { ...facts, limits: {}, capabilities: { effective: [], bounding: [], ambient: [], kernel: 41 } };
    const text = formatCard(bare, { bold: false });
    expect(text).toContain("0 of the kernel's 41\n");
    expect(text).toContain("no cgroup is to be seen");
  });

  test("reads the real procfs", () => {
    const facts = readFacts();
    expect(facts.pid).toBe(process.pid);
    expect(facts.processes).toBeGreaterThan(0);
    expect(facts.namespaces.length).toBeGreaterThan(5);
    expect(facts.groups.every(Number.isInteger)).toBe(true);
  });
});
