/**
 * `bun run test [FILTER…]`: installs what the tests need, builds the executable, runs the unit tests and every
 * test file under test/, and ends with a line `N passed, N failed, N skipped`.
 *
 * `bun run test:runtime [--runtime NAME|PATH] [FILTER…]`: the tests of test/runtime/conformance/ alone, of tsd-runc or
 * of the runtime that is named, whose skips are those that the tests give a reason for.
 *
 * Each file runs in a process of its own, two at a time, and one of those that wait more than they compute, with a
 * limit on its time. A skip that test/expected-skips.json does not list counts as a failure: a test that silently
 * stopped running is broken.
 */

import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { build } from "../build/build.ts";
import { pinnedBun, projectRoot } from "../build/pinned.ts";
import { kernelTestShards, unitTestShards } from "../build/unit-tests.ts";
import { type FileReport, parseJunit } from "./harness/junit.ts";
import { installPackages } from "./harness/packages.ts";

type Job = [label: string, paths: string[]];

const conformanceTests = "test/runtime/conformance/";
const fileTimeoutMs = Number(process.env.TSD_TEST_FILE_TIMEOUT_MS ?? 15 * 60_000);
const started = performance.now();

const { conformance, runtime, filters } = readArguments(process.argv.slice(2));
const all = readdirSync(join(projectRoot, "test"), { recursive: true }) as string[];
const soak = process.env.TSD_SOAK === "1";
const integration = all
  .filter((name) => name.endsWith(soak ? ".soak.ts" : ".test.ts"))
  .map((name) => join("test", name))
  .filter((name) => !conformance || name.startsWith(conformanceTests))
  .sort();
const chosen =
  filters.length === 0 ? integration : integration.filter((file) => filters.some((text) => file.includes(text)));
if (chosen.length === 0 && filters.length > 0) {
  console.error(`no test file matches ${filters.join(" ")}`);
  process.exit(1);
}

await installPackages();
const executable = await build();
console.log(`built ${executable}`);

const expectedSkips = (await Bun.file(join(projectRoot, "test", "expected-skips.json")).json()) as Record<
  string,
  string
>;
const reports: FileReport[] = [];
const units = filters.length === 0 && !soak && !conformance ? { ...unitTestShards, ...kernelTestShards } : {};
/** Of another runtime: why a test was skipped, by its name, as the test said. */
const givenReasons: Record<string, string> = {};
/** They wait for registries that are silent, or want to be asked later, four fifths of their time. */
const waiting = ["image/hostile-layers", "image/refusals", "docker/manifest"].map((name) => `test/${name}.test.ts`);
const queue: Job[] = [
  // The guest's file takes longest: begun first, it does not run on alone at the end.
  ...chosen.filter((file) => file.includes("guest")).map(asJob),
  ...Object.entries(units),
  ...chosen.filter((file) => !file.includes("guest") && !waiting.includes(file)).map(asJob),
];
const workers = Array.from({ length: Math.max(1, Math.min(2, cpus().length)) }, () => work(queue));
await Promise.all([...workers, work(chosen.filter((file) => waiting.includes(file)).map(asJob))]);
process.exit(summarize(reports));

function readArguments(words: string[]): { conformance: boolean; runtime: string; filters: string[] } {
  const conformance = words[0] === "--conformance";
  const filters = conformance ? words.slice(1) : words;
  const at = filters.findIndex((word) => word === "--runtime" || word.startsWith("--runtime="));
  if (!conformance || at < 0) return { conformance, runtime: "", filters };
  const inline = filters[at]!.split("=", 2)[1];
  const runtime = inline ?? filters[at + 1] ?? "";
  if (runtime === "" || (runtime !== "tsd-runc" && Bun.which(runtime) === null)) {
    console.error(`--runtime ${runtime}: no such program`);
    process.exit(1);
  }
  filters.splice(at, inline === undefined ? 2 : 1);
  return { conformance, runtime: runtime === "tsd-runc" ? "" : runtime, filters };
}

async function work(jobs: Job[]): Promise<void> {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) reports.push(await runFile(job[1], job[0]));
}

function asJob(file: string): Job {
  return [file, [`./${file}`]];
}

async function runFile(paths: string[], label: string): Promise<FileReport> {
  const output = join(projectRoot, "dist", `junit-${label.replaceAll(/\W+/g, "-")}.xml`);
  const begun = performance.now();
  const child = Bun.spawn(
    [pinnedBun, "test", "--timeout", "120000", "--reporter=junit", `--reporter-outfile=${output}`, ...paths],
    {
      cwd: projectRoot,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, TSD_EXECUTABLE: executable, TSD_TEST_RUNTIME: runtime },
    },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), fileTimeoutMs);
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(timer);
  const xml = Bun.file(output);
  const report = parseJunit(label, (await xml.exists()) ? await xml.text() : "");
  if (await xml.exists()) await xml.delete();
  // A process that died, or an error outside any test, is a failure that no test case shows.
  if (status !== 0 && report.failed.length === 0) report.failed.push(`${label}: exit status ${status}`);
  if (status === 0 && report.passed + report.skipped.length === 0) report.failed.push(`${label}: no test ran`);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  console.log(`${report.failed.length === 0 ? "ok  " : "FAIL"} ${label}: ${report.passed} passed (${seconds} s)`);
  const notes = stdout.split("\n").filter((line) => line.startsWith("note: "));
  for (const note of notes) {
    const [, name, reason] = /^note: skipped: (.*): ([^:]*)$/.exec(note) ?? [];
    if (runtime !== "" && name !== undefined) givenReasons[`${label} > ${name}`] = reason!;
    else console.log(`     ${note}`);
  }
  if (report.failed.length > 0) console.log(`${stdout}${stderr}`);
  return report;
}

function summarize(all: FileReport[]): number {
  const passed = all.reduce((sum, report) => sum + report.passed, 0);
  const failed = all.flatMap((report) => report.failed);
  const skipped = all.flatMap((report) => report.skipped);
  for (const name of skipped) {
    const reason = givenReasons[name] ?? expectedSkips[name];
    if (reason === undefined) failed.push(`${name}: skipped, and not listed in test/expected-skips.json`);
    else console.log(`skipped: ${name}: ${reason}`);
  }
  for (const name of failed) console.log(`failed: ${name}`);
  console.log(`${Math.round((performance.now() - started) / 1000)} s`);
  console.log(`${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  return failed.length === 0 ? 0 : 1;
}
