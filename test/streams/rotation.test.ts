/** Followers of a log that is rotated under them: see rotation.ts. Its long form is rotation.soak.ts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Engine } from "../harness/engine.ts";
import { RotatedLog } from "./rotation.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

describe("a log that is rotated", () => {
  for (const [driver, options] of [
    ["json-file", { "max-size": "20k", "max-file": "1" }],
    ["json-file", { "max-size": "20k", "max-file": "3", compress: "true" }],
    ["local", { "max-size": "8k", "max-file": "3" }],
  ] as const) {
    const described = `${driver} of ${options["max-file"]} files`;
    test(`every follower has every line once, and the disk its limit: ${described}`, async () => {
      await using log = await RotatedLog.start(engine, driver, options);
      for (let follower = 0; follower < 4; follower++) await log.follow();
      let most = 0;
      for (let burst = 0; burst < 20; burst++) {
        // A file takes about 190 lines: no burst goes through more of them than there are.
        await log.write(options["max-file"] === "1" ? 100 : 300);
        await log.caughtUp();
        most = Math.max(most, await log.bytes());
      }
      await log.end();
      expect(log.followers.map(({ gaps }) => gaps)).toEqual([0, 0, 0, 0]);
      expect(most).toBeLessThan(Number(options["max-file"]) * 20_000 + 20_000);
    });
  }

  test("followers of one that writes faster than anybody reads have lines in order, and are told what is missing", async () => {
    await using log = await RotatedLog.start(engine, "json-file", { "max-size": "20k", "max-file": "2" });
    for (let follower = 0; follower < 4; follower++) await log.follow();
    await log.write(50_000);
    await log.caughtUp();
    expect(await log.bytes()).toBeLessThanOrEqual(40_000);
    await log.end();
  });
});
