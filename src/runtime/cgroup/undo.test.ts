import { describe, expect, test } from "bun:test";
import { previousValue } from "./undo.ts";

describe("what undoes a write to a cgroup's file", () => {
  test.each([
    ["memory.max", "max\n", "4096", "max"],
    ["cpu.max", "50000 100000\n", "max 100000", "50000 100000"],
    ["cpuset.cpus", "\n", "0", "\n"],
    ["memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", "1", "0"],
    ["io.bfq.weight", "default 100\n8:0 200\n", "500", "default 100"],
    ["io.bfq.weight", "default 100\n8:0 200\n", "8:0 300", "8:0 200"],
    ["io.weight", "default 100\n", "default 900", "default 100"],
    ["io.weight", "default 100\n", "8:0 300", "8:0 default"],
    ["io.max", "8:0 rbps=1 wbps=max riops=max wiops=max\n", "8:0 wbps=9", "8:0 rbps=1 wbps=max riops=max wiops=max"],
    ["io.max", "", "8:0 wbps=9", "8:0 rbps=max wbps=max riops=max wiops=max"],
    ["blkio.throttle.read_bps_device", "8:0 7\n8:16 9\n", "8:16 10", "8:16 9"],
    ["blkio.throttle.read_bps_device", "8:0 7\n", "8:1 10", "8:1 0"],
    ["rdma.max", "mlx4_0 hca_handle=2 hca_object=max\n", "mlx4_0 hca_handle=1", "mlx4_0 hca_handle=2 hca_object=max"],
    ["net_prio.ifpriomap", "lo 0\neth0 5\n", "eth0 6", "eth0 5"],
  ])("%s with %j, after %j was written: %j", (name, before, written, undo) => {
    expect(previousValue(name, before, written)).toBe(undo);
  });
});
