/** Crashes of the daemon while containers are paused, renamed, updated and restarted: record and kernel agree after each. */
import { type CrashAction, crashRound } from "../harness/crash-round.ts";
import { DockerScene } from "../harness/docker.ts";
import { cgroupLimit, isFrozen } from "../harness/process-cgroup.ts";
import type { Random } from "../harness/random.ts";

/** Milliseconds after the first request within which the daemon is killed: past the end of most. */
const killWithinMs = 150;

/** What must be so of a container; undefined where a request was not answered. */
interface Facts {
  name: string | undefined;
  status: "running" | "paused" | undefined;
  pidsLimit: number | undefined;
}

type Known = Map<string, Facts>;

export class VerbCrashTest {
  readonly #scene: DockerScene;
  readonly #random: Random;
  readonly #known: Known = new Map();
  #numbers = 100;

  private constructor(scene: DockerScene, random: Random) {
    this.#scene = scene;
    this.#random = random;
  }

  /** Plays a number of rounds in a scene of its own, and closes it: nothing may be left then. */
  static async play(random: Random, rounds: number): Promise<void> {
    const scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
    try {
      const test = new VerbCrashTest(scene, random);
      await scene.daemon.ok("network", "create", "net");
      await Promise.all([test.#start([]), test.#start(["--network", "net"]), test.#start(["--runtime", "runc"])]);
      for (let round = 0; round < rounds; round++) await test.#round();
      await scene.daemon.ok("rm", "-f", ...test.#known.keys());
      await scene.daemon.ok("network", "rm", "net");
    } finally {
      await scene.close();
    }
  }

  async #start(flags: string[]): Promise<void> {
    const [name, pidsLimit] = [`verb-${++this.#numbers}`, 50];
    const words = ["run", "-d", "--name", name, "--pids-limit", String(pidsLimit), ...flags];
    const id = await this.#scene.daemon.ok(...words, this.#scene.image, "sleep", "1000");
    this.#known.set(id, { name, status: "running", pidsLimit });
  }

  async #round(): Promise<void> {
    const actions = [...this.#known].map(([id, facts]) => this.#action(id, facts));
    await crashRound(this.#scene, this.#random, {
      actions,
      known: this.#known,
      killWithinMs,
      signals: ["SIGKILL", "SIGKILL", "SIGTERM"],
      check: () => this.#check(),
    });
  }

  #action(id: string, { status }: Facts): CrashAction<Known> {
    const verb = this.#random.pick([status === "paused" ? "unpause" : "pause", "rename", "update", "restart"]);
    const number = ++this.#numbers;
    const about = (args: string[], changed: Partial<Facts>): CrashAction<Known> => ({
      args,
      begin: (known) => {
        const unknown = Object.fromEntries(Object.keys(changed).map((fact) => [fact, undefined]));
        known.set(id, { ...known.get(id)!, ...unknown });
      },
      done: (known) => known.set(id, { ...known.get(id)!, ...changed }),
    });
    switch (verb) {
      case "rename":
        return about(["rename", id, `verb-${number}`], { name: `verb-${number}` });
      case "update":
        return about(["update", "--pids-limit", String(number), id], { pidsLimit: number });
      case "restart":
        return about(["restart", "-t", "0", id], { status: "running" });
      default:
        return about([verb, id], { status: verb === "pause" ? "paused" : "running" });
    }
  }

  /** What was answered is so, and the kernel has what the record says. */
  async #check(): Promise<void> {
    const { daemon } = this.#scene;
    for (const [id, known] of this.#known) {
      const { Name, State, HostConfig } = await daemon.inspect(id);
      const { Status, Pid } = State;
      const facts = { name: Name.slice(1), status: Status, pidsLimit: HostConfig.PidsLimit! };
      for (const [fact, value] of Object.entries(facts)) {
        const wanted = known[fact as keyof Facts];
        if (wanted !== undefined && wanted !== value) throw new Error(`${fact} of ${id} is ${value}, not ${wanted}`);
      }
      if (Status === "running" || Status === "paused") {
        expectSame(`processes of ${id} stand still`, isFrozen(Pid), Status === "paused");
        expectSame(`limit of ${id}`, Number(cgroupLimit(Pid, "pids", "pids.max", "pids.max")), facts.pidsLimit);
      } else {
        // Killed between the end and the start of a restart.
        await daemon.ok("start", id);
        facts.status = "running";
      }
      this.#known.set(id, facts as Facts);
    }
  }
}

function expectSame(what: string, found: unknown, wanted: unknown): void {
  if (found !== wanted) throw new Error(`${what}: ${found}, by the record ${wanted}`);
}
