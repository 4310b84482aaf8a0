/** The short form of crashes.soak.ts. */
import { test } from "bun:test";
import { Random } from "../harness/random.ts";
import { playCrashes } from "./crash.ts";

test("a daemon that is killed at random moments loses no network and no port, and leaves nothing half made", async () => {
  await playCrashes(new Random("network crashes"), 6);
});
