import { test } from "bun:test";
import { Random } from "../harness/random.ts";
import { VerbCrashTest } from "./verb-crashes.ts";

test("containers that are changed while the daemon is killed again and again agree with their records", async () => {
  await VerbCrashTest.play(new Random("verbs"), Number(process.env.TSD_SOAK_ROUNDS ?? 300));
}, 3_600_000);
