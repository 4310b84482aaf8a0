/** The short form of killed-pulls.soak.ts. */
import { test } from "bun:test";
import { playKilledPulls } from "./killed-pulls.ts";

test(
  "a daemon that is killed at random moments of a pull goes on from there, and ends right",
  () => playKilledPulls("killed pulls", { kills: 4, imageBytes: 100 * 2 ** 20 }),
  110_000,
);
