/** Commands on the same container at the same time, and callers that are killed under the runtime. */
import { errorOf } from "../../harness/oci-runtime.ts";
import type { Random } from "../../harness/random.ts";
import { variants } from "./bundles.ts";
import type { Ended, ManyScene, Subject } from "./scene.ts";

type Race = (scene: ManyScene, subject: Subject, random: Random) => Promise<void>;

const races: Record<string, Race> = {
  "two creations of one id": async (scene, subject) => {
    const words = scene.making(subject, ["create"], ["sleep", "1000"]);
    const ended = await Promise.all([together(scene, words), together(scene, words)]);
    const won = ended.filter(({ status }) => status === 0);
    if (won.length !== 1) throw new Error(`${won.length} of two succeeded: ${ended.map(({ stderr }) => stderr)}`);
    allow(ended, /already exists/);
    // The one that failed has taken nothing of the other's.
    await scene.ok("start", subject.id);
    await scene.ok("exec", subject.id, "true");
    await scene.ok("delete", "--force", subject.id);
  },
  "delete and exec": async (scene, subject, random) => {
    await scene.make(subject, ["run", "--detach"]);
    const exec = together(scene, ["exec", "--detach", subject.id, "sleep", "1000"]);
    await Bun.sleep(random.below(60));
    await scene.ok("delete", "--force", subject.id);
    await exec;
  },
  "kill and start": async (scene, subject, random) => {
    await scene.make(subject, ["create"]);
    const start = together(scene, ["start", subject.id]);
    await Bun.sleep(random.below(60));
    await scene.ok("kill", subject.id, "KILL");
    await start;
    await scene.waitForEnd(subject);
    await scene.ok("delete", subject.id);
  },
  "delete and start": async (scene, subject, random) => {
    await scene.make(subject, ["create"]);
    const start = together(scene, ["start", subject.id]);
    await Bun.sleep(random.below(60));
    await scene.ok("delete", "--force", subject.id);
    await start;
  },
  "delete and create": async (scene, subject, random) => {
    const create = together(scene, scene.making(subject, ["create"], ["sleep", "1000"]));
    await Bun.sleep(random.below(80));
    await scene.ok("delete", "--force", subject.id);
    await create;
    await scene.ok("delete", "--force", subject.id);
  },
  "two deletions": async (scene, subject) => {
    await scene.make(subject, ["run", "--detach"]);
    const words = ["delete", "--force", subject.id];
    for (const { status, stderr } of await Promise.all([together(scene, words), together(scene, words)])) {
      if (status !== 0) throw new Error(stderr);
    }
  },
  "a caller that is killed during create": async (scene, subject, random) => {
    const words = scene.runtime.argv(...scene.making(subject, ["create"], ["sleep", "1000"]));
    // Its streams are pipes, whose other ends go with the caller.
    const script = '"$@" 2>&1 </dev/null | cat & echo begun; wait';
    const caller = Bun.spawn(["bash", "-c", script, "bash", ...words], { stdio: ["ignore", "pipe", "ignore"] });
    await caller.stdout.getReader().read();
    await Bun.sleep(random.below(60));
    caller.kill("SIGKILL");
    await caller.exited;
    await scene.runtime.until("the runtime has ended", () => scene.runtime.commands(subject.id).length === 0);
    await scene.cleanUp(subject);
  },
};
const names = Object.keys(races);

/** Every race in turn, a number of times in all. */
export async function runRaces(scene: ManyScene, count: number, random: Random): Promise<void> {
  for (let index = 0; index < count; index++) {
    const name = names[index % names.length]!;
    // What is done together has no console socket to share.
    const variant = random.pick(variants.filter((it) => it !== "terminal"));
    const story = `race ${index + 1}: ${name}, ${variant}`;
    await scene.play(story, () => races[name]!(scene, scene.newSubject(variant), random));
  }
}

/** A command beside others: it may fail, but only for a reason that it names. */
async function together(scene: ManyScene, words: string[]): Promise<Ended> {
  const ended = await scene.end(words);
  if (ended.status !== 0) errorOf(ended.stderr);
  return ended;
}

function allow(ended: Ended[], reason: RegExp): void {
  for (const { status, stderr } of ended) {
    if (status !== 0 && !reason.test(errorOf(stderr))) throw new Error(`failed for another reason: ${stderr}`);
  }
}
