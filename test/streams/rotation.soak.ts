/** The long form of rotation.test.ts: followers come and go while half a million lines pass through tiny files. */
import { expect, test } from "bun:test";
import { Engine } from "../harness/engine.ts";
import { RotatedLog } from "./rotation.ts";

const rounds = Number(process.env.TSD_SOAK_ROUNDS ?? 2000);

for (const [driver, options] of [
  ["json-file", { "max-size": "20k", "max-file": "2" }],
  ["json-file", { "max-size": "20k", "max-file": "5", compress: "true" }],
  ["local", { "max-size": "10k", "max-file": "5" }],
] as const) {
  test(`no line is lost or doubled in ${rounds} bursts, and the disk keeps its limit: ${driver} of ${options["max-file"]} files`, async () => {
    await using engine = await Engine.open();
    await using log = await RotatedLog.start(engine, driver, options);
    let most = 0;
    for (let burst = 0; burst < rounds; burst++) {
      if (burst % 100 === 0) await log.follow();
      await log.write(250);
      await log.caughtUp();
      most = Math.max(most, await log.bytes());
    }
    await log.end();
    expect(log.followers.map(({ gaps }) => gaps)).toEqual(log.followers.map(() => 0));
    expect(most).toBeLessThan(Number(options["max-file"]) * 20_000 + 20_000);
  }, 3_600_000);
}
