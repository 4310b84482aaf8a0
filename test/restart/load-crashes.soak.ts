import { test } from "bun:test";
import { playLoad } from "./load-crashes.ts";

const hour = 3_600_000;
const rounds = Number(process.env.TSD_SOAK_ROUNDS ?? 200);

test(
  "a daemon that is killed again and again under the load of 8 clients leaves every container in a true state",
  async () => {
    await playLoad("load-crashes", { rounds });
  },
  hour,
);

test(
  "shims that are killed again and again under load make unknown ends, and leave nothing",
  async () => {
    await playLoad("load-shims", { rounds, shims: true });
  },
  hour,
);
