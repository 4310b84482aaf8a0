import { describe, expect, test } from "bun:test";
import { Spares } from "./spares.ts";

interface Shim {
  number: number;
  usable: boolean;
}

/** Spares over processes that start when the test says so. */
function fixture(startsMax = 2) {
  const pending: PromiseWithResolvers<Shim>[] = [];
  const discarded: number[] = [];
  const failures: unknown[] = [];
  let started = 0;
  const spares = new Spares<Shim>({
    spawn: () => {
      const start = Promise.withResolvers<Shim>();
      started++;
      pending.push(start);
      return start.promise;
    },
    isUsable: ({ usable }) => usable,
    discard: ({ number }) => discarded.push(number),
    onFailure: (error) => failures.push(error),
    startsMax,
    replenishMs: 5,
    calmMs: 20,
  });
  let number = 0;
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  const finishStart = async () => {
    const shim = { number: ++number, usable: true };
    pending.shift()!.resolve(shim);
    await settle();
    return shim;
  };
  const failStart = async (error: Error) => {
    pending.shift()!.reject(error);
    await settle();
  };
  return { spares, pending, discarded, failures, finishStart, failStart, settle, started: () => started };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

describe("spare shims", () => {
  test("give the one that is ready, and start another only a while later", async () => {
    const { spares, finishStart, started } = fixture();
    spares.prepare();
    const ready = await finishStart();
    expect(await spares.take()).toBe(ready);
    expect(started()).toBe(1);
    await until(() => started() === 2);
    expect((await Promise.all([finishStart(), spares.close()])).length).toBe(2);
  });

  test("start nothing for containers that run one after another: each has the shim of the one before", async () => {
    const { spares, finishStart, started } = fixture();
    spares.prepare();
    await finishStart();
    for (let run = 0; run < 20; run++) {
      const shim = await spares.take();
      expect(await spares.giveBack(shim, async () => true)).toBeTrue();
    }
    expect(started()).toBe(1);
    await spares.close();
  });

  test("in a burst start no more at a time than they may, and serve in order whatever comes first", async () => {
    const { spares, pending, finishStart, settle } = fixture(2);
    const taken: number[] = [];
    const takes = Array.from({ length: 5 }, (_, index) =>
      spares.take().then((shim) => {
        taken.push(index);
        return shim;
      }),
    );
    await settle();
    expect(pending.length).toBe(2);
    const first = await finishStart();
    expect(taken).toEqual([0]);
    expect(await spares.giveBack(first, async () => true)).toBeTrue();
    await settle();
    expect(taken).toEqual([0, 1]);
    while (taken.length < 5) {
      expect(pending.length).toBeLessThanOrEqual(2);
      await finishStart();
    }
    expect(new Set((await Promise.all(takes)).map(({ number }) => number)).size).toBe(4);
    while (pending.length > 0) await finishStart();
    await spares.close();
  });

  test("are several for a while after a burst, then one", async () => {
    const { spares, pending, discarded, finishStart } = fixture(8);
    const takes = [spares.take(), spares.take(), spares.take()];
    while (pending.length > 0) await finishStart();
    const shims = await Promise.all(takes);
    const kept = await Promise.all(shims.map((shim) => spares.giveBack(shim, async () => true)));
    expect(kept).toEqual([true, true, true]);
    expect(discarded).toEqual([]);
    await until(() => discarded.length > 0);
    expect(discarded.length).toBe(3);
    await spares.take();
    await spares.close();
    expect(discarded.length).toBe(3);
  });

  test("are started one ahead while starts come fast", async () => {
    const { spares, pending, finishStart, started } = fixture();
    const first = spares.take();
    await finishStart();
    await first;
    expect(pending.length).toBe(1);
    await finishStart();
    await spares.take();
    expect(started()).toBe(3);
    await finishStart();
    await spares.close();
  });

  test("pass over one that has ended meanwhile", async () => {
    const { spares, finishStart } = fixture();
    spares.prepare();
    (await finishStart()).usable = false;
    const take = spares.take();
    const fresh = await finishStart();
    expect(await take).toBe(fresh);
    await finishStart();
    await spares.close();
  });

  test("tell one that waits of each start that fails, and the log of a spare that nobody waits for", async () => {
    const { spares, failures, failStart } = fixture(1);
    const takes = Promise.allSettled([spares.take(), spares.take()]);
    await failStart(new Error("first"));
    await failStart(new Error("second"));
    expect((await takes).map((each) => (each.status === "rejected" ? each.reason.message : each.status))).toEqual([
      "first",
      "second",
    ]);
    spares.prepare();
    await failStart(new Error("third"));
    expect(failures).toEqual([new Error("third")]);
    await spares.close();
  });

  test("do not keep one that is not needed, or cannot be used again, and let go of one that comes too late", async () => {
    const { spares, discarded, pending, finishStart } = fixture();
    spares.prepare();
    await finishStart();
    const taken = await spares.take();
    expect(await spares.giveBack(taken, async () => false)).toBeFalse();
    spares.prepare();
    const closed = spares.close();
    const late = await finishStart();
    await closed;
    expect(discarded).toEqual([late.number]);
    expect(pending).toEqual([]);
    expect(await spares.giveBack(taken, () => Promise.reject(new Error("not asked")))).toBeFalse();
  });
});
