/** The resource limits of `tsd run`, as the kernel has them and as it enforces them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

const isV2 = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** A container's control file, seen from the host: `v1` is `controller/file`. */
function control(id: string, v1: string, v2: string): string {
  const parent = engine.workspace.cgroupParent;
  const [controller, file] = v1.split("/");
  const path = isV2 ? `/sys/fs/cgroup${parent}/${id}/${v2}` : `/sys/fs/cgroup/${controller}${parent}/${id}/${file}`;
  return readFileSync(path, "utf8").trim();
}

async function withContainer<T>(flags: string[], look: (id: string) => T | Promise<T>): Promise<T> {
  const id = await engine.start(flags, "sleep", "1000");
  try {
    return await look(id);
  } finally {
    await engine.daemon.ok("rm", "-f", id);
  }
}

test("--memory, --memory-reservation and --memory-swap are the cgroup's limits", async () => {
  await withContainer(["-m", "64m", "--memory-reservation", "32m", "--memory-swap", "96m"], (id) => {
    expect(control(id, "memory/memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20));
    expect(control(id, "memory/memory.soft_limit_in_bytes", "memory.low")).toBe(String(32 << 20));
    const swap = control(id, "memory/memory.memsw.limit_in_bytes", "memory.swap.max");
    expect(swap).toBe(String((isV2 ? 32 : 96) << 20));
  });
});

test("--memory alone allows as much swap again, as docker does", async () => {
  await withContainer(["--memory", "64m"], (id) => {
    const swap = control(id, "memory/memory.memsw.limit_in_bytes", "memory.swap.max");
    expect(swap).toBe(String((isV2 ? 64 : 128) << 20));
  });
});

test("a container that needs more memory than it may have is killed, and inspect says why", async () => {
  const script = "tail -c 100000000 /dev/zero";
  const result = await engine.tsd([
    "run",
    "--name",
    "greedy",
    "-m",
    "16m",
    "--memory-swap",
    "16m",
    engine.busybox,
    "sh",
    "-c",
    script,
  ]);
  expect(result.status).toBe(137);
  expect(await engine.inspect("greedy", "{{.State.ExitCode}} {{.State.OOMKilled}}")).toBe("137 true");
  await engine.daemon.ok("rm", "greedy");
});

test("--cpus, --cpu-shares and --cpuset-cpus are the cgroup's limits", async () => {
  await withContainer(["--cpus", "0.5", "-c", "512", "--cpuset-cpus", "0"], (id) => {
    if (isV2) {
      expect(control(id, "", "cpu.max")).toBe("50000 100000");
      expect(control(id, "", "cpuset.cpus")).toBe("0");
      return;
    }
    expect(control(id, "cpu/cpu.cfs_quota_us", "")).toBe("50000");
    expect(control(id, "cpu/cpu.cfs_period_us", "")).toBe("100000");
    expect(control(id, "cpu/cpu.shares", "")).toBe("512");
    expect(control(id, "cpuset/cpuset.cpus", "")).toBe("0");
  });
});

test("--cpus holds a busy container back", async () => {
  await withContainer(["--cpus", "0.2"], async (id) => {
    await engine.daemon.ok("exec", "-d", id, "sh", "-c", "while :; do :; done");
    await until("the container was throttled", () => {
      const stat = control(id, "cpu/cpu.stat", "cpu.stat");
      return Number(/nr_throttled (\d+)/.exec(stat)![1]) > 0;
    });
  });
});

test("--pids-limit stops a container from forking without end", async () => {
  await withContainer(["--pids-limit", "12"], (id) => {
    expect(control(id, "pids/pids.max", "pids.max")).toBe("12");
  });
  const script = "i=0; while [ $i -lt 30 ]; do sleep 100 & i=$((i+1)); done; echo all";
  const result = await engine.run(["--pids-limit", "12"], ["sh", "-c", script]);
  expect(result.stdout).toBe("");
  expect(result.stderr).toContain("can't fork: Resource temporarily unavailable");
  await withContainer(["--pids-limit", "-1"], (id) => {
    expect(control(id, "pids/pids.max", "pids.max")).toBe("max");
  });
});

test("--ulimit sets soft and hard limits", async () => {
  const flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=50:60", "--ulimit", "cpu=7"];
  const limits = await engine.sh(flags, "grep -E 'open files|core file|processes|cpu time' /proc/self/limits");
  expect(limits.split("\n").map((line) => line.trim().split(/ {2,}/).slice(0, 3))).toEqual([
    ["Max cpu time", "7", "7"],
    ["Max core file size", "0", "0"],
    ["Max processes", "50", "60"],
    ["Max open files", "100", "200"],
  ]);
});

test("--oom-score-adj is the process's score", async () => {
  expect(await engine.sh(["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj")).toBe("500");
});

test("exec has the limits of the container", async () => {
  await withContainer(["--ulimit", "nofile=77:88", "--memory", "64m"], async (id) => {
    expect(await engine.daemon.ok("exec", id, "sh", "-c", "ulimit -Sn; ulimit -Hn")).toBe("77\n88");
    await engine.daemon.ok("exec", "-d", id, "sleep", "1234");
    expect(control(id, "memory/cgroup.procs", "cgroup.procs").split("\n").length).toBe(2);
  });
});
