import { describe, expect, test } from "bun:test";
import { findOomVictim, readOomRecord } from "./kernel-log.ts";

const id = "ab".repeat(32);
const look = { containerId: id, sinceUptimeMs: 5000, before: undefined };
const kill = (cgroup: string, task = "sh") =>
  `6,1,6000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=${cgroup},task_memcg=${cgroup},task=${task},pid=77,uid=0\n`;

describe("the kernel's log of ends for want of memory", () => {
  test("names the process by the container's cgroup, however that is called", () => {
    expect(readOomRecord(kill(`/tsd/${id}`), look)).toEqual({ pid: 77, name: "sh" });
    expect(readOomRecord(kill(`/system.slice/tsd-${id}.scope`), look)).toEqual({ pid: 77, name: "sh" });
    expect(readOomRecord(kill(`/tsd/${id}`, "a,pid=1,uid=2"), look)).toEqual({ pid: 77, name: "a,pid=1,uid=2" });
  });

  test("is of no concern for another container, another time, and other words", () => {
    expect(readOomRecord(kill(`/tsd/${"cd".repeat(32)}`), look)).toBeUndefined();
    expect(readOomRecord(kill(`/tsd/${id}`), { ...look, sinceUptimeMs: 8000 })).toBeUndefined();
    expect(readOomRecord("6,1,6000000,-;docker0: port 1 entered disabled state\n", look)).toBeUndefined();
  });

  test("says how much memory it had in a record of its own, that of another process aside", () => {
    const text =
      "Memory cgroup out of memory: Killed process 77 (sh) total-vm:9kB, anon-rss:8kB, file-rss:4kB, shmem-rss:0kB";
    const before = { pid: 77, name: "sh" };
    expect(readOomRecord(`3,2,6000001,-;${text}`, { ...look, before })).toEqual({ ...before, anonymousBytes: 8192 });
    expect(readOomRecord(`3,2,6000001,-;${text}`, { ...look, before: { pid: 78, name: "sh" } })).toBeUndefined();
    expect(readOomRecord(`3,2,6000001,-;${text}`, look)).toBeUndefined();
  });

  test("is read to its end, which has nothing of a container that never was", async () => {
    expect(await findOomVictim(id, 0)).toBeUndefined();
  });
});
