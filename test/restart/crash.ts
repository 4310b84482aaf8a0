/** Crashes of the daemon at random moments of what it is asked to do: what was finished stays, nothing half made does. */
import { type CrashAction, crashRound } from "../harness/crash-round.ts";
import type { DockerScene } from "../harness/docker.ts";
import type { Random } from "../harness/random.ts";

/** Milliseconds after the first request within which the daemon is killed: past the end of most. */
const killWithinMs = 300;

/** What the test knows must be so: it was told that it is done, and nothing was asked of it since. */
interface Known {
  /** Names of containers, with what their state must be. */
  containers: Map<string, "running" | "created">;
  images: Set<string>;
  /** Names of containers that are gone for good. */
  gone: Set<string>;
}

type Action = CrashAction<Known>;

export class CrashTest {
  readonly #scene: DockerScene;
  readonly #random: Random;
  readonly #pulls: string[];
  readonly #known: Known = { containers: new Map(), images: new Set(), gone: new Set() };
  #names = 0;

  /** @param pulls references of images whose layers are no other's, to be pulled and removed. */
  constructor(scene: DockerScene, random: Random, pulls: string[]) {
    this.#scene = scene;
    this.#random = random;
    this.#pulls = pulls;
  }

  /** Several requests at once, a crash in the middle, the next daemon: and everything has to agree. */
  async round(): Promise<void> {
    const actions = this.#choose();
    await crashRound(this.#scene, this.#random, {
      actions,
      known: this.#known,
      killWithinMs,
      signals: ["SIGKILL", "SIGKILL", "SIGTERM"],
      check: () => this.#check(),
    });
    await this.#tidy();
  }

  #choose(): Action[] {
    const { image } = this.#scene;
    const runtimes = ["tsd", "tsd", "tsd", "runc"];
    const actions: Action[] = [];
    const subjects = new Set<string>();
    for (let count = 2 + this.#random.below(4); count > 0; count--) {
      const name = `crash-${++this.#names}`;
      const flags = ["--name", name, "--runtime", this.#random.pick(runtimes)];
      if (this.#random.below(3) === 0) flags.push("--network", "none");
      if (this.#random.below(4) === 0) flags.push("-v", "/anonymous");
      const sleep = [image, "sleep", "1000"];
      const others = [...this.#known.containers].filter(([other]) => !subjects.has(other));
      const [other, state] = others.length > 0 ? this.#random.pick(others) : [];
      const kind = this.#random.pick(["run", "run", "create", "fleeting", "start", "remove", "remove", "pull", "pull"]);
      if (kind === "run") actions.push(making(["run", "-d", ...flags, ...sleep], name, "running"));
      if (kind === "create") actions.push(making(["create", ...flags, ...sleep], name, "created"));
      if (kind === "fleeting") actions.push(fleeting(["run", "--rm", ...flags, image, "true"], name));
      if (kind === "pull") actions.push(this.#pull());
      if (other === undefined || (kind !== "start" && kind !== "remove")) continue;
      subjects.add(other);
      if (kind === "remove") actions.push(removing(other));
      else if (state === "created") actions.push(making(["start", other], other, "running"));
    }
    return actions;
  }

  #pull(): Action {
    const reference = this.#random.pick(this.#pulls);
    return {
      args: ["pull", "-q", reference],
      begin: () => undefined,
      done: ({ images }) => images.add(reference),
    };
  }

  /** What was told to be done is done. */
  async #check(): Promise<void> {
    const { daemon } = this.#scene;
    const rows = (await daemon.ok("ps", "-a", "--format", "{{.Names}} {{.State}}")).split("\n");
    const found = new Map(rows.map((row) => row.split(" ") as [string, string]));
    for (const [name, state] of this.#known.containers) {
      if (found.get(name) !== state) throw new Error(`${name} has to be ${state}, and is ${found.get(name) ?? "gone"}`);
    }
    for (const name of found.keys())
      if (this.#known.gone.has(name)) throw new Error(`${name} was removed, and is back`);
    const images = (await daemon.ok("images", "--format", "{{.Repository}}:{{.Tag}}")).split("\n");
    for (const image of this.#known.images) {
      if (!images.includes(image)) throw new Error(`${image} was pulled, and is gone`);
      // Whole too: its layer can be mounted, its program run.
      await daemon.ok("run", "--rm", "--network", "none", image, "true");
    }
  }

  /** Keeps the number of things small; with what was not known the next round begins knowing. */
  async #tidy(): Promise<void> {
    const { daemon } = this.#scene;
    const rows = (await daemon.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").filter(Boolean);
    const unknown = rows.filter((name) => !this.#known.containers.has(name));
    const many = [...this.#known.containers.keys()].slice(0, Math.max(0, this.#known.containers.size - 6));
    for (const name of many) this.#known.containers.delete(name);
    if (unknown.length + many.length > 0) await daemon.ok("rm", "-f", ...unknown, ...many);
    const images = (await daemon.ok("images", "--format", "{{.Repository}}:{{.Tag}}")).split("\n");
    const pulled = this.#pulls.filter((reference) => images.includes(reference));
    if (pulled.length > 0) await daemon.ok("rmi", ...pulled);
    this.#known.images.clear();
    this.#known.gone.clear();
  }
}

function making(args: string[], name: string, state: "running" | "created"): Action {
  return {
    args,
    begin: ({ containers }) => containers.delete(name),
    done: ({ containers }) => containers.set(name, state),
  };
}

function removing(name: string): Action {
  return {
    args: ["rm", "-f", name],
    begin: ({ containers }) => containers.delete(name),
    done: ({ gone }) => gone.add(name),
  };
}

function fleeting(args: string[], name: string): Action {
  return { args, begin: () => undefined, done: ({ gone }) => gone.add(name) };
}
