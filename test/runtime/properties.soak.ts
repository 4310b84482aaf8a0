/** The long form of the property tests: each property is tried a hundred times as often. TSD_SEED repeats a run. */
import { expect, test } from "bun:test";
import { projectRoot } from "../../build/pinned.ts";

const rounds = process.env.TSD_ROUNDS ?? "100";

test.each([
  "src/runtime/plan/properties.test.ts",
  "src/runtime/invalid-config.test.ts",
  "src/runtime/seccomp/agreement.test.ts",
])(
  "%s holds in many more rounds",
  async (file) => {
    const child = Bun.spawn([process.execPath, "test", "--timeout", "3600000", `./${file}`], {
      cwd: projectRoot,
      env: { ...process.env, TSD_ROUNDS: rounds },
      stdio: ["ignore", "inherit", "inherit"],
    });
    expect(await child.exited).toBe(0);
  },
  3_600_000,
);
