/** `bun run check`: types, lint and format, layering and bans, unit tests. Passes at every commit, in under a minute. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { installPackages } from "../test/harness/packages.ts";
import { projectRoot } from "./pinned.ts";

const others = readdirSync(join(projectRoot, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !["runtime", "shim"].includes(entry.name))
  .map(({ name }) => `./src/${name}`);

function unitTests(...paths: string[]): string[] {
  return [process.execPath, "test", "--timeout", "60000", "--only-failures", ...paths];
}

const steps: Record<string, string[]> = {
  types: ["node_modules/.bin/tsc", "-p", "."],
  "lint and format": ["node_modules/.bin/biome", "check", "--error-on-warnings", "."],
  // In two processes: many of the tests wait for the kernel more than they compute.
  "unit tests of the runtime and the shim": unitTests("./src/runtime", "./src/shim", "./ffi", "./build"),
  "unit tests of the rest": unitTests(...others),
};

await installPackages();
const started = performance.now();
const results = await Promise.all(
  Object.entries(steps).map(async ([name, command]) => {
    const child = Bun.spawn(command, { cwd: projectRoot, stdout: "pipe", stderr: "pipe" });
    const [out, err, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (status !== 0) console.error(`${name} failed:\n${out}${err}`);
    return status === 0;
  }),
);
const failed = results.filter((passed) => !passed).length;
console.log(`check: ${failed === 0 ? "passed" : `${failed} of ${results.length} steps failed`}`, {
  seconds: Math.round((performance.now() - started) / 100) / 10,
});
process.exit(failed === 0 ? 0 : 1);
