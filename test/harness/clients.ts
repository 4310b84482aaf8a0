/**
 * Docker's libraries for other languages, unmodified, and programs that use them as their documentation shows. A program
 * of test/clients/ prints a line of the Test Anything Protocol for each of its tests.
 */
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { mkdtemp, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { projectRoot } from "../../build/pinned.ts";
import { type CommandResult, command, succeed } from "./command.ts";
import type { DockerScene } from "./docker.ts";

/** What npm has installed, by the lock file, in a cache that any run may delete. */
const cache = "/var/tmp/tsd-test-clients";
const programs = join(projectRoot, "test", "clients");

/** @returns the directory `node_modules` with the libraries that test/clients/package-lock.json pins. */
async function nodeModules(): Promise<string> {
  const pinned = ["package.json", "package-lock.json"].map((name) => join(programs, name));
  const hash = createHash("sha256");
  for (const file of pinned) hash.update(readFileSync(file));
  const target = join(cache, hash.digest("hex").slice(0, 16));
  if (!existsSync(target)) {
    mkdirSync(cache, { recursive: true });
    const work = await mkdtemp(join(cache, "work-"));
    for (const file of pinned) copyFileSync(file, join(work, basename(file)));
    await succeed(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: work, timeoutMs: 300_000 });
    await rename(work, target).catch((error: unknown) => {
      rmSync(work, { recursive: true });
      if (!existsSync(target)) throw error; // another test file was faster
    });
  }
  return join(target, "node_modules");
}

/** The names of a program's tests, in its order. */
export function testsOf(program: string): string[] {
  const text = readFileSync(join(programs, program), "utf8");
  const pattern = program.endsWith(".py") ? /def test_\w+\(self\):\n\s+"""(.+)"""/g : /^test\("(.+)",/gm;
  return [...text.matchAll(pattern)].map(([, name]) => name!);
}

/** A program that has run to its end against a daemon, from the network namespace in which that publishes ports. */
export class ClientProgram {
  readonly #result: CommandResult;
  readonly #passed = new Set<string>();

  private constructor(result: CommandResult) {
    this.#result = result;
    for (const [, name] of result.stdout.matchAll(/^ok \d+ - (.+?)( # .*)?$/gm)) this.#passed.add(name!);
  }

  static async run(scene: DockerScene, program: string, env: Record<string, string> = {}): Promise<ClientProgram> {
    const { workspace, daemon, image } = scene;
    const directory = workspace.path("clients");
    mkdirSync(directory, { recursive: true });
    const copy = join(directory, program);
    copyFileSync(join(programs, program), copy);
    const modules = join(directory, "node_modules");
    const isPython = program.endsWith(".py");
    if (!isPython && !existsSync(modules)) symlinkSync(await nodeModules(), modules);
    // Ended by a signal of its own, so that what it wrote is there when something hangs.
    const argv = ["timeout", "40", ...(isPython ? ["/usr/bin/python3"] : ["node", "--test-reporter=tap"]), copy];
    return new ClientProgram(
      await command(workspace.inNetwork(argv), {
        cwd: directory,
        env: { ...daemon.env, HOME: directory, IMAGE: image, ...env },
      }),
    );
  }

  /** @throws when a test of the program failed or was not reached, with all that it wrote. */
  expectPassed(name: string): void {
    const { stdout, stderr } = this.#result;
    if (!this.#passed.has(name)) throw new Error(`${name}: not passed\n${stdout}${stderr}`);
  }
}
