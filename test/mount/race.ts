/**
 * Starts of containers with a part of a volume in which another container exchanges a folder for a symlink to a
 * directory of the host's, without a pause. They get the volume's own folder or are refused.
 */
import { expect } from "bun:test";
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import type { Engine } from "../harness/engine.ts";
import { Random } from "../harness/random.ts";
import { exchange } from "../runtime/escapes/attacker.ts";

const none = ["--network", "none"];
/** Perl is the host's; the container has nothing that makes the system call. */
const programs = ["/usr", "/lib", "/lib64"].flatMap((path) => ["-v", `${path}:${path}:ro`]);

/** At least so many, and until both have happened. */
export async function race(engine: Engine, triesMin: number): Promise<void> {
  const outside = engine.workspace.path("outside");
  const inVolume = `${engine.daemon.root}/volumes/raced/_data/race`;
  mkdirSync(outside);
  writeFileSync(`${outside}/file`, "the host's");
  await engine.sh([...none, "-v", "raced:/v"], `mkdir /v/race; echo own > /v/race/file; ln -s ${outside} /v/link`);
  const swap = exchange(new Random("subpath race").below(2 ** 31), "/v", [["race", "link"]]);
  const racer = await engine.start([...none, "-v", "raced:/v", ...programs], ...swap);
  const seen = new Set<boolean>();
  await until("names are exchanged", () => seen.add(statSync(inVolume).ino === statSync(outside).ino).size === 2);
  const outcomes = new Map<number, number>();
  for (let tries = 0; tries < triesMin || outcomes.size < 2; tries++) {
    const mount = ["--mount", "type=volume,source=raced,target=/p,volume-subpath=race"];
    const { status, stdout, stderr } = await engine.run([...none, ...mount], ["sh", "-c", "cat /p/file; touch /p/new"]);
    if (status === 0) expect(stdout).toBe("own\n");
    else expect(stderr).toContain("path concatenation escapes the base directory");
    outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
  }
  expect([...outcomes.keys()].sort()).toEqual([0, 125]);
  expect(readdirSync(outside)).toEqual(["file"]);
  console.log(`${outcomes.get(0)} starts had the volume's folder, ${outcomes.get(125)} were refused`);
  await engine.daemon.ok("rm", "-f", racer);
}
