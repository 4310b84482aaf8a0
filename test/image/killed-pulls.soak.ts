/** Twenty kills of the daemon in one pull of an image of 500 MB: at most a tenth more is fetched than the image has. */
import { test } from "bun:test";
import { playKilledPulls } from "./killed-pulls.ts";

test(
  "a daemon that is killed at twenty random moments of a pull goes on from there, and ends right",
  () => playKilledPulls("killed pulls", { kills: 20, imageBytes: 500 * 2 ** 20 }),
  15 * 60_000,
);
