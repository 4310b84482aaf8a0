/** The short form of many.soak.ts. */
import { test } from "bun:test";
import { playMany } from "./many/play.ts";

test("nothing is left of containers, of commands that were killed, or of races", async () => {
  await playMany(42, 25, 14, 110_000);
});
