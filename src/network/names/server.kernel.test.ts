import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { decode } from "dns-packet";
import fc from "fast-check";
import type { Fd } from "../../../ffi/fd.ts";
import { inNetworkNamespace } from "../../../ffi/namespace.ts";
import { bind, connect, datagramSocket, send } from "../../../ffi/socket/socket.ts";
import { run } from "../testbed.ts";
import { redirectedPorts } from "./redirect.ts";
import type { Resolver } from "./resolver.ts";
import { ask, exchange, question, told } from "./testing/client.ts";
import { endpointOf, ResolverBed, sandboxOf, until } from "./testing/fixture.ts";

const taken: Fd[] = [];

/** The port on 127.0.0.11, for as long as the test runs. */
function bindThere(namespace: Fd, port: number): Fd | undefined {
  const address = { address: Uint8Array.of(127, 0, 0, 11), port };
  const fd = inNetworkNamespace(namespace, () => datagramSocket(address));
  try {
    bind(fd, address);
    taken.push(fd);
    return fd;
  } catch {
    fd.close();
    return undefined;
  }
}

describe.skipIf(process.getuid?.() !== 0)("tsd resolver", () => {
  let bed: ResolverBed;
  let resolver: Resolver;

  beforeAll(() => {
    bed = new ResolverBed();
  });
  beforeEach(() => {
    resolver = bed.open();
  });
  afterEach(() => {
    for (const fd of taken.splice(0)) fd.close();
    bed.endAll();
  });
  afterAll(() => bed[Symbol.dispose]());

  test("answers over UDP and TCP on port 53, and leaves the port to the container's own server", async () => {
    const one = await bed.container(resolver, 1);
    await bed.container(resolver, 2);
    for (const overTcp of [false, true]) {
      expect(await told(one, "name2", "A", { overTcp })).toEqual(["10.0.0.2"]);
      expect(await told(one, "name2", "AAAA", { overTcp })).toEqual([]);
      expect(await told(one, "2.0.0.10.in-addr.arpa", "PTR", { overTcp })).toEqual(["name2.net"]);
    }
    const own = await inNetworkNamespace(one, () =>
      Bun.udpSocket({
        hostname: "0.0.0.0",
        port: 53,
        socket: { data: (socket, _, port, from) => void socket.send("own", port, from) },
      }),
    );
    const answer = await exchange(one, question("name2", "A"), { server: "127.0.0.1" });
    expect(Buffer.from(answer!).toString()).toBe("own");
    expect(await told(one, "name2", "A")).toEqual(["10.0.0.2"]);
    own.close();
  });

  test("does not have the kernel track connections in the container", async () => {
    const one = await bed.container(resolver, 1);
    expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
    const rules = inNetworkNamespace(one, () => run("nft", "list", "ruleset"));
    expect(rules).not.toMatch(/nat|ct /);
    expect(rules).toMatch(/oifname != "lo" accept\s+ip daddr 127\.0\.0\.11 udp dport 53 udp dport set \d+/);
  });

  test("tells hundreds of addresses over TCP, and over UDP what fits", async () => {
    const one = await bed.container(resolver, 1);
    const told = Array.from({ length: 499 }, (_, n) => resolver.setNames(endpointOf(n + 2, { names: ["all"] })));
    await Promise.all(told);
    const overUdp = await ask(one, "all", "A");
    expect(overUdp).toMatchObject({ flag_tc: true, flag_aa: true });
    expect(overUdp!.answers!.length).toBe(Math.floor((512 - 12 - 9) / 19));
    const overTcp = await ask(one, "all", "A", { overTcp: true });
    expect(overTcp).toMatchObject({ flag_tc: false });
    expect(new Set(overTcp!.answers!.map((record) => (record as { data: string }).data)).size).toBe(499);
  });

  test("names come and go with their containers, and a sandbox that is released is answered no more", async () => {
    const one = await bed.container(resolver, 1, { internal: true });
    expect(await told(one, "name2", "A")).toBe("SERVFAIL");
    await resolver.setNames(endpointOf(2));
    expect(await told(one, "name2", "A")).toEqual(["10.0.0.2"]);
    await resolver.setNames(endpointOf(2, { ipv4: "10.0.0.77" }));
    expect(await told(one, "name2", "A")).toEqual(["10.0.0.77"]);
    await resolver.removeNames("e2");
    expect(await told(one, "name2", "A")).toBe("SERVFAIL");
    await resolver.release("s1");
    expect(await told(one, "name1", "A", { timeoutMs: 100 })).toBe("nothing");
  });

  test("lets go of the network namespace when it is released", async () => {
    const one = await bed.container(resolver, 1);
    await bed.container(resolver, 2);
    const holds = () => run("sh", "-c", `ls -l /proc/${bed.started[0]}/fd`).includes(inode);
    const inode = inNetworkNamespace(one, () => run("readlink", "/proc/self/ns/net")).trim();
    expect(holds()).toBe(true);
    await resolver.release("s1");
    expect(holds()).toBe(false);
  });

  test("lets go of the last one, too, that ends while another is being let go of", async () => {
    await bed.container(resolver, 1);
    const two = await bed.container(resolver, 2);
    const inode = inNetworkNamespace(two, () => run("readlink", "/proc/self/ns/net")).trim();
    const first = resolver.release("s1");
    await undefined; // the request is under way
    await Promise.all([first, resolver.release("s2")]);
    expect(run("sh", "-c", `ls -l /proc/${bed.started[0]}/fd`)).not.toContain(inode);
  });

  test("refuses a sandbox whose namespace is not there by its name, and the others are served", async () => {
    const gone = { sandboxId: "s9".padEnd(64, "0"), namespacePath: "/proc/self/fd/9999", servers: [] };
    const results = await Promise.allSettled([resolver.serve(gone), bed.container(resolver, 1)]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    const { reason } = results[0] as PromiseRejectedResult;
    expect(String(reason)).toContain("serve names to sandbox s90000000000: openat /proc/self/fd/9999: ENOENT");
    await expect(resolver.setNames(endpointOf(3, { ipv4: "10.0.0.300" }))).rejects.toThrow("is not an IP address");
  });

  test("is started anew when it is killed, and answers the same in all sandboxes", async () => {
    const sandboxes = [await bed.container(resolver, 1), await bed.container(resolver, 2)];
    process.kill(bed.started[0]!, "SIGKILL");
    for (const one of sandboxes) {
      await until("it answers again", async () => (await told(one, "name2", "A", { timeoutMs: 100 })) !== "nothing");
      expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
      expect(await told(one, "name1", "A", { overTcp: true })).toEqual(["10.0.0.1"]);
    }
    expect(bed.started.length).toBe(2);
  });

  test("takes other ports where the container has taken its own meanwhile", async () => {
    const first = bed.open("taken.sock");
    const one = await bed.container(first, 1);
    const ports = () => inNetworkNamespace(one, redirectedPorts)!;
    const before = ports();
    first.close();
    process.kill(bed.started[0]!, "SIGKILL");
    const free = () => bindThere(one, before.udp);
    await until("the port is free", () => free() !== undefined);
    const next = bed.open("taken.sock");
    await next.restore({ endpoints: [endpointOf(1)], sandboxes: [sandboxOf(1, one)] });
    expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
    expect(ports().udp).not.toBe(before.udp);
    expect(ports().tcp).toBe(before.tcp);
  });

  test("goes on without a daemon, and is taken over by the next one, which says what has gone", async () => {
    const first = bed.open("kept.sock");
    const fds = [await bed.container(first, 1), await bed.container(first, 2), await bed.container(first, 3)];
    first.close();
    expect(await told(fds[0]!, "name2", "A")).toEqual(["10.0.0.2"]);
    const next = bed.open("kept.sock");
    const path = {
      endpoints: [endpointOf(1), endpointOf(3)],
      sandboxes: [sandboxOf(1, fds[0]!), sandboxOf(3, fds[2]!)],
    };
    await next.restore(path);
    expect(bed.started.length).toBe(1);
    expect(await told(fds[2]!, "name1", "A")).toEqual(["10.0.0.1"]);
    expect(await told(fds[0]!, "name3.net", "A")).toEqual(["10.0.0.3"]);
    expect(await told(fds[1]!, "name1", "A", { timeoutMs: 100 })).toBe("nothing");
    await next.setNames(endpointOf(4));
    expect(await told(fds[0]!, "name4", "A")).toEqual(["10.0.0.4"]);
  });

  test("ends by itself when it has nothing to do any more and no daemon is there", async () => {
    const one = await bed.container(resolver, 1);
    await Promise.all([resolver.removeNames("e1"), resolver.release("s1")]);
    resolver.close();
    await until("it has ended", () => !existsSync(`/proc/${bed.started[0]}/exe`));
    expect(await told(one, "name1", "A", { timeoutMs: 100 })).toBe("nothing");
    expect(readFileSync(bed.logPath, "utf8")).toContain("tsd resolver ends");
  });

  test("a daemon that has nobody to serve starts none, and one that finds one has it end", async () => {
    await resolver.setNames(endpointOf(1));
    await resolver.release("s1");
    await resolver.restore({ sandboxes: [], endpoints: [] });
    expect(bed.started).toEqual([]);
    const first = bed.open("left.sock");
    await bed.container(first, 1);
    first.close();
    await bed.open("left.sock").restore({ sandboxes: [], endpoints: [] });
    await until("it has ended", () => !existsSync(`/proc/${bed.started[0]}/exe`));
  });

  test("what was said while nobody was served is known later", async () => {
    const one = await bed.container(resolver, 1);
    await resolver.release("s1");
    await resolver.setNames(endpointOf(2));
    await resolver.setNames(endpointOf(3));
    await resolver.removeNames("e3");
    await resolver.serve(sandboxOf(1, one));
    expect(await told(one, "name2", "A")).toEqual(["10.0.0.2"]);
    expect(bed.started.length).toBe(1);
  });

  test("adding the two hundredth container costs what the first did", async () => {
    const took: number[] = [];
    for (let id = 1; id <= 200; id++) {
      const fd = bed.namespace();
      const before = performance.now();
      const names = [`name${id}`, "all"];
      await Promise.all([resolver.setNames(endpointOf(id, { names })), resolver.serve(sandboxOf(id, fd))]);
      took.push(performance.now() - before);
    }
    const median = (part: number[]): number => part.sort((a, b) => a - b)[Math.floor(part.length / 2)]!;
    const [early, late] = [median(took.slice(10, 60)), median(took.slice(-50))];
    console.log(`a container: ${early.toFixed(2)} ms with 35 others, ${late.toFixed(2)} ms with 175`);
    expect(late).toBeLessThan(3 * early + 1);
  }, 60_000);

  test("goes on over UDP without a descriptor to spare, and over TCP as soon as there is one", async () => {
    const one = await bed.container(resolver, 1);
    const pid = String(bed.started[0]);
    const inUse = readdirSync(`/proc/${pid}/fd`).map(Number);
    run("prlimit", "--pid", pid, `--nofile=${Math.max(...inUse) + 1}:`);
    const overTcp = told(one, "name1", "A", { overTcp: true });
    await until("it has noticed", () => readFileSync(bed.logPath, "utf8").includes("questions over TCP have to wait"));
    expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
    expect(await told(one, "else.where", "A")).toBe("SERVFAIL");
    run("prlimit", "--pid", pid, "--nofile=1000:");
    expect(await overTcp).toEqual(["10.0.0.1"]);
    expect(readFileSync(bed.logPath, "utf8").match(/have to wait/g)!.length).toBeLessThan(50);
  });

  test("survives any bytes over UDP and TCP", async () => {
    const one = await bed.container(resolver, 1, { internal: true });
    const good = question("name1", "A");
    const flipped = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 5000 }),
      flipped.map((changes) => {
        const packet = Uint8Array.from(good);
        for (const [at, value] of changes) packet[at] = value;
        return packet;
      }),
    );
    const to = { address: Uint8Array.of(127, 0, 0, 11), port: 53 };
    using fd = inNetworkNamespace(one, () => datagramSocket(to));
    inNetworkNamespace(one, () => connect(fd, to));
    fc.assert(
      fc.property(bytes, (packet) => send(fd, packet) !== undefined),
      { numRuns: 2000 },
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (packet) => {
        const answer = await exchange(one, packet, { overTcp: true, timeoutMs: 20 });
        return answer === undefined || decode(Buffer.from(answer)).type === "response";
      }),
      { numRuns: 50 },
    );
    expect(await told(one, "name1", "A")).toEqual(["10.0.0.1"]);
    expect(bed.started.length).toBe(1);
    expect(readFileSync(bed.logPath, "utf8")).not.toContain("level=error");
  });
});
