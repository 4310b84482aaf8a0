import { test } from "bun:test";
import { Random } from "../harness/random.ts";
import { VerbCrashTest } from "./verb-crashes.ts";

test("a daemon that is killed while containers are changed leaves each as it was, or as it was to be", async () => {
  await VerbCrashTest.play(new Random("verbs"), 3);
}, 60_000);
