import { test } from "bun:test";
import { race } from "./race.ts";

const hour = 3_600_000;

test(
  "10,000 copies from and to a container that exchanges folders for symlinks read and write nothing outside",
  async () => {
    await race(Number(process.env.TSD_SOAK_COPIES ?? 10_000));
  },
  hour,
);
