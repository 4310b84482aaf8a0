import { describe, expect, test } from "bun:test";
import { type ContainerHealth, endedHealth, healthText, intervalMs, judge, startingHealth } from "./health.ts";
import { FrameReader, ProbeOutput } from "./output.ts";
import { healthPlan } from "./plan.ts";
import { startProbe } from "./probe.ts";

const startedAt = "2026-01-01T00:00:00Z";
const at = (seconds: number) => new Date(Date.parse(startedAt) + seconds * 1000).toISOString();
const result = (ExitCode: number, seconds = 0) => ({ Start: at(seconds), End: at(seconds), ExitCode, Output: "" });
const plan = healthPlan({ Healthcheck: { Test: ["CMD", "a"], Retries: 2, StartPeriod: 10e9, Interval: 7e9 } })!;

/** What becomes of a container whose probes end so, in seconds after its start and exit codes. */
function after(...probes: [number, number][]): ContainerHealth {
  return probes.reduce(
    (health, [seconds, code]) => judge(health, result(code, seconds), plan, startedAt),
    startingHealth(undefined),
  );
}

describe("health", () => {
  test.each<[string, [number, number][], string, number]>([
    ["is not known before the first probe", [], "starting", 0],
    ["is good after one success", [[1, 0]], "healthy", 0],
    [
      "is not judged by failures in the start period",
      [
        [1, 1],
        [2, 1],
        [9.9, 1],
      ],
      "starting",
      0,
    ],
    [
      "is bad after as many failures as retries",
      [
        [10, 1],
        [11, -1],
      ],
      "unhealthy",
      2,
    ],
    [
      "counts in the start period once it was good",
      [
        [1, 0],
        [2, 1],
        [3, 1],
      ],
      "unhealthy",
      2,
    ],
    [
      "stays good until then",
      [
        [1, 0],
        [20, 1],
      ],
      "healthy",
      1,
    ],
    [
      "is good again after one success",
      [
        [11, 1],
        [12, 1],
        [13, 0],
      ],
      "healthy",
      0,
    ],
  ])("%s", (_name, probes, status, failingStreak) => {
    expect(after(...probes)).toMatchObject({ status: status as ContainerHealth["status"], failingStreak });
  });

  test("keeps what the last five probes said, over a restart too, and is bad when nobody can be asked", () => {
    const before = after([1, 1], [2, 1], [3, 1], [4, 0], [5, 0], [6, 0], [7, 3]);
    expect(before.log.map(({ ExitCode }) => ExitCode)).toEqual([1, 0, 0, 0, 3]);
    expect(endedHealth(before)).toEqual({ ...before, status: "unhealthy" });
    expect(startingHealth(before)).toEqual({ status: "starting", failingStreak: 0, log: before.log });
    expect([before, startingHealth(before), endedHealth(before)].map(healthText)).toEqual([
      " (healthy)",
      " (health: starting)",
      " (unhealthy)",
    ]);
  });

  test("is asked for more often in the start period, until it is good", () => {
    expect(intervalMs(after(), plan, 9999)).toBe(5000);
    expect(intervalMs(after(), plan, 10_000)).toBe(7000);
    expect(intervalMs(after([1, 0]), plan, 1000)).toBe(7000);
  });
});

describe("a plan", () => {
  test("has Docker's defaults, and the image's shell", () => {
    const Test = ["CMD-SHELL", "a && b"];
    expect(healthPlan({ Healthcheck: { Test } })).toEqual({
      probe: { kind: "command", command: ["/bin/sh", "-c", "a && b"] },
      onFailure: "none",
      intervalMs: 30_000,
      timeoutMs: 30_000,
      startPeriodMs: 0,
      startIntervalMs: 5000,
      retries: 3,
    });
    expect(healthPlan({ Healthcheck: { Test }, Shell: ["bash", "-lc"] })!.probe).toEqual({
      kind: "command",
      command: ["bash", "-lc", "a && b"],
    });
  });
  test("is none where nothing is asked", () => {
    for (const Test of [[], ["NONE"], ["curl x"]]) expect(healthPlan({ Healthcheck: { Test } })).toBeUndefined();
    expect(healthPlan({})).toBeUndefined();
    expect(healthPlan({ Healthcheck: { Interval: 1e9 } })).toBeUndefined();
  });
});

describe("output", () => {
  test("is kept up to a limit, out of frames that come in any pieces", () => {
    const frame = (stream: number, text: string) =>
      Buffer.from([stream, 0, 0, 0, 0, 0, 0, text.length, ...Buffer.from(text)]);
    const bytes = Buffer.concat([frame(1, "one "), frame(2, ""), frame(2, "two "), frame(1, "three")]);
    for (let size = 1; size <= bytes.length; size++) {
      const output = new ProbeOutput();
      const frames = new FrameReader((data) => output.add(data));
      for (let start = 0; start < bytes.length; start += size) frames.add(bytes.subarray(start, start + size));
      expect(output.text).toBe("one two three");
    }
    const output = new ProbeOutput();
    for (let n = 0; n < 100; n++) output.add(Buffer.alloc(100, "x"));
    expect(output.text).toBe(`${"x".repeat(4096)}...`);
    expect(() => new FrameReader(() => undefined).add(Buffer.from("no frames"))).toThrow("a frame of stream 110");
  });
});

describe("a probe", () => {
  test("that fails to begin, or is late, says so; one that is stopped is known to be", async () => {
    const refused = startProbe(async () => Promise.reject(new Error("no such program")), 1000);
    expect(await refused.outcome).toEqual({ exitCode: -1, output: "no such program" });
    const late = startProbe(async (output, signal) => {
      output.add(Buffer.from("so far"));
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      return 0;
    }, 1.5);
    const output = "Health check exceeded timeout (1.5ms): so far";
    expect(await late.outcome).toEqual({ exitCode: -1, output, isLate: true });
    expect(late.wasStopped).toBe(false);
    await late.over;
    late.stop();
    expect(late.wasStopped).toBe(true);
    const patient = startProbe(() => Bun.sleep(5).then(() => 0), 1000 * 3600 * 1000);
    expect(await patient.outcome).toEqual({ exitCode: 0, output: "" });
  });
});
