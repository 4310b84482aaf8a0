/** The short form of many.soak.ts. */
import { test } from "bun:test";
import { playMany } from "./many.ts";

test("60 containers on one network leave nothing, and the last is started as fast as the first", async () => {
  await playMany(60);
});
