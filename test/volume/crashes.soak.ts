import { test } from "bun:test";
import { Random } from "../harness/random.ts";
import { playCrashes } from "./crash.ts";

const hour = 3_600_000;

test(
  "a daemon that is killed again and again loses no volume, doubles none, and removes none that is used",
  async () => {
    await playCrashes(new Random("volume crashes"), Number(process.env.TSD_SOAK_ROUNDS ?? 200));
  },
  hour,
);
