import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { command, succeed } from "../../harness/command.ts";
import { busybox, executable, ok, serve, tsd, until } from "./guest.ts";

const bundle = "/root/bundle";
/** What a container of the bundle, run by tsd's runtime, has printed. */
let ours: ReturnType<typeof parts>;

/** What a container sees of itself, in parts that begin with a name. */
const look = `
part() { echo "== $1"; }
part mountinfo; cat /proc/self/mountinfo
part status; cat /proc/self/status
part limits; cat /proc/self/limits
part devices; ls -l /dev
part cgroup; cat /proc/self/cgroup
part values; cd /sys/fs/cgroup; for f in memory.max memory.low pids.max cpu.max cpu.weight cpuset.cpus cgroup.type cgroup.controllers; do echo $f $(cat $f); done
part environment; env | sort
part descriptors; ls /proc/self/fd
part sysctls; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/hostname
part score; cat /proc/self/oom_score_adj
part links; ls -l /dev/fd /dev/stdin /dev/ptmx
`;

/** Takes out what differs from one run to the next: numbers of mounts, devices, processes, and times. */
function mask(text: string): string {
  return text
    .replaceAll(/^\d+ \d+ \d+:\d+ /gm, "N N N:N ")
    .replaceAll(/^(\S*[Pp]id|NSpid|NSpgid|NSsid|Tgid|Ngid|NStgid):.*$/gm, "$1: N")
    .replaceAll(/^(Vm\w+|Rss\w+|HugetlbPages|\w*ctxt_switches|SigQ):.*$/gm, "$1: N")
    .replaceAll(/[A-Z][a-z]{2} +\d+ \d\d:\d\d/g, "TIME");
}

function parts(text: string): Record<string, string[]> {
  const named = mask(text).split(/^== /m).slice(1);
  return Object.fromEntries(named.map((part) => [part.split("\n", 1)[0], part.trimEnd().split("\n").slice(1)]));
}

beforeAll(async () => {
  await serve();
  await ok("bundle", busybox, bundle);
  const config = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8"));
  config.process.args = ["sh", "-c", look];
  config.process.terminal = false;
  config.linux.resources = {
    ...config.linux.resources,
    memory: { limit: 2 ** 26, reservation: 2 ** 25 },
    pids: { limit: 30 },
    cpu: { quota: 50_000, period: 100_000, cpus: "0" },
  };
  writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
  ours = parts(await succeed([executable, "runtime", "run", "-b", bundle, "ours"]));
});
afterAll(() => rmSync(bundle, { recursive: true, force: true }));

describe("a bundle of tsd's", () => {
  test("is to a container of tsd runtime what it is to one of runc", async () => {
    const theirs = parts(await succeed(["runc", "run", "-b", bundle, "theirs"]));
    const differences = Object.keys(theirs).flatMap((part) => {
      const [own, other] = [new Set(ours[part]), new Set(theirs[part])];
      return [
        ...ours[part]!.filter((line) => !other.has(line)).map((line) => `${part}: tsd has ${line}`),
        ...theirs[part]!.filter((line) => !own.has(line)).map((line) => `${part}: runc has ${line}`),
      ];
    });
    for (const line of differences) console.log(`difference: ${line}`);
    expect(Object.keys(ours)).toEqual(Object.keys(theirs));
    expect(Object.values(theirs).every((lines) => lines.length > 0)).toBe(true);
    expect(differences).toEqual([]);
  });

  test("has its limits set in a cgroup of its own, which is gone at the end", async () => {
    const { cgroup, values } = ours;
    expect(cgroup).toEqual(["0::/"]);
    expect(values).toContain(`memory.max ${2 ** 26}`);
    expect(values).toContain("pids.max 30");
    expect(values).toContain("cpu.max 50000 100000");
    const left = await succeed(["find", "/sys/fs/cgroup", "-name", "*ours*"]);
    expect(left).toBe("");
    expect(existsSync("/run/tsd/runtime/ours")).toBe(false);
  });

  test("is driven through tsd-runc's verbs from create to delete", async () => {
    const runtime = (...args: string[]) => succeed(["tsd-runc", "--root", "/run/check", ...args]);
    const config = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8"));
    config.process.args = ["sleep", "1000"];
    config.linux.cgroupsPath = "/check/verbs";
    writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
    // What create leaves behind has its standard streams: they must not be pipes that this waits for.
    await succeed(["sh", "-c", `tsd-runc --root /run/check create -b ${bundle} verbs </dev/null >/dev/null 2>&1`]);
    try {
      const { status, pid } = JSON.parse(await runtime("state", "verbs"));
      expect(status).toBe("created");
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe("0::/check/verbs\n");
      await runtime("start", "verbs");
      expect(await runtime("exec", "verbs", "cat", "/proc/self/cgroup")).toBe("0::/");
      await runtime("kill", "verbs", "KILL");
    } finally {
      await command(["tsd-runc", "--root", "/run/check", "delete", "--force", "verbs"]);
    }
    expect(readdirSync("/sys/fs/cgroup/check")).not.toContain("verbs");
  });
});

describe("another runtime in place of tsd's own", () => {
  const foreign = (...args: string[]) => ["run", "--rm", "--network", "none", "--runtime", "/usr/sbin/runc", ...args];

  test("has the container's root, limits and status, and leaves nothing", async () => {
    const script = "echo here >/file; cat /file /proc/self/cgroup /sys/fs/cgroup/pids.max; exit 7";
    const { status, stdout, stderr } = await tsd(foreign("--pids-limit", "40", busybox, "sh", "-c", script));
    expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: "here\n0::/\n40\n", stderr: "" });
    await until("its root is unmounted", async () => {
      return !(await Bun.file("/proc/self/mountinfo").text()).includes("/var/lib/tsd/containers");
    });
    expect(await succeed(["runc", "--root", "/run/tsd/runtime", "list", "-q"])).toBe("");
  });

  test("says what is wrong with a command as tsd's own does", async () => {
    const { status, stderr } = await tsd(foreign(busybox, "no-such-program"));
    expect(stderr).toContain("no-such-program");
    expect(status).toBe(127);
  });
});
