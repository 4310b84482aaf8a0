/** The daemon is killed while restart policies are at work: no run goes uncounted, no wish to stop is forgotten. */
import { expectAgreement } from "../harness/audit.ts";
import { until } from "../harness/command.ts";
import type { DockerScene } from "../harness/docker.ts";
import { Random } from "../harness/random.ts";

/** @param killWithinMs of the beginning of a round: after 900 what ends at once has been restarted three times. */
export async function playPolicyCrashes(
  scene: DockerScene,
  name: string,
  { rounds, killWithinMs }: { rounds: number; killWithinMs: number },
): Promise<void> {
  const random = new Random(name);
  for (let round = 0; round < rounds; round++) {
    try {
      await new PolicyCrash(scene, random, `r${round}`, killWithinMs).play();
    } catch (error) {
      throw new Error(`TSD_SEED=${random.seed}, round ${round}\n${await scene.daemon.log()}`, { cause: error });
    }
  }
}

class PolicyCrash {
  readonly #scene: DockerScene;
  readonly #random: Random;
  readonly #prefix: string;
  readonly #killWithinMs: number;

  constructor(scene: DockerScene, random: Random, prefix: string, killWithinMs: number) {
    this.#killWithinMs = killWithinMs;
    this.#scene = scene;
    this.#random = random;
    this.#prefix = prefix;
  }

  async play(): Promise<void> {
    const { daemon, workspace } = this.#scene;
    const random = this.#random;
    const failing = "echo run; exit 1";
    const slow = `echo run; usleep ${random.below(150_000)}; exit 1`;
    const sleep = "echo run; exec sleep 1000";
    const loops = [this.#name("loop"), this.#name("slow")];
    const once = this.#name("once");
    const [stopped, killed] = [this.#name("stopped"), this.#name("killed")];
    const network = random.pick([["--network", "none"], []]);
    await Promise.all([
      this.#run(loops[0]!, "always", failing, ...network),
      this.#run(loops[1]!, "unless-stopped", slow, "--runtime", random.pick(["tsd", "runc"])),
      this.#run(once, "on-failure:1", failing, "--network", "none"),
      this.#run(stopped, "unless-stopped", random.pick([failing, sleep]), "--network", "none"),
      this.#run(killed, "on-failure", random.pick([slow, sleep]), ...network),
    ]);
    const wishes = Promise.all([this.#later(["stop", "-t", "0", stopped]), this.#later(["kill", killed])]);
    await this.#crash();
    const [isStopped, isKilled] = await wishes;
    await daemon.start();
    // Again, perhaps in the middle of what that one has found.
    await this.#crash(random.pick([0, 50, 300]));
    await daemon.start();
    if (isStopped) await this.#stays(stopped);
    if (isKilled) await this.#stays(killed);
    for (const loop of loops) await this.#countsEveryRun(loop);
    await until(`${once} has ended`, async () => (await daemon.inspect(once)).State.Status === "exited");
    const { RestartCount } = await daemon.inspect(once);
    const runs = await this.#runs(once);
    if (RestartCount !== 1 || runs !== 2) throw new Error(`${once}: ${runs} runs, ${RestartCount} restarts`);
    await daemon.removeContainers();
    await expectAgreement(workspace, daemon);
  }

  #name(what: string): string {
    return `${this.#prefix}-${what}`;
  }

  async #run(name: string, policy: string, script: string, ...flags: string[]): Promise<void> {
    const words = ["run", "-d", "--name", name, "--restart", policy, ...flags];
    await this.#scene.daemon.ok(...words, this.#scene.image, "sh", "-c", script);
  }

  /** @returns whether it was told that it is done. */
  async #later(args: string[]): Promise<boolean> {
    await Bun.sleep(this.#random.below(this.#killWithinMs));
    return (await this.#scene.daemon.tsd(args)).status === 0;
  }

  async #crash(withinMs = this.#killWithinMs): Promise<void> {
    await Bun.sleep(this.#random.below(withinMs + 1));
    await this.#scene.daemon.stop(this.#random.pick(["SIGKILL", "SIGKILL", "SIGTERM"]));
  }

  async #stays(name: string): Promise<void> {
    const { State } = await this.#scene.daemon.inspect(name);
    if (State.Status !== "exited") throw new Error(`${name} was ended by hand, and is ${State.Status}`);
  }

  async #runs(name: string): Promise<number> {
    return (await this.#scene.daemon.ok("logs", name)).split("\n").filter((line) => line === "run").length;
  }

  /** Between two runs there have been as many as restarts are counted, with the one that is to come. */
  async #countsEveryRun(name: string): Promise<void> {
    const { daemon } = this.#scene;
    let seen = "";
    await until(`${name} waits`, async () => {
      const before = await daemon.inspect(name);
      const runs = await this.#runs(name);
      const after = await daemon.inspect(name);
      if (before.State.Status === "exited") throw new Error(`${name} has ended: ${JSON.stringify(before.State)}`);
      const waits = after.State.Restarting && before.State.Restarting;
      seen = `${runs} runs, restarts ${before.RestartCount}`;
      if (!waits || before.RestartCount !== after.RestartCount) return false;
      if (runs !== after.RestartCount) throw new Error(`${name}: ${seen}`);
      return true;
    });
  }
}
