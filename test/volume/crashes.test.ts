import { test } from "bun:test";
import { Random } from "../harness/random.ts";
import { playCrashes } from "./crash.ts";

test("a daemon that is killed at random moments loses no volume, doubles none, and removes none that is used", async () => {
  await playCrashes(new Random("volume crashes"), 6);
});
