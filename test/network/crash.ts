/** Crashes of the daemon at random moments of what is asked of networks: what was done stays, nothing half made does. */
import { expectAgreement } from "../harness/audit.ts";
import type { CommandResult } from "../harness/command.ts";
import type { Random } from "../harness/random.ts";
import { differencesOf, takeInventory } from "./inventory.ts";
import { ask, Place } from "./probe.ts";
import { hostAddresses, NetworkScene } from "./scene.ts";

/** Milliseconds after the first request within which the daemon is killed: past the end of most. */
const killWithinMs = 250;
const firstPort = 10_000;

/** What must be so: it was told that it is done, and nothing was asked of it since. */
interface Known {
  networks: Set<string>;
  goneNetworks: Set<string>;
  /** By name: the networks that it is on. */
  containers: Map<string, Set<string>>;
  goneContainers: Set<string>;
}

interface Action {
  args: string[];
  /** Before the request: what nobody knows until it is answered. */
  begin: (known: Known) => void;
  /** The request succeeded. */
  done: (known: Known) => void;
}

/** Plays a number of rounds in a scene of its own, removes everything, and looks whether the host is as it was. */
export function playCrashes(random: Random, rounds: number): Promise<void> {
  return NetworkScene.play(async (scene) => {
    await scene.ok("run", "--rm", scene.engine.busybox, "true");
    const before = await inventoryOfNewDaemon(scene);
    const crashes = new NetworkCrashes(scene, random);
    for (let round = 0; round < rounds; round++) await crashes.round();
    await crashes.removeAll();
    const differences = differencesOf(before, await inventoryOfNewDaemon(scene));
    if (differences.length > 0) throw new Error(`not as before:\n${differences.join("\n")}`);
  });
}

/** A daemon that ends takes away what no container needs; the next one makes nothing before it is asked. */
async function inventoryOfNewDaemon({ engine }: NetworkScene): Promise<string[]> {
  await engine.daemon.stop();
  await engine.daemon.start();
  return takeInventory(engine);
}

class NetworkCrashes {
  readonly #scene: NetworkScene;
  readonly #random: Random;
  readonly #known: Known = {
    networks: new Set(),
    goneNetworks: new Set(),
    containers: new Map(),
    goneContainers: new Set(),
  };
  #names = 0;

  constructor(scene: NetworkScene, random: Random) {
    this.#scene = scene;
    this.#random = random;
  }

  /** Several requests at once, a crash in the middle, the next daemon: and everything has to agree. */
  async round(): Promise<void> {
    const { daemon, workspace } = this.#scene.engine;
    const actions = this.#choose();
    for (const action of actions) action.begin(this.#known);
    const answers = Promise.all(actions.map((action) => daemon.tsd(action.args)));
    await Bun.sleep(this.#random.below(killWithinMs));
    await daemon.stop(this.#random.pick(["SIGKILL", "SIGKILL", "SIGTERM"] as const));
    const results = await answers;
    const story = actions.map(({ args }, index) => `${args.join(" ")}: ${ending(results[index]!)}`).join("\n");
    for (const [index, action] of actions.entries()) if (results[index]!.status === 0) action.done(this.#known);
    await daemon.start();
    try {
      await this.#checkNetworks();
      await this.#checkContainers();
      await expectAgreement(workspace, daemon);
      await this.#checkKernel();
    } catch (error) {
      throw new Error(`after a crash under\n${story}`, { cause: error });
    }
    await this.#tidy();
  }

  async removeAll(): Promise<void> {
    const containers = await this.#lines("ps", "-a", "--format", "{{.Names}}");
    if (containers.length > 0) await this.#scene.ok("rm", "-f", ...containers);
    await this.#scene.ok("network", "prune", "-f");
  }

  #choose(): Action[] {
    const actions: Action[] = [];
    const used = new Set<string>();
    for (let count = 2 + this.#random.below(4); count > 0; count--) {
      const kind = this.#random.pick([
        "create",
        "create",
        "remove",
        "run",
        "run",
        "run",
        "connect",
        "disconnect",
        "rm",
      ]);
      const action = this.#action(kind, used);
      if (action !== undefined) actions.push(action);
    }
    return actions;
  }

  /** @param used names that another action of the round is about: their order would not be known. */
  #action(kind: string, used: Set<string>): Action | undefined {
    const take = (names: Iterable<string>): string | undefined => {
      const free = [...names].filter((name) => !used.has(name));
      if (free.length === 0) return undefined;
      const name = this.#random.pick(free);
      used.add(name);
      return name;
    };
    const { networks, containers } = this.#known;
    if (kind === "create") return creating(`net-${++this.#names}`);
    if (kind === "run") {
      const network = take(networks) ?? "bridge";
      const mode = this.#random.pick(["nat", "socket"]);
      return running(this.#scene.engine.busybox, `con-${++this.#names}`, firstPort + this.#names, network, mode);
    }
    if (kind === "remove") {
      const busy = new Set([...containers.values()].flatMap((on) => [...on]));
      const network = take([...networks].filter((name) => !busy.has(name)));
      return network === undefined ? undefined : removingNetwork(network);
    }
    const container = take(containers.keys());
    if (container === undefined) return undefined;
    if (kind === "rm") return removing(container);
    const on = containers.get(container)!;
    const network = take(kind === "connect" ? [...networks].filter((name) => !on.has(name)) : on);
    return network === undefined ? undefined : moving(kind as "connect" | "disconnect", container, on, network);
  }

  async #lines(...args: string[]): Promise<string[]> {
    return (await this.#scene.ok(...args)).split("\n").filter(Boolean);
  }

  async #checkNetworks(): Promise<void> {
    const found = await this.#lines("network", "ls", "--format", "{{.Name}}");
    for (const name of this.#known.networks) {
      if (!found.includes(name)) throw new Error(`network ${name} was created, and is gone`);
    }
    for (const name of this.#known.goneNetworks) {
      if (found.includes(name)) throw new Error(`network ${name} was removed, and is back`);
    }
  }

  /** Each is on its networks, with an interface for each, and serves at its port. */
  async #checkContainers(): Promise<void> {
    const found = await this.#lines("ps", "-a", "--format", "{{.Names}}");
    for (const name of this.#known.goneContainers) {
      if (found.includes(name)) throw new Error(`container ${name} was removed, and is back`);
    }
    for (const [name, networks] of this.#known.containers) {
      const template =
        "{{.State.Status}} {{.State.Pid}}{{range $name, $_ := .NetworkSettings.Networks}} {{$name}}{{end}}";
      const [state, pid, ...on] = (await this.#scene.engine.inspect(name, template)).split(" ");
      if (state !== "running") throw new Error(`${name} has to run, and is ${state}`);
      const [is, shouldBe] = [on.sort().join(" "), [...networks].sort().join(" ")];
      if (is !== shouldBe) throw new Error(`${name} has to be on ${shouldBe}, and is on ${is}`);
      using place = new Place(name, `/proc/${pid}/ns/net`);
      const links = (await this.#scene.within(place, "ip", "-o", "link")).split("\n").length - 1;
      if (links !== networks.size) throw new Error(`${name} is on ${networks.size} networks with ${links} interfaces`);
      if (networks.size > 0) await this.#checkPort(name);
    }
  }

  async #checkPort(name: string): Promise<void> {
    const port = firstPort + Number(name.replace("con-", ""));
    for (const [from, address] of [
      [this.#scene.host, "127.0.0.1"],
      [this.#scene.outside, hostAddresses.ipv4],
    ] as const) {
      const said = await ask(from, address, port, "GET /etc/hostname HTTP/1.0\r\n\r\n");
      if (!said?.endsWith(`\r\n\r\n${name}\n`))
        throw new Error(`${name} at ${address}:${port} from ${from.name}: ${said}`);
    }
  }

  /** The kernel has a bridge for no other network, and a translation for no other port. */
  async #checkKernel(): Promise<void> {
    const bridges = JSON.parse(await this.#scene.onHost("ip", "-j", "link", "show", "type", "bridge")) as {
      ifname?: string;
    }[];
    const ids = await this.#lines("network", "ls", "--no-trunc", "-q");
    const foreign = bridges
      .flatMap(({ ifname }) => ifname ?? [])
      .filter((name) => /^tsd-[0-9a-f]{11}$/.test(name) && !ids.some((id) => id.startsWith(name.slice(4))));
    if (foreign.length > 0) throw new Error(`bridges of no network: ${foreign.join(" ")}`);
    const rules = await this.#scene.onHost("nft", "-s", "list", "ruleset");
    const sockets = await this.#scene.onHost("ss", "-Hlntu");
    const shown = `${rules}\n${sockets}`;
    const ports = new Set([...shown.matchAll(/\b1\d{4}\b/g)].map(([text]) => Number(text)));
    const containers = await this.#lines("ps", "--format", "{{.Names}}");
    const own = containers.map((name) => firstPort + Number(name.replace("con-", "")));
    const left = [...ports].filter(
      (port) => port > firstPort && port <= firstPort + this.#names && !own.includes(port),
    );
    if (left.length > 0) throw new Error(`ports of no container: ${left.join(" ")}\n${shown}`);
  }

  /** Keeps the number of things small; with what was not known the next round begins knowing. */
  async #tidy(): Promise<void> {
    const { containers, networks, goneContainers, goneNetworks } = this.#known;
    const unknown = (await this.#lines("ps", "-a", "--format", "{{.Names}}")).filter((name) => !containers.has(name));
    const many = [...containers.keys()].slice(0, Math.max(0, containers.size - 5));
    for (const name of many) containers.delete(name);
    if (unknown.length + many.length > 0) await this.#scene.ok("rm", "-f", ...unknown, ...many);
    const found = await this.#lines("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}");
    const idle = found.filter((name) => !networks.has(name) && ![...containers.values()].some((on) => on.has(name)));
    if (idle.length > 0) await this.#scene.ok("network", "rm", ...idle);
    goneContainers.clear();
    goneNetworks.clear();
  }
}

function ending({ status, stderr }: CommandResult): string {
  return `status ${status} ${stderr.trim()}`;
}

function creating(name: string): Action {
  return { args: ["network", "create", name], begin: () => undefined, done: ({ networks }) => networks.add(name) };
}

function removingNetwork(name: string): Action {
  return {
    args: ["network", "rm", name],
    begin: ({ networks }) => networks.delete(name),
    done: ({ goneNetworks }) => goneNetworks.add(name),
  };
}

function running(image: string, name: string, port: number, network: string, mode: string): Action {
  const flags = ["-d", "--name", name, "--hostname", name, "--network", network];
  const publish = ["-p", `published=${port},target=80,mode=${mode}`];
  return {
    args: ["run", ...flags, ...publish, image, "httpd", "-f", "-p", "80", "-h", "/"],
    begin: () => undefined,
    done: ({ containers }) => containers.set(name, new Set([network])),
  };
}

function removing(name: string): Action {
  return {
    args: ["rm", "-f", name],
    begin: ({ containers }) => containers.delete(name),
    done: ({ goneContainers }) => goneContainers.add(name),
  };
}

function moving(verb: "connect" | "disconnect", name: string, on: ReadonlySet<string>, network: string): Action {
  const after = new Set(on);
  if (verb === "connect") after.add(network);
  else after.delete(network);
  return {
    args: ["network", verb, network, name],
    begin: ({ containers }) => containers.delete(name),
    done: ({ containers }) => containers.set(name, after),
  };
}
