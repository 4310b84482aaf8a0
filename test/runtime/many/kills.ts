/** Commands of the runtime, and what they have made, killed at random moments. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../../harness/random.ts";
import { Surroundings, variants } from "./bundles.ts";
import type { Ended, ManyScene, Subject } from "./scene.ts";

interface Operation {
  /** What there is before it: a created container, one that runs, one that has ended. */
  before: "nothing" | "created" | "running" | "stopped";
  words: (scene: ManyScene, subject: Subject) => string[];
  /** It is given a pid file, a descriptor and a console socket. */
  isGivenAll?: boolean;
}

const sleep = ["sleep", "1000"];

const operations: Record<string, Operation> = {
  create: {
    before: "nothing",
    isGivenAll: true,
    words: (scene, subject) => scene.making(subject, ["create"], sleep),
  },
  "run --detach": {
    before: "nothing",
    isGivenAll: true,
    words: (scene, subject) => scene.making(subject, ["run", "--detach"], sleep),
  },
  run: { before: "nothing", words: (scene, subject) => scene.making(subject, ["run"], ["true"]) },
  start: { before: "created", words: (_, { id }) => ["start", id] },
  exec: { before: "running", words: (_, { id }) => ["exec", id, "true"] },
  "exec --detach": { before: "running", words: (_, { id }) => ["exec", "--detach", id, ...sleep] },
  delete: { before: "stopped", words: (_, { id }) => ["delete", id] },
  "delete --force": { before: "running", words: (_, { id }) => ["delete", "--force", id] },
};

/** Those that the issue names come more often. */
const chosen = ["create", "create", "create", "start", "start", "run --detach", ...Object.keys(operations)];

export class Kills {
  readonly #scene: ManyScene;
  readonly #random: Random;
  readonly #durationsMs = new Map<string, number>();

  constructor(scene: ManyScene, random: Random) {
    this.#scene = scene;
    this.#random = random;
  }

  /** How long each operation takes, the longest of three: what the moments are spread over. */
  async measure(): Promise<void> {
    for (const [name, operation] of Object.entries(operations)) {
      for (let count = 0; count < 3; count++) {
        const subject = this.#scene.newSubject(variants[count]!);
        await this.#prepare(subject, operation);
        const begun = performance.now();
        const { status, stderr } = await this.#run(subject, operation);
        if (status !== 0) throw new Error(`${name}: exit status ${status}: ${stderr}`);
        this.#durationsMs.set(name, Math.max(this.#durationsMs.get(name) ?? 0, performance.now() - begun));
        await this.#scene.ok("delete", "--force", subject.id);
      }
    }
    const list = [...this.#durationsMs].map(([name, ms]) => `${name} ${ms.toFixed(0)} ms`);
    console.log(`note: killed within ${list.join(", ")}`);
  }

  /** Kills a number of commands, or in one of four cases the process that they have just made. */
  async rounds(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const name = this.#random.pick(chosen);
      const variant = this.#random.pick(variants);
      const delayMs = (this.#random.below(1000) / 1000) * this.#durationsMs.get(name)!;
      const victim = this.#random.below(4) === 0 ? "child" : "runtime";
      if (this.#random.below(4) === 0) rmSync(join(this.#scene.runtime.stateRoot, ".seccomp"), { recursive: true });
      const story = `kill ${index + 1}: the ${victim} of ${name}, ${variant}, after ${delayMs.toFixed(1)} ms`;
      await this.#scene.play(story, () => this.#round(this.#scene.newSubject(variant), name, delayMs, victim));
    }
  }

  async #round(subject: Subject, name: string, delayMs: number, victim: "runtime" | "child"): Promise<void> {
    const operation = operations[name]!;
    await this.#prepare(subject, operation);
    const { status, stderr } = await this.#run(subject, operation, (pid) => killLater(pid, delayMs, victim));
    // A command that lives tidies up by itself.
    if (status === 1 && operation.before === "nothing" && (await this.#scene.state(subject.id)) !== undefined)
      throw new Error(`${name} has failed, and its container is there: ${stderr}`);
    await this.#scene.cleanUp(subject);
  }

  async #prepare(subject: Subject, { before }: Operation): Promise<void> {
    if (before === "created") await this.#scene.make(subject, ["create"]);
    if (before === "running") await this.#scene.make(subject, ["run", "--detach"]);
    if (before !== "stopped") return;
    await this.#scene.make(subject, ["run", "--detach"], ["true"]);
    await this.#scene.waitForEnd(subject);
  }

  async #run(subject: Subject, operation: Operation, kill?: (pid: number) => Promise<void>): Promise<Ended> {
    const isGivenAll = operation.isGivenAll ?? false;
    using surroundings = new Surroundings(this.#scene.runtime, isGivenAll && subject.variant === "terminal");
    const [verb, ...words] = operation.words(this.#scene, subject);
    const argv = this.#scene.runtime.argv(verb!, ...(isGivenAll ? surroundings.flags : []), ...words);
    const child = surroundings.spawn(argv);
    await kill?.(child.pid);
    await child.exited;
    const status = child.exitCode ?? 128;
    return { status, stderr: await surroundings.error };
  }
}

async function killLater(pid: number, delayMs: number, victim: "runtime" | "child"): Promise<void> {
  await Bun.sleep(delayMs);
  const child = victim === "child" ? childOf(pid) : undefined;
  try {
    process.kill(child ?? pid, "SIGKILL");
  } catch (error) {
    // It was quicker.
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
}

function childOf(pid: number): number | undefined {
  const found = readdirSync("/proc").find((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1] === String(pid);
    } catch {
      return false; // it has ended meanwhile
    }
  });
  return found === undefined ? undefined : Number(found);
}
