/**
 * Copies from and to a container that exchanges folders for symlinks which lead to a directory of the host's, without a
 * pause. What is copied may be anything of the container's; nothing of the host's may be read or written.
 */
import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { archive } from "../../src/tar/tar-fixture.ts";
import { command, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { Random } from "../harness/random.ts";
import { exchange } from "../runtime/escapes/attacker.ts";

const secret = "the host's own words";
const container = "racer";
const atOnce = 2;
/** Perl is the host's; the container has nothing that makes the system call. */
const programs = ["/usr", "/lib", "/lib64"].flatMap((path) => ["-v", `${path}:${path}:ro`]);

export async function race(tries: number): Promise<void> {
  const scene = await DockerScene.open();
  try {
    const random = new Random("copy race");
    const outside = scene.workspace.path("outside");
    mkdirSync(outside);
    writeFileSync(`${outside}/x`, secret);
    await prepare(scene, outside, random.below(2 ** 31));
    const outcomes = new Map<string, number>();
    let left = tries;
    const work = async () => {
      while (left-- > 0) {
        const outcome = await attempt(scene, random.below(attempts.length), left);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    expect([readdirSync(outside), readFileSync(`${outside}/x`, "utf8")]).toEqual([["x"], secret]);
    // Copies came through, and met the container's own files on both ways.
    const texts = [...outcomes.keys()].join(" ");
    expect(texts).toContain("200");
    console.log(`${tries} tries: ${[...outcomes].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  } finally {
    await scene.close();
  }
}

async function prepare(scene: DockerScene, outside: string, seed: number): Promise<void> {
  const { image, daemon } = scene;
  await scene.ok("run", "-d", "--network", "none", "--name", container, ...programs, image, "sleep", "10000");
  const up = "../".repeat(20);
  const script = `mkdir -p /w/d/e /w/c/e ${outside}/e; echo own > /w/d/x; echo own > /w/c/x; echo inner > ${outside}/x
ln -s ${outside} /w/l; ln -s ${up}${outside.slice(1)} /w/m; ln -s ${outside}/x /w/c/s`;
  await scene.ok("exec", container, "sh", "-c", script);
  const swap = exchange(seed, "/w", [
    ["d", "l"],
    ["c", "m"],
    ["c/x", "c/s"],
  ]);
  await scene.ok("exec", "-d", container, ...swap);
  const kinds = new Set<string>();
  await until("names are exchanged", async () => {
    const { stdout } = await command(scene.argv("exec", container, "sh", "-c", "ls -ld /w/d | cut -c1"), {
      env: daemon.env,
    });
    kinds.add(stdout.trim());
    return kinds.has("d") && kinds.has("l");
  });
}

const own = (path: string) => archive([{ name: path, data: "written" }]);

/** Method, path, and what is sent. */
const attempts: ((number: number) => [string, string, Uint8Array?])[] = [
  () => ["HEAD", "/w/d/x"],
  () => ["GET", "/w/d/x"],
  () => ["GET", "/w/d"],
  () => ["GET", "/w/d/"],
  () => ["GET", "/w/c/x"],
  () => ["GET", "/w"],
  (number) => ["PUT", "/w/d", own(`n${number}`)],
  (number) => ["PUT", "/w/d/e", own(`n${number}`)],
  () => ["PUT", "/w/c", own("x")],
  (number) => ["PUT", "/w", own(`d/n${number}`)],
  (number) => ["PUT", "/w", own(`c/e/f/n${number}`)],
];

async function attempt(scene: DockerScene, kind: number, number: number): Promise<string> {
  const [method, path, body] = attempts[kind]!(number);
  const url = `http://tsd/containers/${container}/archive?path=${path}&noOverwriteDirNonDir=1`;
  const response = await fetch(url, {
    method,
    unix: scene.daemon.socket,
    ...(body && { body }),
  } as RequestInit);
  const bytes = Buffer.from(await response.arrayBuffer());
  if (bytes.includes(secret)) throw new Error(`${method} ${path} has read what is the host's`);
  if (response.status >= 500) throw new Error(`${method} ${path}: ${response.status} ${bytes.toString()}`);
  return `${method} ${response.status}`;
}
