/** Containers one after another, and commands that are killed at random moments. TSD_SEED repeats a run. */
import { test } from "bun:test";
import { playMany } from "./many/play.ts";

const hour = 3_600_000;

test(
  "nothing is left of a thousand containers, of 200 commands that were killed, or of 200 races",
  async () => {
    const containers = Number(process.env.TSD_SOAK_CONTAINERS ?? 1000);
    const kills = Number(process.env.TSD_SOAK_KILLS ?? 200);
    await playMany(containers, kills, Number(process.env.TSD_SOAK_RACES ?? 200), hour);
  },
  hour,
);
