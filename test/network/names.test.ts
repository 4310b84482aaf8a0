import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command, succeed, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { startRegistry } from "../harness/registry.ts";
import { Workspace } from "../harness/workspace.ts";
import type { Heard } from "./ask-names.ts";
import type { LoadResult } from "./dns-load.ts";
import { resolverPid } from "./resolver-process.ts";

let workspace: Workspace;
let daemon: Daemon;
let image: string;
/** What the daemon and its resolver read as /etc/resolv.conf. */
let resolvConf: string;
const servers: Bun.Subprocess<"ignore", "pipe">[] = [];
/** The names that the first name server was asked for. */
let asked = "";

/** Runs the daemon in a mount namespace of its own, where /etc/resolv.conf is the test's. */
function withResolvConf(): string[] {
  return ["unshare", "--mount", "sh", "-ec", 'mount --bind "$0" /etc/resolv.conf; exec "$@"', resolvConf];
}

async function startNameServer(address: string, says: string): Promise<void> {
  const script = join(import.meta.dir, "name-server.ts");
  const child = Bun.spawn(workspace.inNetwork([process.execPath, script, address, says]), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  servers.push(child);
  const { promise, resolve } = Promise.withResolvers<void>();
  const isFirst = servers.length === 1;
  void (async () => {
    for await (const chunk of child.stdout) {
      const text = new TextDecoder().decode(chunk);
      if (text.startsWith("ready")) resolve();
      else if (isFirst) asked += text;
    }
  })();
  await promise;
}

beforeAll(async () => {
  workspace = await Workspace.open();
  resolvConf = workspace.path("resolv.conf");
  writeFileSync(resolvConf, "nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
  const registry = startRegistry(workspace);
  daemon = await Daemon.start(workspace, { wrapper: withResolvConf() });
  const busybox = await (await registry).push("busybox");
  await daemon.ok("pull", "-q", busybox);
  image = busybox;
  await Promise.all([startNameServer("127.0.0.1", "192.0.2.11"), startNameServer("127.0.0.2", "192.0.2.22")]);
  await daemon.ok("network", "create", "front");
  await daemon.ok("network", "create", "--internal", "inner");
}, 60_000);
afterAll(async () => {
  for (const server of servers) server.kill();
  await workspace[Symbol.asyncDispose]();
}, 60_000);

const start = (name: string, ...flags: string[]) =>
  daemon.ok("run", "-d", "--name", name, ...flags, image, "sleep", "1000");
const remove = (...names: string[]) => daemon.ok("rm", "-f", ...names);
const inspect = (name: string, template: string) => daemon.ok("inspect", "--format", template, name);
const field = (name: string, network: string, key: string) =>
  inspect(name, `{{(index .NetworkSettings.Networks "${network}").${key}}}`);

async function inNetworkOf(container: string, argv: string[]): Promise<string> {
  const pid = await inspect(container, "{{.State.Pid}}");
  return succeed(["nsenter", `--net=/proc/${pid}/ns/net`, ...argv]);
}

async function ask(container: string, ...questions: string[]): Promise<(Heard | null)[]> {
  const script = join(import.meta.dir, "ask-names.ts");
  return JSON.parse(await inNetworkOf(container, [process.execPath, script, ...questions]));
}

/** The data of each answer; or what is wrong with it. */
async function told(container: string, ...questions: string[]): Promise<(string[] | string)[]> {
  const heard = await ask(container, ...questions);
  return heard.map((answer) => (answer === null ? "nothing" : answer.rcode === "NOERROR" ? answer.data : answer.rcode));
}

describe("names of containers", () => {
  beforeAll(async () => {
    await Promise.all([
      start("web", "--network", "front", "--network-alias", "www", "--hostname", "host1"),
      start("client", "--network", "front"),
    ]);
  });
  afterAll(() => remove("web", "client"));

  test("are asked of 127.0.0.11 by libraries and programs in containers", async () => {
    const file = await daemon.ok("exec", "client", "cat", "/etc/resolv.conf");
    expect(file).toContain("\nnameserver 127.0.0.11\noptions ndots:0\n");
    expect(file).toContain("# ExtServers: [host(127.0.0.1) host(127.0.0.2)]\n");
    const address = await field("web", "front", "IPAddress");
    expect(await daemon.ok("exec", "client", "nslookup", "-type=a", "web")).toContain(`Address: ${address}`);
    expect(await daemon.ok("exec", "client", "ping", "-4", "-c", "1", "-W", "5", "www")).toContain(`(${address})`);
  });

  test("are its name, aliases, short id and hostname, alone and with the network's name, over UDP and TCP", async () => {
    const [id, ipv4, ipv6] = await Promise.all([
      inspect("web", "{{.Id}}"),
      field("web", "front", "IPAddress"),
      field("web", "front", "GlobalIPv6Address"),
    ]);
    const names = ["web", "WWW", id.slice(0, 12), "host1", "web.front", "www.front."];
    const questions = names.flatMap((name) => [`${name} A`, `${name} A tcp`]);
    expect(await told("client", ...questions)).toEqual(questions.map(() => [ipv4]));
    const reverse = `${ipv4.split(".").reverse().join(".")}.in-addr.arpa PTR`;
    const [aaaa, mx, ptr] = await told("client", "web AAAA", "web MX", reverse);
    expect([aaaa, mx, ptr]).toEqual([ipv6 === "" ? [] : [ipv6], [], ["web.front"]]);
    const [answer] = await ask("client", "web A");
    expect(answer).toMatchObject({ authoritative: true, truncated: false });
    expect(asked).toBe("");
  });

  test("that several have stand for all of them in turn", async () => {
    const names = ["one", "two", "three"];
    await Promise.all(names.map((name) => start(name, "--network", "front", "--network-alias", "all")));
    const addresses = await Promise.all(names.map((name) => field(name, "front", "IPAddress")));
    const answers = (await told("client", "all A", "all A", "all A")) as string[][];
    for (const answer of answers) expect(answer.toSorted()).toEqual(addresses.toSorted());
    expect(new Set(answers.map(([first]) => first)).size).toBe(3);
    await remove("one");
    const left = addresses.slice(1).toSorted();
    expect(((await told("client", "all A")) as string[][])[0]!.toSorted()).toEqual(left);
    await remove("two", "three");
    expect(await told("client", "none-of-all A", "all MX")).toEqual(["NXDOMAIN", []]);
  });

  test("of links are seen by one container alone", async () => {
    await start("linked", "--network", "front", "--link", "web:store");
    const address = await field("web", "front", "IPAddress");
    expect(await told("linked", "store A", "store.front A")).toEqual([[address], [address]]);
    expect(await told("client", "store A")).toEqual([["192.0.2.11"]]);
    await remove("linked");
  });

  test("come and go with containers and their networks", async () => {
    await start("mover", "--network", "inner");
    expect(await told("client", "mover A")).toEqual([["192.0.2.11"]]);
    await daemon.ok("network", "connect", "--alias", "moved", "front", "mover");
    const address = await field("mover", "front", "IPAddress");
    expect(await told("client", "mover A", "moved A")).toEqual([[address], [address]]);
    const web = await field("web", "front", "IPAddress");
    expect(await told("mover", "web A", "mover.inner A")).toEqual([
      [web],
      [await field("mover", "inner", "IPAddress")],
    ]);
    await daemon.ok("network", "disconnect", "front", "mover");
    expect(await told("client", "moved A")).toEqual([["192.0.2.11"]]);
    await daemon.ok("network", "connect", "front", "mover");
    await daemon.ok("stop", "-t", "0", "mover");
    expect(await told("client", "mover A")).toEqual([["192.0.2.11"]]);
    await daemon.ok("start", "mover");
    expect(await told("client", "mover A")).toEqual([[await field("mover", "front", "IPAddress")]]);
    await remove("mover");
    asked = "";
  });

  test("go on with a name server of the container's own on all addresses", async () => {
    await daemon.ok("exec", "-d", "client", "nc", "-l", "-p", "53");
    await until("it listens", async () => (await inNetworkOf("client", ["ss", "-tln"])).includes(":53 "));
    expect(await told("client", "web A tcp")).toEqual([[await field("web", "front", "IPAddress")]]);
  });

  test("are answered as fast as one core asks, and none is lost", async () => {
    const script = join(import.meta.dir, "dns-load.ts");
    const seconds = process.env.TSD_SOAK === "1" ? "10" : "2";
    const names = ["web", "www", "client", "web.front", "host1"];
    const result: LoadResult = JSON.parse(await inNetworkOf("client", [process.execPath, script, seconds, ...names]));
    console.log(`${result.perSecond} answers a second for ${result.seconds} s, ${result.lost} lost`);
    expect(result).toMatchObject({ lost: 0, wrong: 0, answered: result.sent });
    expect(result.answered).toBeGreaterThan(1_000);
  });
});

describe("names of others", () => {
  beforeAll(() => start("asker", "--network", "front"));
  afterAll(() => remove("asker"));

  test("are asked of the host's servers, over TCP where UDP has no room", async () => {
    expect(await told("asker", "some.example A", "none.example A")).toEqual([["192.0.2.11"], "NXDOMAIN"]);
    const [cut, whole] = await ask("asker", "long.example A", "long.example A tcp");
    expect(cut).toMatchObject({ rcode: "NOERROR", truncated: true });
    expect(whole!.data.length).toBe(60);
  });

  test("follow the host's resolv.conf", async () => {
    for (const [server, says] of [
      ["127.0.0.2", "192.0.2.22"],
      ["127.0.0.1", "192.0.2.11"],
    ] as const) {
      writeFileSync(resolvConf, `nameserver ${server}\n`);
      const changed = performance.now();
      await until("the other is asked", async () => String(await told("asker", "some.example A")) === says);
      console.log(`note: the change counted after ${(performance.now() - changed).toFixed(0)} ms`);
    }
  });

  test("come when a server is slow, are SERVFAIL when it is dead, and nobody else waits meanwhile", async () => {
    const [[slow], [dead], [own]] = await Promise.all([
      ask("asker", "slow.example A"),
      ask("asker", "dead.example A"),
      ask("asker", "asker A"),
    ]);
    expect(slow).toMatchObject({ rcode: "NOERROR", data: ["192.0.2.11"] });
    expect(dead).toMatchObject({ rcode: "SERVFAIL" });
    expect(own!.ms).toBeLessThan(dead!.ms - 1_000);
    const [slowMs, deadMs, ownMs] = [slow!, dead!, own!].map(({ ms }) => ms.toFixed(0));
    console.log(`note: slow ${slowMs} ms, dead ${deadMs} ms, own ${ownMs} ms`);
  });

  test("are not asked for a container on an internal network, not even by its host", async () => {
    asked = "";
    await start("inside", "--network", "inner");
    expect(await told("inside", "secret.example A", "inside A")).toEqual([
      "SERVFAIL",
      [await field("inside", "inner", "IPAddress")],
    ]);
    expect(asked).not.toContain("secret");
    await remove("inside");
  });

  test("of --dns are asked from within the container", async () => {
    await start("own", "--network", "front", "--dns", "127.0.0.1", "--dns-search", "example.test");
    expect(await daemon.ok("exec", "own", "cat", "/etc/resolv.conf")).toContain("search example.test\n");
    // Nobody listens there.
    expect(await told("own", "some.example A")).toEqual(["SERVFAIL"]);
    await remove("own");
  });
});

describe("the resolver", () => {
  beforeAll(() => Promise.all([start("first", "--network", "front"), start("second", "--network", "front")]));
  afterAll(() => remove("first", "second"));

  test("is one process, which goes on without the daemon and is taken over by the next", async () => {
    const pid = resolverPid(workspace);
    const address = await field("second", "front", "IPAddress");
    const target = await inspect("first", "{{.State.Pid}}");
    await daemon.stop("SIGKILL");
    const script = join(import.meta.dir, "ask-names.ts");
    const alone = await command([
      "nsenter",
      `--net=/proc/${target}/ns/net`,
      process.execPath,
      script,
      "second A",
      "some.example A",
    ]);
    expect((JSON.parse(alone.stdout) as Heard[]).map(({ data }) => data)).toEqual([[address], ["192.0.2.11"]]);
    await daemon.start();
    expect(resolverPid(workspace)).toBe(pid!);
    await start("third", "--network", "front");
    expect(await told("first", "second A", "third A")).toEqual([
      [address],
      [await field("third", "front", "IPAddress")],
    ]);
    await remove("third");
  });

  test("is started again when it is killed, and knows all names in all containers", async () => {
    const pid = resolverPid(workspace)!;
    process.kill(pid, "SIGKILL");
    await until("there is another", () => ![undefined, pid].includes(resolverPid(workspace)));
    const [first, second] = [await field("first", "front", "IPAddress"), await field("second", "front", "IPAddress")];
    await until("it answers", async () => String(await told("first", "second A")) === second);
    expect(await told("second", "first A", "first A tcp")).toEqual([[first], [first]]);
  });

  test("ends with the last container, when no daemon is there", async () => {
    await remove("first", "second");
    const pid = resolverPid(workspace)!;
    await daemon.stop();
    await until("it has ended", () => !existsSync(`/proc/${pid}/exe`));
    await daemon.start();
    expect(resolverPid(workspace)).toBeUndefined();
  });
});
