import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { PlanBuilder } from "./builder.ts";
import { PlanTimeout, spawnPlan } from "./spawn.ts";

const SIGSTOP = 19;
const isRoot = process.geteuid?.() === 0;

/** A plan whose process stops itself, as somebody else may stop it who shares its pid namespace. */
function stopping(handOver: "never" | "before" | "after" = "never") {
  const plan = new PlanBuilder();
  if (handOver === "before") plan.handOver(0);
  const own = plan.call("getpid", []);
  plan.call("kill", [own, SIGSTOP]);
  if (handOver === "after") plan.handOver(0);
  plan.call("exit_group", [0]);
  return plan.build();
}

/** The children of this process that are capsules: none may be left, not even as zombies. */
function capsules(): string[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  return children.filter((pid) => /\((\d+|memfd:tsd-init|tsd-init)\)/.test(readFileSync(`/proc/${pid}/stat`, "utf8")));
}

describe("a plan that stands still", () => {
  test("is given up after its time, and ended", () => {
    using running = spawnPlan(stopping(), { timeoutMs: 50 });
    expect(() => running.next()).toThrow(PlanTimeout);
    expect(() => running.next()).toThrow(`process ${running.pid} did not go on with its plan for 0.05 s`);
    expect(capsules()).toHaveLength(1);
    running.kill();
    expect(capsules()).toEqual([]);
    // Once more, when there is nothing left.
    running.kill();
  });

  test.skipIf(!isRoot)("is given up before and after a hand-over", () => {
    expect(() => spawnPlan(stopping("after"), { timeoutMs: 50 })).toThrow(PlanTimeout);
    expect(capsules()).toEqual([]);
    using running = spawnPlan(stopping("before"), { timeoutMs: 50 });
    expect(() => running.next()).toThrow(PlanTimeout);
    running.kill();
    expect(capsules()).toEqual([]);
  });

  test("may stand as long as it likes where no time is given", () => {
    const plan = new PlanBuilder();
    plan.call("exit_group", [3]);
    using running = spawnPlan(plan.build());
    expect(running.next()).toBeUndefined();
    expect(running.reap()).toEqual({ status: 3 });
  });
});
