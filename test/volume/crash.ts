/** Crashes of the daemon at random moments of what is asked of volumes: none is lost, doubled, half filled, or removed in use. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CrashAction, crashRound } from "../harness/crash-round.ts";
import { DockerScene } from "../harness/docker.ts";
import { makeBusybox, writeLayout } from "../harness/fixtures.ts";
import type { Random } from "../harness/random.ts";

/** Milliseconds after the first request within which the daemon is killed: past the end of most. */
const killWithinMs = 250;
/** Of the image, in /data: enough for a copy to be interrupted. */
const files = 300;

/** What must be so: it was told that it is done, and nothing was asked of it since. */
interface Known {
  volumes: Set<string>;
  /** Words that containers have written into a file of their own there, by the volume's name. */
  written: Map<string, Set<string>>;
  /** By name: the volume that it has. */
  containers: Map<string, string>;
  gone: Set<string>;
}

type Action = CrashAction<Known>;

/** Plays a number of rounds in a scene of their own, and closes it: nothing may be left then. */
export async function playCrashes(random: Random, rounds: number): Promise<void> {
  const scene = await DockerScene.open();
  try {
    const image = await pushImage(scene);
    await scene.daemon.ok("pull", "-q", image);
    const crashes = new VolumeCrashes(scene, random, image);
    for (let round = 0; round < rounds; round++) await crashes.round();
    await crashes.removeAll();
  } finally {
    await scene.close();
  }
}

async function pushImage(scene: DockerScene): Promise<string> {
  const rootfs = scene.workspace.path("filling", "rootfs");
  mkdirSync(join(rootfs, "data"), { recursive: true });
  const cmd = await makeBusybox(rootfs);
  for (let file = 0; file < files; file++) writeFileSync(join(rootfs, "data", `image-${file}`), "x".repeat(4096));
  await writeLayout(scene.workspace.path("filling", "layout"), rootfs, cmd);
  return scene.registry.pushLayout(scene.workspace.path("filling", "layout"), "filling");
}

class VolumeCrashes {
  readonly #scene: DockerScene;
  readonly #random: Random;
  readonly #image: string;
  /** What volumes of the kind `bind` are: it is the host's, and has one file. */
  readonly #precious: string;
  readonly #known: Known = { volumes: new Set(), written: new Map(), containers: new Map(), gone: new Set() };
  #names = 0;

  constructor(scene: DockerScene, random: Random, image: string) {
    this.#scene = scene;
    this.#random = random;
    this.#image = image;
    this.#precious = scene.workspace.path("precious");
    mkdirSync(this.#precious);
    writeFileSync(join(this.#precious, "file"), "precious");
  }

  /** Several requests at once, a crash in the middle, the next daemon: and everything has to agree. */
  async round(): Promise<void> {
    const actions = this.#choose();
    await crashRound(this.#scene, this.#random, {
      actions,
      known: this.#known,
      killWithinMs,
      signals: ["SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM"],
      check: async () => {
        if (actions.some(({ args }) => args.includes("prune"))) this.#forgetUnused();
        await this.#check();
      },
    });
    await this.#tidy();
  }

  async removeAll(): Promise<void> {
    const { daemon } = this.#scene;
    const containers = lines(await daemon.ok("ps", "-aq"));
    if (containers.length > 0) await daemon.ok("rm", "-fv", ...containers);
    const volumes = lines(await daemon.ok("volume", "ls", "-q"));
    const anonymous = volumes.filter((name) => name.length === 64);
    if (anonymous.length > 0) throw new Error(`anonymous volumes that nobody has: ${anonymous.join(" ")}`);
    if (volumes.length > 0) await daemon.ok("volume", "rm", ...volumes);
    this.#checkPrecious();
    const left = readdirSync(join(daemon.root, "volumes"));
    if (left.length > 0) throw new Error(`left over: ${left.join(" ")}`);
  }

  #choose(): Action[] {
    const actions: Action[] = [];
    const subjects = new Set<string>();
    const kinds = ["create", "create", "run", "fleeting", "fleeting", "make", "remove", "remove", "start"] as const;
    for (let count = 3 + this.#random.below(4); count > 0; count--) {
      const action = this.#action(this.#random.pick(kinds), subjects);
      if (action !== undefined) actions.push(action);
    }
    const volumes = [...this.#known.volumes].filter((name) => !subjects.has(name));
    if (volumes.length > 0) actions.push(removingVolume(this.#random.pick(volumes)));
    // The last to begin: which volumes containers have is then as sure as it is going to be.
    if (this.#random.below(3) === 0) actions.push(pruning());
    return actions;
  }

  #action(
    kind: "create" | "run" | "fleeting" | "make" | "remove" | "start",
    subjects: Set<string>,
  ): Action | undefined {
    const name = `crash-${++this.#names}`;
    const volume = this.#random.below(3) > 0 ? this.#someVolume() : `plain-${this.#names}`;
    const mounts = ["--network", "none", "-v", `${volume}:/data`];
    if (this.#random.below(3) === 0) mounts.push("-v", "/anonymous");
    switch (kind) {
      case "create":
        subjects.add(volume);
        return having(["create", "--name", name, ...mounts, this.#image, "sleep", "1000"], name, volume);
      case "run":
        subjects.add(volume);
        return having(["run", "-d", "--name", name, ...mounts, this.#image, "sleep", "1000"], name, volume);
      case "fleeting": {
        subjects.add(volume);
        const script = `echo ${name} > /data/${name}`;
        return writing(["run", "--rm", "--name", name, ...mounts, this.#image, "sh", "-c", script], name, volume);
      }
      case "make":
        return this.#making();
      default:
        return this.#ofContainer(kind, subjects);
    }
  }

  #making(): Action {
    const kind = this.#random.pick(["plain", "tmpfs", "bind"] as const);
    const name = `${kind}-${this.#names}`;
    const options = {
      plain: [],
      tmpfs: ["-o", "type=tmpfs", "-o", "device=tmpfs"],
      bind: ["-o", "type=none", "-o", "o=bind", "-o", `device=${this.#precious}`],
    };
    return {
      args: ["volume", "create", ...options[kind], name],
      begin: () => undefined,
      done: ({ volumes }) => volumes.add(name),
    };
  }

  #ofContainer(kind: "remove" | "start", subjects: Set<string>): Action | undefined {
    const names = [...this.#known.containers].filter(([name]) => !subjects.has(name));
    if (names.length === 0) return undefined;
    const [name, volume] = this.#random.pick(names);
    subjects.add(name);
    if (kind === "start") return having(["start", name], name, volume);
    return {
      args: ["rm", "-fv", name],
      begin: ({ containers }) => containers.delete(name),
      done: ({ gone }) => gone.add(name),
    };
  }

  #someVolume(): string {
    const names = [...this.#known.volumes];
    return names.length > 0 ? this.#random.pick(names) : `plain-${this.#names}`;
  }

  /** Somebody was to remove them, and may have. */
  #forgetUnused(): void {
    const { volumes, written, containers } = this.#known;
    const used = new Set(containers.values());
    for (const name of [...volumes].filter((each) => !used.has(each))) {
      volumes.delete(name);
      written.delete(name);
    }
  }

  async #check(): Promise<void> {
    const { daemon } = this.#scene;
    const { volumes, containers, gone, written } = this.#known;
    const found = lines(await daemon.ok("volume", "ls", "-q"));
    if (new Set(found).size !== found.length) throw new Error(`doubled: ${found.join(" ")}`);
    for (const name of volumes) if (!found.includes(name)) throw new Error(`volume ${name} is lost`);
    for (const name of found) if (gone.has(name)) throw new Error(`volume ${name} was removed, and is back`);
    const table = await daemon.ok("ps", "-a", "--no-trunc", "--format", "{{.Names}},{{.Mounts}}");
    const rows = lines(table).map((row) => row.split(","));
    const names = rows.map(([name]) => name!);
    for (const name of containers.keys()) if (!names.includes(name)) throw new Error(`container ${name} is lost`);
    for (const name of names) if (gone.has(name)) throw new Error(`container ${name} was removed, and is back`);
    for (const [container, ...used] of rows) {
      for (const volume of used) {
        if (!found.includes(volume)) throw new Error(`volume ${volume} is lost, which container ${container} has`);
      }
    }
    const anonymous = found.filter((name) => name.length === 64);
    const unused = anonymous.filter((name) => !rows.some(([, ...used]) => used.includes(name)));
    if (unused.length > 0) throw new Error(`anonymous volumes that nobody has: ${unused.join(" ")}`);
    const filled = new Set(rows.flatMap(([, ...used]) => used));
    for (const name of found) {
      if (name.startsWith("plain-")) this.#checkContent(name, filled.has(name));
      for (const word of written.get(name) ?? []) {
        if (!this.#content(name).includes(word)) throw new Error(`what ${word} wrote into ${name} is lost`);
      }
    }
    this.#checkPrecious();
  }

  #content(volume: string): string[] {
    return readdirSync(join(this.#scene.daemon.root, "volumes", volume, "_data"));
  }

  /** All that the image has there, or nothing of it if no container could be made yet. */
  #checkContent(volume: string, hasContainer: boolean): void {
    const content = this.#content(volume);
    const count = content.filter((name) => name.startsWith("image-")).length;
    if (count !== files && (count > 0 || hasContainer))
      throw new Error(`volume ${volume} has ${count} of ${files} files of the image: ${content.join(" ")}`);
  }

  #checkPrecious(): void {
    const found = readdirSync(this.#precious).filter((name) => !name.startsWith("crash-"));
    if (found.join() !== "file" || readFileSync(join(this.#precious, "file"), "utf8") !== "precious") {
      throw new Error(`what a volume bound is not as it was: ${found.join(" ")}`);
    }
  }

  /** Keeps the number of things small; with what was not known the next round begins knowing. */
  async #tidy(): Promise<void> {
    const { daemon } = this.#scene;
    const { volumes, containers, written } = this.#known;
    const rows = lines(await daemon.ok("ps", "-a", "--format", "{{.Names}}"));
    const unknown = rows.filter((name) => !containers.has(name));
    const many = [...containers.keys()].slice(0, Math.max(0, containers.size - 5));
    for (const name of many) containers.delete(name);
    if (unknown.length + many.length > 0) await daemon.ok("rm", "-fv", ...unknown, ...many);
    const used = new Set(containers.values());
    const found = lines(await daemon.ok("volume", "ls", "-q")).filter((name) => name.length < 64 && !used.has(name));
    const unknownVolumes = found.filter((name) => !volumes.has(name));
    const manyVolumes = found.filter((name) => volumes.has(name)).slice(0, Math.max(0, found.length - 5));
    for (const name of [...unknownVolumes, ...manyVolumes]) {
      volumes.delete(name);
      written.delete(name);
    }
    if (unknownVolumes.length + manyVolumes.length > 0)
      await daemon.ok("volume", "rm", ...unknownVolumes, ...manyVolumes);
    this.#known.gone.clear();
  }
}

function lines(text: string): string[] {
  return text.split("\n").filter(Boolean);
}

function having(args: string[], name: string, volume: string): Action {
  return {
    args,
    begin: ({ containers }) => containers.delete(name),
    done: ({ containers, volumes }) => {
      containers.set(name, volume);
      volumes.add(volume);
    },
  };
}

function writing(args: string[], name: string, volume: string): Action {
  return {
    args,
    begin: () => undefined,
    done: ({ volumes, written, gone }) => {
      gone.add(name);
      volumes.add(volume);
      if (volume.startsWith("plain-")) written.set(volume, new Set([...(written.get(volume) ?? []), name]));
    },
  };
}

function removingVolume(name: string): Action {
  return {
    args: ["volume", "rm", name],
    begin: ({ volumes, containers }) => {
      if (![...containers.values()].includes(name)) volumes.delete(name);
    },
    done: ({ volumes, written, gone }) => {
      if (volumes.has(name)) throw new Error(`volume ${name} was removed although a container has it`);
      written.delete(name);
      gone.add(name);
    },
  };
}

function pruning(): Action {
  return {
    args: ["volume", "prune", "-af"],
    begin: () => undefined,
    done: () => undefined,
  };
}
