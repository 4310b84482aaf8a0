/** Who reaches whom: each driver and mode, the host, and another machine, over TCP and UDP on IPv4 and IPv6. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../harness/command.ts";
import { Conversation, echoServer, type Place, probe } from "./probe.ts";
import { hostAddresses, NetworkScene, outsideAddresses, segments, tellingPort } from "./scene.ts";
import { expectedTable, reachTable, type Target } from "./table.ts";

/** What the running daemon needs to put its table back. */

/** `own` is the host's address on the container's own bridge, or the gateway of its macvlan; `blue` and `green` of a container on both. */
const everyone = `
             host  own  outside  def1  def2  blue1  blue2  green1  both/blue  both/green  seal1  seal2  quiet1  quiet2  bridge1  bridge2  private1  private2  vepa1  vepa2  thru
  host       46    .    46       46    46    46     46     46      46         46          46     46     46      46      -        -        46        46        46     46     46
  outside    46    .    46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        46        46     46     46
  def1       46    46   46       46    46    -      -      -       -          -           -      -      -       -       -        -        46        46        46     46     46
  def2       46    46   46       46    46    -      -      -       -          -           -      -      -       -       -        -        46        46        46     46     46
  blue1      46    46   46       -     -     46     46     -       46         -           -      -      -       -       -        -        46        46        46     46     46
  blue2      46    46   46       -     -     46     46     -       46         -           -      -      -       -       -        -        46        46        46     46     46
  green1     46    46   46       -     -     -      -      46      -          46          -      -      -       -       -        -        46        46        46     46     46
  both       46    46   46       -     -     46     46     46      46         46          -      -      -       -       -        -        46        46        46     46     46
  seal1      -     46   -        -     -     -      -      -       -          -           46     46     -       -       -        -        -         -         -      -      -
  seal2      -     46   -        -     -     -      -      -       -          -           46     46     -       -       -        -        -         -         -      -      -
  quiet1     46    46   46       -     -     -      -      -       -          -           -      -      46      -       -        -        46        46        46     46     46
  quiet2     46    46   46       -     -     -      -      -       -          -           -      -      -       46      -        -        46        46        46     46     46
  bridge1    -     46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        46        46     46     46
  bridge2    -     46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        46        46     46     46
  private1   46    46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        -         46     46     46
  private2   46    46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       -         46        46     46     46
  vepa1      46    46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        46        46     46     46
  vepa2      46    46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        46        46     46     46
  thru       46    46   46       -     -     -      -      -       -          -           -      -      -       -       46       46       46        46        46     46     46
  shared     46    46   46       -     -     46     46     -       46         -           -      -      -       -       -        -        46        46        46     46     46
  inhost     46    .    46       46    46    46     46     46      46         46          46     46     46      46      -        -        46        46        46     46     46
  alone      -     .    -        -     -     -      -      -       -          -           -      -      -       -       -        -        -         -         -      -      -
`;

let scene: NetworkScene;
const places: Place[] = [];
const targets: Target[] = [];
/** By place, the address that is `own` in the table. */
const own = new Map<string, string[]>();
beforeAll(async () => {
  scene = await NetworkScene.open();
  await makeNetworks();
  places.push(scene.host, scene.outside);
  target("host", scene.tell(scene.host, hostAddresses));
  targets.push({ name: "own", addresses: ({ name }) => own.get(name) ?? [], port: tellingPort });
  target("outside", scene.tell(scene.outside, outsideAddresses));
  for (const name of ["def1", "def2"]) await container(name, "bridge");
  for (const name of ["blue1", "blue2"]) await container(name, "blue");
  await container("green1", "green");
  const both = await scene.sleeper("both", "--network", "blue");
  await scene.ok("network", "connect", "green", "both");
  await settle(both, ["blue", "green"]);
  for (const name of ["seal1", "seal2"]) await container(name, "sealed");
  for (const name of ["quiet1", "quiet2"]) await container(name, "quiet");
  for (const mode of ["bridge", "private", "vepa"]) {
    for (const number of [1, 2]) await container(`${mode}${number}`, `mac-${mode}`);
  }
  await container("thru", "mac-passthru");
  const shared = await scene.sleeper("shared", "--network", "container:blue1");
  own.set("shared", own.get("blue1")!);
  places.push(shared, await scene.sleeper("inhost", "--network", "host"));
  places.push(await scene.sleeper("alone", "--network", "none"));
}, 60_000);
afterAll(() => scene[Symbol.asyncDispose]());

async function makeNetworks(): Promise<void> {
  const create = (...words: string[]) => scene.ok("network", "create", ...words);
  await create("blue");
  await create("green");
  await create("--internal", "sealed");
  await create("--opt", "com.docker.network.bridge.enable_icc=false", "quiet");
  for (const [index, mode] of ["bridge", "private", "vepa", "passthru"].entries()) {
    const { device, ipv4, ipv6 } = segments[index]!;
    const range = ["--subnet", `${ipv4}.0/24`, "--gateway", `${ipv4}.1`, "--ip-range", `${ipv4}.128/25`];
    // The host's own address on the segment is not to be given to a container.
    const range6 = ["--ipv6", "--subnet", `${ipv6}::/64`, "--gateway", `${ipv6}::1`, "--ip-range", `${ipv6}::8000/113`];
    await create(
      "-d",
      "macvlan",
      "-o",
      `parent=${device}`,
      "-o",
      `macvlan_mode=${mode}`,
      ...range,
      ...range6,
      `mac-${mode}`,
    );
  }
}

function target(name: string, addresses: string[]): void {
  targets.push({ name, addresses, port: tellingPort });
}

async function container(name: string, network: string): Promise<void> {
  await settle(await scene.sleeper(name, "--network", network), [network]);
}

/** Makes a place and its targets of a container. */
async function settle(place: Place, networks: string[]): Promise<void> {
  const { name } = place;
  places.push(place);
  for (const network of networks) {
    const addresses = scene.tell(place, await scene.addressesOf(name, network));
    target(networks.length === 1 ? name : `${name}/${network}`, addresses);
  }
  const network = networks[0]!;
  const router = network.startsWith("mac-") ? scene.outside : scene.host;
  own.set(name, scene.tell(router, await scene.gatewaysOf(network)));
}

async function expectEveryoneAsBefore(): Promise<void> {
  expect(await reachTable(places, targets)).toBe(expectedTable(everyone));
}

function place(name: string): Place {
  return places.find((one) => one.name === name)!;
}

test("who reaches whom", expectEveryoneAsBefore);

test("containers see each other's own addresses, and other machines the host's, unless they are on the wire themselves", async () => {
  const seen = async (from: string, to: string) => {
    const { addresses } = targets.find(({ name }) => name === to)!;
    const answers = (addresses as string[]).map((address) => probe(place(from), "tcp", address, tellingPort));
    return (await Promise.all(answers)).join(" ");
  };
  const addressesOf = (name: string) => (targets.find((one) => one.name === name)!.addresses as string[]).join(" ");
  expect(await seen("def1", "def2")).toBe(addressesOf("def1"));
  expect(await seen("blue1", "both/blue")).toBe(addressesOf("blue1"));
  expect(await seen("both", "green1")).toBe(addressesOf("both/green"));
  for (const name of ["def1", "blue1", "both", "quiet1"]) expect(await seen(name, "outside")).toBe(addressesOf("host"));
  for (const name of ["bridge1", "private1", "vepa1", "thru"])
    expect(await seen(name, "outside")).toBe(addressesOf(name));
  expect(await seen("blue1", "host")).toBe(addressesOf("blue1"));
});

describe("as before, and connections go on,", () => {
  const conversations: Conversation[] = [];
  const echoing: Disposable[] = [];
  const port = 4343;
  beforeAll(async () => {
    for (const [from, to] of [
      ["blue1", "outside"],
      ["def1", "def2"],
      ["host", "blue1"],
    ] as const) {
      for (const address of targets.find(({ name }) => name === to)!.addresses as string[]) {
        echoing.push(echoServer(place(to), address, port));
        conversations.push(await Conversation.open(place(from), address, port));
      }
    }
    await say("before");
  });
  afterAll(() => {
    for (const opened of [...conversations, ...echoing]) opened[Symbol.dispose]();
  });
  const say = (text: string) => Promise.all(conversations.map((conversation) => conversation.say(text)));

  test("with the daemon killed, and with the next", async () => {
    const { daemon } = scene.engine;
    await daemon.stop("SIGKILL");
    await say("without a daemon");
    await expectEveryoneAsBefore();
    const rules = await ruleset();
    await daemon.start();
    await say("with the next daemon");
    await expectEveryoneAsBefore();
    expect(await ruleset()).toBe(rules);
  });

  test("after somebody has flushed the ruleset: it is restored", async () => {
    const rules = await ruleset();
    await scene.onHost("nft", "flush", "ruleset");
    const begun = performance.now();
    await until("the ruleset is back", async () => (await ruleset()) === rules);
    const elapsedMs = performance.now() - begun;
    console.log(`note: the ruleset was back after ${elapsedMs.toFixed(0)} ms`);
    // Two seconds, and what a busy machine adds.
    expect(elapsedMs).toBeLessThan(10_000);
    await say("after the flush");
    await expectEveryoneAsBefore();
  });

  test("after a chain of its table, or the whole of it, was flushed or deleted", async () => {
    const rules = await ruleset();
    const table = /^table (inet tsd\S*)/m.exec(await scene.onHost("nft", "list", "tables"))![1]!.split(" ");
    for (const [verb, what, ...more] of [
      ["flush", "chain", "forward"],
      ["flush", "table"],
      ["delete", "table"],
    ] as const) {
      await scene.onHost("nft", verb, what, ...table, ...more);
      await until("the ruleset is back", async () => (await ruleset()) === rules);
    }
    await say("at last");
  });
});

test("what an administrator puts into the chain tsd-user holds, for the next daemon too", async () => {
  const table = /^table inet (tsd\S*)/m.exec(await scene.onHost("nft", "list", "tables"))![1]!;
  const rule = ["ip", "daddr", outsideAddresses.ipv4, "drop"];
  const reaches = async () => (await probe(place("blue1"), "tcp", outsideAddresses.ipv4, tellingPort)) !== undefined;
  expect(await reaches()).toBe(true);
  await scene.onHost("nft", "add", "rule", "inet", table, "tsd-user", ...rule);
  expect(await reaches()).toBe(false);
  await scene.engine.daemon.stop("SIGKILL");
  await scene.engine.daemon.start();
  expect(await reaches()).toBe(false);
  await scene.ok("network", "create", "another");
  expect(await reaches()).toBe(false);
  await scene.onHost("nft", "flush", "chain", "inet", table, "tsd-user");
  expect(await reaches()).toBe(true);
  await scene.ok("network", "rm", "another");
});

/** Without counters, and in an order that does not depend on where the kernel keeps an element. */
async function ruleset(): Promise<string> {
  const text = await scene.onHost("nft", "-s", "list", "ruleset");
  return text
    .split(/\n|, /)
    .map((line) => line.trim())
    .sort()
    .join("\n");
}
