/**
 * `bun run build`: writes dist/tsd, the one executable.
 *
 * The compile flags matter for safety: a compiled Bun program would otherwise load `.env` and run the preload
 * of a `bunfig.toml` that lies in its working directory, which for a daemon run as root is code execution.
 */

import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { prependEntry } from "./entry.ts";
import { packageFile, projectRoot } from "./pinned.ts";

export const executable: string = join(projectRoot, "dist", "tsd");

/** @returns the path of the executable. */
export async function build(): Promise<string> {
  const temporary = `${executable}.${process.pid}.tmp`;
  await mkdir(join(projectRoot, "dist"), { recursive: true });
  const commit = git("rev-parse", "--short=7", "HEAD") || "unknown";
  const commitTime = git("log", "-1", "--format=%cI") || "1970-01-01T00:00:00Z";
  const result = await Bun.build({
    entrypoints: [join(projectRoot, "src", "main.ts")],
    target: "bun",
    format: "esm",
    minify: { syntax: true, whitespace: true, identifiers: false },
    sourcemap: "none",
    bytecode: true,
    // A chunk for each dynamic import: a mode loads its own code alone. Without it every command and every idle shim
    // pays for the whole program: 3 ms of start and 1.5 MB of memory.
    splitting: true,
    throw: false,
    define: {
      TSD_VERSION: JSON.stringify(packageFile.version),
      TSD_COMMIT: JSON.stringify(commit),
      TSD_BUILD_TIME: JSON.stringify(new Date(commitTime).toISOString()),
    },
    compile: {
      outfile: temporary,
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  });
  if (!result.success) {
    await rm(temporary, { force: true });
    throw new AggregateError(result.logs, result.logs.map(String).join("\n"));
  }
  prependEntry(temporary);
  await rename(temporary, executable);
  return executable;
}

function git(...args: string[]): string {
  const run = Bun.spawnSync(["git", ...args], { cwd: projectRoot, stderr: "ignore" });
  return run.success ? run.stdout.toString().trim() : "";
}

if (import.meta.main) {
  try {
    console.log(await build());
  } catch (error) {
    console.error(String(error));
    process.exit(1);
  }
}
