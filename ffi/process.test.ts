import { describe, expect, test } from "bun:test";
import { openSync, readFileSync } from "node:fs";
import {
  exitStatus,
  isAlive,
  openProcess,
  pidfd_getfd,
  pidfd_open,
  pidfd_send_signal,
  processStat,
  reapChild,
  setChildSubreaper,
  waitForEnd,
} from "./process.ts";

describe("processes", () => {
  test("are known by number and start time: another start time is another process", () => {
    const self = processStat(process.pid)!;
    expect(self).toMatchObject({ pid: process.pid, parent: process.ppid });
    expect(isAlive(self)).toBe(true);
    expect(isAlive({ pid: self.pid, startTime: self.startTime - 1 })).toBe(false);
    expect(openProcess({ pid: self.pid, startTime: self.startTime - 1 })).toBeUndefined();
    // The first pid beyond the kernel's largest.
    expect(processStat(4194305)).toBeUndefined();
  });
  test("whose name holds spaces and parentheses are read right", async () => {
    const child = Bun.spawn(["/bin/sh", "-c", "printf 'a) R (b' > /proc/$$/comm; exec sleep 60"]);
    while (!/^cat|sleep/.test(readFileSync(`/proc/${child.pid}/comm`, "utf8"))) await Bun.sleep(1);
    expect(processStat(child.pid)!.parent).toBe(process.pid);
    child.kill(9);
    await child.exited;
  });
  test("are signalled and awaited by pidfd, and report false once they are gone", async () => {
    const child = Bun.spawn(["sleep", "60"]);
    using pidfd = pidfd_open(child.pid);
    expect(waitForEnd(pidfd, 0)).toBe(false);
    expect(pidfd_send_signal(pidfd, 0)).toBe(true);
    expect(pidfd_send_signal(pidfd, 15)).toBe(true);
    expect(waitForEnd(pidfd, 5000)).toBe(true);
    await child.exited;
    expect(pidfd_send_signal(pidfd, 15)).toBe(false);
    expect(() => pidfd_open(child.pid)).toThrow(`pidfd_open process ${child.pid}: ESRCH`);
  });
  test("are gone when only their group is left, whose number is theirs", async () => {
    const child = Bun.spawn(["setsid", "-w", "sh", "-c", "sleep 60 >/dev/null & echo $$ $!"]);
    const [leader = 0, member = 0] = (await new Response(child.stdout).text()).split(" ").map(Number);
    await child.exited;
    expect(() => process.kill(-leader, 0)).not.toThrow();
    expect(() => pidfd_open(leader)).toThrow(`pidfd_open process ${leader}: ESRCH`);
    expect(openProcess({ pid: leader, startTime: 1 })).toBeUndefined();
    process.kill(member, 9);
  });
  test("can be asked for a descriptor", async () => {
    const child = Bun.spawn(["sleep", "60"], { stdin: openSync("/proc/self/comm", "r") });
    using pidfd = pidfd_open(child.pid);
    using copy = pidfd_getfd(pidfd, 0);
    expect(readFileSync(copy.number, "utf8").length).toBeGreaterThan(0);
    expect(() => pidfd_getfd(pidfd, 9999)).toThrow("EBADF");
    child.kill(9);
    await child.exited;
  });
});

describe("children", () => {
  test("that this process never had are no children", () => {
    expect(reapChild(1)).toBeUndefined();
  });
  test("give the status of a shell", () => {
    expect(exitStatus({ pid: 1, kind: "exited", code: 7 })).toBe(7);
    expect(exitStatus({ pid: 1, kind: "killed", signal: 9, coreDumped: false })).toBe(137);
  });
  test("of children come to a subreaper, which reaps them with their signal or code", async () => {
    setChildSubreaper(true);
    try {
      for (const [script, expected] of [
        ["exit 7", { kind: "exited", code: 7 }],
        ["kill -9 $$", { kind: "killed", signal: 9, coreDumped: false }],
      ] as const) {
        // The shell ends at once; what it left behind, in its background, becomes ours.
        const shell = Bun.spawn(["sh", "-c", `sh -c 'sleep 0.05; ${script}' >/dev/null & echo $!`], { stdout: "pipe" });
        const orphan = Number(await new Response(shell.stdout).text().then((text) => text.trim()));
        using pidfd = pidfd_open(orphan);
        await shell.exited;
        expect(reapChild(orphan)).toBeUndefined();
        expect(waitForEnd(pidfd, 5000)).toBe(true);
        expect(reapChild(orphan)).toMatchObject({ pid: orphan, ...expected });
        expect(reapChild(orphan)).toBeUndefined();
      }
    } finally {
      setChildSubreaper(false);
    }
  });
});
