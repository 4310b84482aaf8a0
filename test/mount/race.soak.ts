import { test } from "bun:test";
import { Engine } from "../harness/engine.ts";
import { race } from "./race.ts";

test("1,000 containers get the part of a volume that another one exchanges, or nothing", async () => {
  await using engine = await Engine.open();
  await race(engine, 1000);
}, 1_800_000);
