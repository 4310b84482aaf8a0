import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { POLLIN, waitReady } from "./poll.ts";
import { blockSignals, catchableSignals, ignoredByBun, resetSignal, SignalPipe } from "./signal.ts";

/** A mask of /proc/self/status as signal numbers. */
function statusMask(name: string): number[] {
  const mask = BigInt(
    `0x${new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))![1]}`,
  );
  return Array.from({ length: 64 }, (_, index) => index + 1).filter((signal) => mask & (1n << BigInt(signal - 1)));
}

describe("signals", () => {
  test("that Bun ignores are all known, for a container must not inherit that", () => {
    expect(statusMask("SigIgn").filter((signal) => !ignoredByBun.includes(signal))).toEqual([]);
    expect(statusMask("SigIgn")).toEqual([...ignoredByBun]);
  });
  test("that Bun catches for itself are left alone", () => {
    const own = statusMask("SigCgt").filter((signal) => signal !== 33);
    expect(own.filter((signal) => signal < 15 && catchableSignals.includes(signal))).toEqual([]);
  });
  test("are blocked on this thread until given back", () => {
    const before = statusMask("SigBlk");
    {
      using _blocked = blockSignals();
      expect(statusMask("SigBlk")).toContain(15);
    }
    expect(statusMask("SigBlk")).toEqual(before);
  });
  test("are collected in a pipe in place of their effect, and have it back afterwards", () => {
    const terminate = 15;
    const realTime = 35;
    const formerlyCaught = statusMask("SigCgt");
    {
      using pipe = new SignalPipe([terminate, realTime]);
      expect(pipe.read()).toEqual([]);
      for (const signal of [terminate, realTime]) {
        Bun.spawnSync(["kill", `-${signal}`, String(process.pid)]);
        expect(waitReady(pipe.reader, POLLIN, 5000)).toBe(true);
        expect(pipe.read()).toEqual([signal]);
      }
      expect(waitReady(pipe.reader, POLLIN, 0)).toBe(false);
    }
    expect(statusMask("SigCgt")).toEqual(formerlyCaught);
  });
  test("arrive in bursts while JavaScript is busy, on whatever thread, without harm", () => {
    using pipe = new SignalPipe([10]);
    const shell = Bun.spawn(["sh", "-c", `for i in $(seq 200); do kill -USR1 ${process.pid}; done`]);
    const end = performance.now() + 400;
    let garbage: unknown[] = [];
    while (performance.now() < end) garbage = Array.from({ length: 1000 }, (_, index) => ({ index, garbage: [] }));
    expect(garbage.length).toBe(1000);
    expect(pipe.read().every((signal) => signal === 10)).toBe(true);
    return shell.exited.then((code) => expect(code).toBe(0));
  });
  test("that were ignored get their default effect back", () => {
    using pipe = new SignalPipe([12]);
    expect(pipe.read()).toEqual([]);
    expect(statusMask("SigIgn")).not.toContain(12);
    resetSignal(12);
    expect(statusMask("SigCgt")).not.toContain(12);
  });
  test("that are ignored stay so where that is asked for", () => {
    const former = statusMask("SigIgn");
    {
      using pipe = new SignalPipe([12, 13], { keepIgnored: true });
      expect(pipe.read()).toEqual([]);
      expect([statusMask("SigIgn"), statusMask("SigCgt").includes(12)]).toEqual([former, true]);
    }
    expect(statusMask("SigIgn")).toEqual(former);
  });
  test("KILL and STOP are refused by the kernel", () => {
    expect(() => new SignalPipe([9])).toThrow("EINVAL");
  });
});
