import { test } from "bun:test";
import { Random } from "../harness/random.ts";
import { playCrashes } from "./crash.ts";

const hour = 3_600_000;

test(
  "a daemon that is killed again and again loses no network and no port, and leaves nothing half made",
  async () => {
    await playCrashes(new Random("network crashes"), Number(process.env.TSD_SOAK_ROUNDS ?? 200));
  },
  hour,
);
