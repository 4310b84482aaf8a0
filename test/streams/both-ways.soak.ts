/** The long form of both-ways.test.ts: 100 MB each way, again and again, and the daemon's memory stays what it was. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Engine } from "../harness/engine.ts";
import { digest, echoAll, noise } from "./echo.ts";

const hour = 3_600_000;
const rounds = Number(process.env.TSD_SOAK_ROUNDS ?? 4);

test(
  "100 MB go through a container and back at once, whole, by every way there is, and memory stays flat",
  async () => {
    await using engine = await Engine.open();
    const input = noise(100_000_000);
    const whole = digest(input);
    const ended = { ...whole, status: 0 };
    const expected = { run: ended, exec: ended, start: ended, attach: ended, raw: whole, socket: whole };
    const memory: number[] = [];
    for (let round = 0; round < rounds; round++) {
      expect(await echoAll(engine, input)).toEqual(expected);
      const status = readFileSync(`/proc/${engine.daemon.pid}/status`, "utf8");
      memory.push(Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) / 1024));
      console.log(`round ${round}: the daemon has ${memory.at(-1)} MiB`);
    }
    // What the first round takes is what is kept for reuse.
    expect(memory.at(-1)!).toBeLessThan(memory[0]! + 20);
  },
  hour,
);
