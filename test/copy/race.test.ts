import { test } from "bun:test";
import { race } from "./race.ts";

test("a container that exchanges folders for symlinks is copied from and to without reading or writing outside", async () => {
  await race(40);
}, 60_000);
