import { test } from "bun:test";
import { playLoad } from "./load-crashes.ts";

test("a daemon that is killed 20 times under the load of 8 clients leaves every container in a true state", async () => {
  await playLoad("load-crashes", { rounds: 20 });
}, 60_000);

test("shims that are killed under load make unknown ends, and leave nothing", async () => {
  await playLoad("load-shims", { rounds: 6, shims: true });
}, 60_000);
