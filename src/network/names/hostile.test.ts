import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { encode } from "dns-packet";
import { SO_RCVBUF, SOL_SOCKET } from "../../../ffi/constants/socket.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { bind, connect, datagramSocket, receive, send, setOption, streamSocket } from "../../../ffi/socket/socket.ts";
import { outstandingMax } from "./forward.ts";
import type { Resolver } from "./resolver.ts";
import { question, told } from "./testing/client.ts";
import { ResolverBed, until } from "./testing/fixture.ts";
import { answering, TestNameServer } from "./testing/name-server.ts";

const solIp = 0;
/** IP_TRANSPARENT of ip(7): any source may be written. A container does the same by a raw socket. */
const optionTransparent = 19;

function asker(namespace: Fd): Fd {
  const to = { address: Uint8Array.of(127, 0, 0, 11), port: 53 };
  return inNetworkNamespace(namespace, () => {
    const fd = datagramSocket(to);
    connect(fd, to);
    return fd;
  });
}

/** Sends questions as if from elsewhere: whoever answers has no way there. */
function forger(namespace: Fd): Fd {
  const to = { address: Uint8Array.of(127, 0, 0, 11), port: 53 };
  return inNetworkNamespace(namespace, () => {
    const fd = datagramSocket(to);
    setOption(fd, solIp, optionTransparent, 1);
    bind(fd, { address: Uint8Array.of(198, 51, 100, 7), port: 4_000 });
    connect(fd, to);
    return fd;
  });
}

describe.skipIf(process.getuid?.() !== 0)("tsd resolver, asked by one who means no good", () => {
  let bed: ResolverBed;
  let resolver: Resolver;
  let server: TestNameServer;

  beforeAll(async () => {
    bed = new ResolverBed();
    server = await TestNameServer.open("127.0.0.1", () => undefined);
  });
  beforeEach(() => {
    resolver = bed.open();
    writeFileSync(bed.resolvConf, "nameserver 127.0.0.1\n");
    server.asked.length = 0;
    server.behaviour = () => undefined;
  });
  afterEach(() => bed.endAll());
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    bed[Symbol.dispose]();
  });

  test("answers that find no way to who asked are nobody else's concern", async () => {
    const one = await bed.container(resolver, 1);
    const two = await bed.container(resolver, 2);
    using forged = forger(one);
    // More than may be under way are refused at once, while answers to known names wait to be sent.
    for (let n = 0; n < 1_500; n++) {
      send(forged, question("name2", "A"));
      send(forged, question(`n${n}.example`, "A"));
    }
    await until("they were asked", () => server.asked.length >= 256);
    expect(await told(two, "name1", "A", { timeoutMs: 500 })).toEqual(["10.0.0.1"]);
    expect(await told(two, "else.where", "A")).toBe("SERVFAIL");
    expect(await told(one, "name2", "A", { timeoutMs: 500 })).toEqual(["10.0.0.2"]);
    expect(readFileSync(bed.logPath, "utf8")).not.toContain("level=error");
  });

  test("containers that together ask all that may be under way leave room for one that asks little", async () => {
    const greedy = outstandingMax.all / outstandingMax.sandbox;
    const all = await Promise.all(Array.from({ length: greedy }, (_, n) => bed.container(resolver, n + 1)));
    const modest = await bed.container(resolver, 99);
    for (const namespace of all) {
      using fd = asker(namespace);
      for (let n = 0; n < outstandingMax.sandbox; n++) send(fd, question(`n${n}.example`, "A"));
    }
    await until("all places are taken", () => server.asked.length >= outstandingMax.all);
    // The others' places are free again when they are given up, after 4.5 s.
    server.behaviour = ({ name }, asked) => (name === "example.org" ? answering(asked, []) : undefined);
    expect(await told(modest, "example.org", "A", { timeoutMs: 3_500 })).toEqual([]);
  });

  test("a client that takes no answers is given up, whatever others send it", async () => {
    const one = await bed.container(resolver, 1);
    const bytes = 60_000;
    const allAsked = Promise.withResolvers<void>();
    server.behaviour = async ({ overTcp }, asked) => {
      if (!overTcp) return answering(asked, []);
      await allAsked.promise;
      const answer = Buffer.alloc(bytes);
      encode(answering(asked, []), answer);
      return answer;
    };
    const to = { address: Uint8Array.of(127, 0, 0, 11), port: 53 };
    using fd = inNetworkNamespace(one, () => {
      const socket = streamSocket(to);
      setOption(socket, SOL_SOCKET, SO_RCVBUF, 4_096);
      connect(socket, to);
      return socket;
    });
    const count = 250;
    const questions = Array.from({ length: count }, (_, n) => question(`n${n}.example`, "A"));
    const sent = Buffer.concat(questions.flatMap((each) => [Uint8Array.of(0, each.length), each]));
    await until("it is connected", () => send(fd, sent) === sent.length);
    await until("all were asked", () => server.asked.filter(({ overTcp }) => overTcp).length >= count);
    allAsked.resolve();
    expect(await told(one, "last.example", "A")).toEqual([]);
    const buffer = new Uint8Array(65_536);
    let [taken, ended] = [0, false];
    await until("the connection has ended", () => {
      for (let length = receive(fd, buffer); length !== undefined; length = receive(fd, buffer)) {
        taken += length;
        ended = length === 0;
        if (ended) break;
      }
      return ended || taken === count * (2 + bytes);
    });
    expect(ended).toBe(true);
    expect(await told(one, "name1", "A", { overTcp: true })).toEqual(["10.0.0.1"]);
  });
});
