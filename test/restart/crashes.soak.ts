import { test } from "bun:test";
import { playCrashes } from "./crash-scene.ts";

const hour = 3_600_000;

test(
  "a daemon that is killed at random moments, again and again, loses nothing and leaves nothing",
  async () => {
    await playCrashes("crashes", Number(process.env.TSD_SOAK_ROUNDS ?? 300));
  },
  hour,
);
