import { test } from "bun:test";
import { playMany } from "./many.ts";

const hour = 3_600_000;

test(
  "500 containers on one network leave nothing, and the last is started as fast as the first",
  async () => {
    await playMany(Number(process.env.TSD_SOAK_CONTAINERS ?? 500));
  },
  hour,
);
