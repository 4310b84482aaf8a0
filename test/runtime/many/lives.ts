/** Lives of a container, from beginning to end: how callers of a runtime lead them. */
import { variants } from "./bundles.ts";
import type { ManyScene, Subject } from "./scene.ts";

type Life = (scene: ManyScene, subject: Subject) => Promise<void>;

const lives: Record<string, Life> = {
  "created, started, entered, killed, deleted": async (scene, subject) => {
    const { id } = subject;
    await scene.make(subject, ["create"]);
    await scene.ok("start", id);
    await scene.ok("exec", id, "true");
    await scene.ok("kill", id, "KILL");
    await scene.waitForEnd(subject);
    await scene.ok("delete", id);
  },
  "run in the foreground": (scene, subject) => scene.ok(...scene.making(subject, ["run"], ["sh", "-c", "sleep 0"])),
  "run, entered for long, deleted by force": async (scene, subject) => {
    await scene.make(subject, ["run", "--detach"]);
    await scene.ok("exec", "--detach", subject.id, "sleep", "1000");
    await scene.ok("delete", "--force", subject.id);
  },
  "created and never started": async (scene, subject) => {
    await scene.make(subject, ["create"]);
    await scene.ok("delete", "--force", subject.id);
  },
  "run, ended by itself": async (scene, subject) => {
    await scene.make(subject, ["run", "--detach"], ["true"]);
    await scene.waitForEnd(subject);
    await scene.ok("delete", subject.id);
  },
  "paused, resumed, paused, deleted": async (scene, subject) => {
    await scene.make(subject, ["run", "--detach"]);
    for (const verb of ["pause", "resume", "pause"]) await scene.ok(verb, subject.id);
    await scene.ok("delete", "--force", subject.id);
  },
  "refused for its program": async (scene, subject) => {
    const { status, stderr } = await scene.end(scene.making(subject, ["run"], ["/no/such/program"]));
    if (status !== 1 || !stderr.includes("/no/such/program")) throw new Error(`exit status ${status}: ${stderr}`);
  },
};

const stories = Object.keys(lives);

/** As many as it takes that every variant has led every life. */
export const everyLife: number = stories.length * variants.length;

/** Leads a number of lives, one after another: each life in turn, and each variant in each. */
export async function leadLives(scene: ManyScene, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const story = stories[index % stories.length]!;
    // The lists' lengths may share a factor: each round over the stories begins with another variant.
    const variant = variants[(index + Math.floor(index / everyLife)) % variants.length]!;
    await scene.play(`container ${index + 1}, ${variant}, ${story}`, () =>
      lives[story]!(scene, scene.newSubject(variant)),
    );
  }
}
