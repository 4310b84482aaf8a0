import { afterEach, describe, expect, test } from "bun:test";
import { PlanBuilder } from "../../ffi/plan/builder.ts";
import { spawnPlan } from "../../ffi/plan/spawn.ts";
import { Reaper } from "./reaper.ts";

let reaper: Reaper | undefined;
afterEach(() => {
  reaper?.[Symbol.dispose]();
  reaper = undefined;
});

/** A child of this process that exits at once. */
function startChild(status: number): number {
  const plan = new PlanBuilder();
  plan.call("exit_group", [status]);
  using child = spawnPlan(plan.build());
  return child.pid;
}

describe("the reaper", () => {
  test("tells each end, however many one signal stands for", async () => {
    reaper = new Reaper();
    const waiting = Array.from({ length: 50 }, (_, status) => reaper!.wait(startChild(status)));
    const ends = await Promise.all(waiting);
    expect(ends.map((end) => end.kind === "exited" && end.code)).toEqual(Array.from({ length: 50 }, (_, code) => code));
  });

  test("keeps the end of a child whose pid is known only later", async () => {
    reaper = new Reaper();
    const pid = startChild(9);
    await Bun.sleep(30);
    expect(await reaper.wait(pid)).toMatchObject({ pid, kind: "exited", code: 9 });
  });

  test("leaves Bun's own children to it", async () => {
    reaper = new Reaper();
    const status = await reaper.withForeignChildren(async () => {
      const child = Bun.spawn(["sh", "-c", "sleep 0.05; exit 3"]);
      for (let round = 0; round < 10; round++) {
        startChild(0);
        await Bun.sleep(10);
      }
      return child.exited;
    });
    expect(status).toBe(3);
  });
});
