/** `bun run check`: types, lint and format, layering and bans, unit tests. Passes at every commit, in under a minute. */
import { installPackages } from "../test/harness/packages.ts";
import { build } from "./build.ts";
import { projectRoot } from "./pinned.ts";
import { unitTestShards } from "./unit-tests.ts";

const steps: Record<string, string[]> = {
  types: ["node_modules/.bin/tsc", "-p", "."],
  "lint and format": ["node_modules/.bin/biome", "check", "--error-on-warnings", "."],
  ...Object.fromEntries(
    Object.entries(unitTestShards).map(([name, paths]) => [
      name,
      [process.execPath, "test", "--timeout", "60000", "--only-failures", ...paths],
    ]),
  ),
};

await installPackages();
const started = performance.now();
/** Unit tests need no executable; but hundreds of them start tsd, and from source that takes 40 ms more of the processor. */
const built = build();
const results = await Promise.all(
  Object.entries(steps).map(async ([name, command]) => {
    const env = name in unitTestShards ? { ...process.env, TSD_EXECUTABLE: await built } : process.env;
    const child = Bun.spawn(command, { cwd: projectRoot, env, stdout: "pipe", stderr: "pipe" });
    const [out, err, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (status !== 0) console.error(`${name} failed:\n${out}${err}`);
    return { name, passed: status === 0, seconds: secondsSince(started) };
  }),
);
for (const { name, seconds } of results.sort((a, b) => a.seconds - b.seconds)) console.log(`${seconds} s: ${name}`);
const failed = results.filter(({ passed }) => !passed).length;
console.log(`check: ${failed === 0 ? "passed" : `${failed} of ${results.length} steps failed`}`, {
  seconds: secondsSince(started),
});
process.exit(failed === 0 ? 0 : 1);

function secondsSince(begun: number): number {
  return Math.round((performance.now() - begun) / 100) / 10;
}
