import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { type Answer, type DecodedPacket, decode, encode } from "dns-packet";
import type { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { connect, datagramSocket, receive, send } from "../../../ffi/socket/socket.ts";
import { outstandingMax } from "./forward.ts";
import type { Resolver } from "./resolver.ts";
import { ask, question, told } from "./testing/client.ts";
import { endpointOf, ResolverBed, until } from "./testing/fixture.ts";
import { answering, type Behaviour, TestNameServer } from "./testing/name-server.ts";

const roomFor4000: Answer = {
  name: ".",
  type: "OPT",
  udpPayloadSize: 4000,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** Records with these addresses for whatever is asked. */
const saying = (...addresses: string[]): Behaviour => {
  return (_, asked) => answering(asked, records(asked, addresses));
};

async function timed<T>(asking: Promise<T>): Promise<{ answer: T; ms: number }> {
  const before = performance.now();
  const answer = await asking;
  return { answer, ms: performance.now() - before };
}

function records(asked: DecodedPacket, addresses: string[]): Answer[] {
  const { name } = asked.questions![0]!;
  return addresses.map((data) => ({ name, type: "A" as const, ttl: 60, data }));
}

describe.skipIf(process.getuid?.() !== 0)("names of others", () => {
  let bed: ResolverBed;
  let resolver: Resolver;
  let first: TestNameServer;
  let second: TestNameServer;

  beforeAll(async () => {
    bed = new ResolverBed();
    first = await TestNameServer.open("127.0.0.1", () => undefined);
    second = await TestNameServer.open("127.0.0.2", () => undefined);
  });
  beforeEach(() => {
    resolver = bed.open();
    writeFileSync(bed.resolvConf, "nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
    for (const server of [first, second]) server.asked.length = 0;
    first.behaviour = saying("192.0.2.11");
    second.behaviour = saying("192.0.2.22");
  });
  afterEach(() => bed.endAll());
  afterAll(async () => {
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    bed[Symbol.dispose]();
  });

  test("are asked of the host's first server, each time from another port and with another id", async () => {
    const one = await bed.container(resolver, 1);
    for (let n = 0; n < 20; n++) expect(await told(one, "Example.org", "A")).toEqual(["192.0.2.11"]);
    expect(await told(one, "example.org", "A", { overTcp: true })).toEqual(["192.0.2.11"]);
    expect(second.asked).toEqual([]);
    expect(first.asked.map(({ name }) => name).slice(0, 2)).toEqual(["Example.org", "Example.org"]);
    expect(first.asked.map(({ overTcp }) => overTcp)).toEqual([...new Array(20).fill(false), true]);
    expect(new Set(first.asked.map(({ id }) => id)).size).toBeGreaterThan(18);
    expect(new Set(first.asked.map(({ port }) => port)).size).toBeGreaterThan(15);
  });

  test("errors of the server come through, and the next is asked where it could not say", async () => {
    const one = await bed.container(resolver, 1);
    first.behaviour = (_, asked) => answering(asked, [], { flags: 0x183 });
    expect(await told(one, "nowhere.example", "A")).toBe("NXDOMAIN");
    expect(second.asked).toEqual([]);
    first.behaviour = (_, asked) => answering(asked, [], { flags: 0x182 });
    expect(await told(one, "nowhere.example", "A")).toEqual(["192.0.2.22"]);
    second.behaviour = (_, asked) => answering(asked, [], { flags: 0x185 });
    expect(await told(one, "nowhere.example", "A")).toBe("SERVFAIL");
  });

  test("a server that is not there costs no time", async () => {
    writeFileSync(bed.resolvConf, "nameserver 127.0.0.3\nnameserver 127.0.0.2\n");
    const one = await bed.container(resolver, 1);
    const asked = [0, 1, 2, 3].map((n) => () => timed(told(one, `example${n}.org`, "A")));
    const times: number[] = [];
    for (const ask of asked) {
      const { answer, ms } = await ask();
      expect(answer).toEqual(["192.0.2.22"]);
      times.push(ms);
    }
    // A silent one costs a second each time. The machine may be busy, but not all the time.
    expect(Math.min(...times)).toBeLessThan(700);
  });

  test("a silent server costs a second and is passed over then, a slow one is heard, dead ones are SERVFAIL", async () => {
    // What happens to one process's questions is of no concern to another's.
    const [silent, slow, dead] = await Promise.all([1, 2, 3].map((id) => bed.container(bed.open(), id)));
    first.behaviour = async ({ name }, asked) => {
      if (!name.startsWith("slow")) return undefined;
      await Bun.sleep(1_500);
      return answering(asked, records(asked, ["192.0.2.11"]));
    };
    const answered = saying("192.0.2.22");
    second.behaviour = (asked, packet) => (asked.name.startsWith("silent") ? answered(asked, packet) : undefined);
    const [passedOver, late, never, own] = await Promise.all([
      (async () => {
        const asked = Array.from({ length: 4 }, (_, n) => timed(told(silent!, `silent${n}.example`, "A")));
        return [...(await Promise.all(asked)), await timed(told(silent!, "silent.example", "A"))];
      })(),
      timed(told(slow!, "slow.example", "A")),
      timed(told(dead!, "dead.example", "A")),
      (async () => {
        await until("it is asked", () => first.asked.some(({ name }) => name === "dead.example"));
        return timed(Promise.all(Array.from({ length: 20 }, () => told(dead!, "name3", "A"))));
      })(),
    ]);
    expect(passedOver.map(({ answer }) => String(answer))).toEqual(new Array(5).fill("192.0.2.22"));
    expect(passedOver[0]!.ms).toBeGreaterThan(900);
    expect(first.asked.map(({ name }) => name)).not.toContain("silent.example");
    expect(late.answer).toEqual(["192.0.2.11"]);
    expect(never.answer).toBe("SERVFAIL");
    expect(never.ms).toBeGreaterThan(4_000);
    expect(own.answer).toEqual(new Array(20).fill(["10.0.0.3"]));
    expect(own.ms).toBeLessThan(never.ms - 1_000);
    // A container's library gives up after five seconds.
    const times = Object.entries({ silent: passedOver[0]!, passedOver: passedOver[4]!, late, never, own });
    console.log(`note: ${times.map(([what, { ms }]) => `${what} ${ms.toFixed(0)} ms`).join(", ")}`);
  }, 30_000);

  test("an answer with another id, another question, or from elsewhere does not count", async () => {
    const one = await bed.container(resolver, 1);
    const refused = { error: () => undefined };
    const elsewhere = await Bun.udpSocket({ hostname: "127.0.0.9", port: 53, socket: refused });
    first.behaviour = async ({ port }, asked) => {
      const right = answering(asked, records(asked, ["192.0.2.11"]));
      const wrong = answering(asked, records(asked, ["203.0.113.66"]));
      elsewhere.send(encode(wrong), port, "127.0.0.1");
      const other = { ...wrong, questions: [{ name: "other.example", type: "A" as const }] };
      const otherId = { ...wrong, id: (asked.id! + 1) & 0xffff };
      return [encode(otherId), encode(other), Buffer.from("junk"), encode({ ...wrong, type: "query" }), encode(right)];
    };
    expect(await told(one, "example.org", "A")).toEqual(["192.0.2.11"]);
    expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
    elsewhere.close();
  });

  test("answers that are cut are fetched over TCP where the asker has room for them", async () => {
    const one = await bed.container(resolver, 1);
    const many = Array.from({ length: 60 }, (_, n) => `192.0.2.${n}`);
    first.behaviour = ({ overTcp }, asked) => {
      return overTcp ? answering(asked, records(asked, many)) : answering(asked, [], { flags: 0x380 });
    };
    expect(await ask(one, "long.example", "A")).toMatchObject({ flag_tc: true, answers: [] });
    const roomy = await ask(one, "long.example", "A", { additionals: [roomFor4000] });
    expect(roomy).toMatchObject({ flag_tc: false });
    expect(roomy!.answers!.length).toBe(60);
    expect(await told(one, "long.example", "A", { overTcp: true })).toEqual(many);
    // A server whose TCP is broken: what it said is better than nothing.
    first.behaviour = ({ overTcp }, asked) => (overTcp ? new Uint8Array(3) : answering(asked, [], { flags: 0x380 }));
    second.behaviour = () => undefined;
    expect(await ask(one, "long.example", "A", { additionals: [roomFor4000] })).toMatchObject({ flag_tc: true });
  });

  test("changes of the host's resolv.conf count at once", async () => {
    const one = await bed.container(resolver, 1);
    expect(await told(one, "example.org", "A")).toEqual(["192.0.2.11"]);
    writeFileSync(bed.resolvConf, "nameserver 127.0.0.2\n");
    const changed = performance.now();
    await until("the new one is asked", async () => String(await told(one, "example.org", "A")) === "192.0.2.22");
    console.log(`note: the change counted after ${(performance.now() - changed).toFixed(0)} ms`);
    writeFileSync(bed.resolvConf, "nameserver 127.0.0.9\n");
    await until("nobody is asked", async () => (await told(one, "example.org", "A")) === "SERVFAIL");
    expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
  });

  test("of --dns are asked from within the container, where they may be itself", async () => {
    const one = await bed.container(resolver, 1, { servers: ["127.0.0.11", "127.0.0.5"] });
    const own = await inNetworkNamespace(one, () => TestNameServer.open("127.0.0.5", saying("198.51.100.5")));
    expect(await told(one, "example.org", "A")).toEqual(["198.51.100.5"]);
    expect(await told(one, "example.org", "A", { overTcp: true })).toEqual(["198.51.100.5"]);
    expect(first.asked).toEqual([]);
    await own[Symbol.asyncDispose]();
    expect(await told(one, "example.org", "A")).toBe("SERVFAIL");
  });

  test("are not asked for a container on internal networks alone", async () => {
    const one = await bed.container(resolver, 1, { internal: true });
    expect(await told(one, "secret.example", "A")).toBe("SERVFAIL");
    expect(await told(one, "secret.example", "TXT", { overTcp: true })).toBe("SERVFAIL");
    expect(first.asked).toEqual([]);
    await resolver.setNames({ ...endpointOf(1, { networkId: "out", names: [] }), endpointId: "e1b" });
    expect(await told(one, "public.example", "A")).toEqual(["192.0.2.11"]);
    await resolver.removeNames("e1b");
    expect(await told(one, "secret.example", "A")).toBe("SERVFAIL");
    expect(first.asked.map(({ name }) => name)).toEqual(["public.example"]);
  });

  test("more than a container's share is refused at once, and the others have theirs", async () => {
    const [one, two] = [await bed.container(resolver, 1), await bed.container(resolver, 2)];
    first.behaviour = () => undefined;
    const answers = floodFrom(one, outstandingMax.sandbox + 50);
    await until("the surplus is refused", () => answers().filter((rcode) => rcode === "REFUSED").length === 50);
    first.behaviour = saying("192.0.2.11");
    // By the second server, where the first has been silent for long enough meanwhile.
    const either = ["192.0.2.11", "192.0.2.22"];
    expect(either).toContain((await told(two, "example.org", "A"))[0]!);
    // Its share is its own again as soon as it was answered, by the second server.
    await until("all are answered", () => answers().length === outstandingMax.sandbox + 50);
    expect(either).toContain((await told(one, "example.org", "A"))[0]!);
  });
});

/** Asks that many questions at once. @returns what gives the results of all that were answered since. */
function floodFrom(namespace: Fd, count: number): () => string[] {
  const to = { address: Uint8Array.of(127, 0, 0, 11), port: 53 };
  const fd = inNetworkNamespace(namespace, () => datagramSocket(to));
  inNetworkNamespace(namespace, () => connect(fd, to));
  const results: string[] = [];
  const take = (): string[] => {
    const buffer = new Uint8Array(4096);
    for (let length = receive(fd, buffer); length !== undefined; length = receive(fd, buffer)) {
      results.push((decode(Buffer.from(buffer.slice(0, length))) as unknown as { rcode: string }).rcode);
    }
    return results;
  };
  for (let n = 0; n < count; n++) send(fd, question(`flood${n}.example`, "A"));
  return take;
}
