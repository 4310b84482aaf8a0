import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { openCgroup } from "../runtime/cgroup/cgroup.ts";
import { CgroupKernel, isServiceUnit, moveToCgroup } from "./kernel.ts";

test("a unit of systemd is told by its cgroup, in v2 and in v1", () => {
  expect(isServiceUnit("0::/system.slice/tsd.service\n")).toBe(true);
  expect(isServiceUnit("1:name=systemd:/system.slice/tsd.service/daemon\n0::/\n")).toBe(true);
  expect(isServiceUnit("0::/user.slice/user-0.slice/session-1.scope\n")).toBe(false);
  expect(isServiceUnit("0::/\n")).toBe(false);
});

test.skipIf(process.getuid?.() !== 0)("a process is moved, and ended with its cgroup, which is removed", async () => {
  const path = `/tsd-kernel-test-${process.pid}/shims`;
  const kernel = new CgroupKernel();
  const child = Bun.spawn(["sleep", "100"]);
  try {
    moveToCgroup(child.pid, path);
    expect(readFileSync(`/proc/${child.pid}/cgroup`, "utf8")).toContain(`:${path}\n`);
    kernel.killCgroup(path);
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    kernel.removeCgroup(path);
    expect(openCgroup(path).exists()).toBe(false);
    kernel.killCgroup(path);
    kernel.removeCgroup(path);
  } finally {
    child.kill("SIGKILL");
    openCgroup(path.replace("/shims", "")).remove();
  }
});
