/**
 * Imported first by every script of package.json. `npx bun` brings whatever version of Bun is newest; tsd is
 * built and tested with exactly the version that package.json pins. So: install the dependencies when they are
 * not there, then, under any other version, run the same script again under the pinned one.
 *
 * It imports nothing but Node's own modules, because nothing else is installed yet when it runs.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const projectRoot: string = join(import.meta.dir, "..");

interface PackageFile {
  version: string;
  devDependencies: { bun: string };
}

export const packageFile = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as PackageFile;

const pinnedVersion = packageFile.devDependencies.bun;
const installed = join(projectRoot, "node_modules");
const lockCopy = join(installed, ".tsd-lock");

/** The lock file that node_modules was last installed from, so that a changed one is installed again. */
function isInstalled(): boolean {
  if (!existsSync(lockCopy)) return false;
  return readFileSync(lockCopy, "utf8") === readFileSync(join(projectRoot, "bun.lock"), "utf8");
}

const installedNow = !isInstalled();
if (installedNow) {
  console.error("installing dependencies…");
  const install = spawnSync(process.execPath, ["install", "--frozen-lockfile"], {
    cwd: projectRoot,
    stdio: ["ignore", 2, 2],
  });
  if (install.status !== 0) {
    console.error("bun install failed");
    process.exit(1);
  }
  await Bun.write(lockCopy, Bun.file(join(projectRoot, "bun.lock")));
}

/**
 * The pinned Bun as it was installed: the platform's package brings it, and the installation script of the package
 * `bun`, where the package manager runs it, moves it. Where neither is so, this process's own if it is that version.
 */
export const pinnedBun: string =
  [`@oven/bun-linux-${process.arch}/bin/bun`, "bun/bin/bun.exe"]
    .map((name) => join(installed, name))
    .find((path) => existsSync(path)) ?? process.execPath;

// After an installation too: Bun's bundler remembers that there was no node_modules when this process started.
if (installedNow || Bun.version !== pinnedVersion) {
  if (process.env.TSD_PINNED === "1") {
    console.error(`tsd needs Bun ${pinnedVersion}, this is ${Bun.version}, and ${pinnedBun} is not it`);
    process.exit(1);
  }
  const again = spawnSync(pinnedBun, process.argv.slice(1), {
    stdio: "inherit",
    env: { ...process.env, TSD_PINNED: "1" },
  });
  process.exit(again.status ?? 1);
}
