/**
 * The daemon is killed while it makes and removes networks, and connects and disconnects running containers. Whatever
 * was answered stays; the rest is done or not, and never half: record, kernel and files say the same afterwards.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { expectAgreement } from "../harness/audit.ts";
import type { CommandResult } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { Random } from "../harness/random.ts";

const rounds = 5;
/** Past the end of most requests. */
const killWithinMs = 120;
const containers = ["first", "second"];
const networks = ["red", "green", "blue"];

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
  for (const name of networks) await engine.daemon.ok("network", "create", name);
  for (const name of containers) await engine.start(["--name", name, "--network", "red"], "sleep", "1000");
}, 60_000);
afterAll(async () => {
  await engine.daemon.ok("rm", "-f", ...containers);
  await engine.daemon.ok("network", "prune", "-f");
  await engine[Symbol.asyncDispose]();
});

/** Who is on what: changed by what succeeded, unknown where a request was cut off. */
const known = new Map<string, boolean>();

interface Action {
  args: string[];
  /** `first green`, or the network alone. */
  about: string;
  /** What is so when it succeeds. */
  result: boolean;
}

function choose(random: Random): Action[] {
  const actions = new Map<string, Action>();
  for (let count = 3 + random.below(3); count > 0; count--) {
    if (random.below(3) === 0) {
      const name = `passing-${random.below(2)}`;
      const result = random.below(2) === 0;
      actions.set(name, { args: ["network", result ? "create" : "rm", name], about: name, result });
    } else {
      const [network, container] = [random.pick(networks), random.pick(containers)];
      const about = `${container} ${network}`;
      const result = random.below(2) === 0;
      actions.set(about, {
        args: ["network", result ? "connect" : "disconnect", network, container],
        about,
        result,
      });
    }
  }
  return [...actions.values()];
}

interface Inspected {
  NetworkSettings: { Networks: Record<string, { NetworkID: string; IPAddress: string; GlobalIPv6Address: string }> };
}

/** All that tells of a container's networks has to tell the same. */
async function checkContainer(name: string): Promise<void> {
  const [{ NetworkSettings }] = JSON.parse(await engine.daemon.ok("inspect", name)) as [Inspected];
  const { Networks } = NetworkSettings;
  const recorded = Object.values(Networks)
    .flatMap(({ IPAddress, GlobalIPv6Address }) => [IPAddress, GlobalIPv6Address])
    .filter((address) => address !== "")
    .sort();
  const script =
    "ip -o addr show scope global | awk '{print $4}' | cut -d / -f 1; echo; grep -w $(hostname) /etc/hosts | cut -f 1";
  const [kernel, hosts] = (await engine.daemon.ok("exec", name, "sh", "-c", script))
    .split("\n\n")
    .map((part) => part.split("\n").filter(Boolean).sort());
  expect({ name, kernel: kernel ?? [], hosts: hosts ?? [] }).toEqual({ name, kernel: recorded, hosts: recorded });
  for (const network of networks) {
    const on = await engine.daemon.ok(
      "network",
      "inspect",
      "--format",
      "{{range .Containers}}{{.Name}} {{end}}",
      network,
    );
    expect([name, network, on.split(" ").includes(name)]).toEqual([name, network, network in Networks]);
    const wanted = known.get(`${name} ${network}`);
    if (wanted !== undefined) expect([name, network, network in Networks]).toEqual([name, network, wanted]);
  }
}

/** Each network of users' has its bridge, and no bridge is nobody's. */
async function checkBridges(): Promise<void> {
  const ids = await engine.daemon.ok("network", "ls", "-q", "--no-trunc", "--filter", "type=custom");
  const wanted = ids.split("\n").map((id) => `tsd-${id.slice(0, 11)}`);
  const links = (await engine.workspace.run(["ip", "-o", "link", "show", "type", "bridge"])).stdout;
  const there = [...links.matchAll(/^\d+: (tsd-[0-9a-f]{11}):/gm)].map((match) => match[1]!);
  expect(there.sort()).toEqual(wanted.sort());
  const listed = (await engine.daemon.ok("network", "ls", "--format", "{{.Name}}")).split("\n");
  for (const name of ["passing-0", "passing-1"]) {
    const wantedThere = known.get(name);
    if (wantedThere !== undefined) expect([name, listed.includes(name)]).toEqual([name, wantedThere]);
  }
}

test("a daemon that is killed while networks change leaves nothing half done", async () => {
  const random = new Random("interrupted networks");
  for (let round = 0; round < rounds; round++) {
    const actions = choose(random);
    const answers = Promise.all(actions.map(({ args }) => engine.tsd(args)));
    await Bun.sleep(random.below(killWithinMs));
    await engine.daemon.stop("SIGKILL");
    const results = await answers;
    for (const [index, { about, result }] of actions.entries()) learn(about, result, results[index]!);
    await engine.daemon.start();
    try {
      for (const name of containers) await checkContainer(name);
      await checkBridges();
      await expectAgreement(engine.workspace, engine.daemon);
    } catch (error) {
      const story = actions.map(({ args }, index) => `${args.join(" ")}: ${results[index]!.stderr || "done"}`);
      throw new Error(`in round ${round}, after\n${story.join("\n")}\n${await engine.daemon.log()}`, { cause: error });
    }
  }
}, 120_000);

/** What was answered is so; what was refused was so or not; of what was cut off nobody knows. */
function learn(about: string, result: boolean, { status, stderr }: CommandResult): void {
  if (status === 0) known.set(about, result);
  else if (!/already exists|is not connected|not found/.test(stderr)) known.delete(about);
}
