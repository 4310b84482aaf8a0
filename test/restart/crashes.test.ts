import { test } from "bun:test";
import { playCrashes } from "./crash-scene.ts";

test("a daemon that is killed at random moments loses nothing that was done, and leaves nothing half made", async () => {
  await playCrashes("crashes", 4);
});
