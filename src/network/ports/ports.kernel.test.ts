import type { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { release } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../core/database.ts";
import { EngineError } from "../../core/errors.ts";
import type { PortTranslation } from "../firewall/rules.ts";
import { Testbed } from "../testbed.ts";
import type { PublishTarget } from "./binding.ts";
import type { PortRequest, PublishedPort } from "./port.ts";
import { Ports, type PortsOptions } from "./ports.ts";
import { proxyCommand } from "./proxy/testing/proxy-process.ts";
import { portsSchema } from "./records.ts";

const root = process.getuid?.() === 0;

describe.skipIf(!root)("published ports", () => {
  let bed: Testbed;
  let directory: string;
  let database: Database;
  let ports: Ports;
  let translated: Map<string, PortTranslation>;
  let refuse: boolean;
  const pids: number[] = [];
  const servers: Server[] = [];
  const opened: Ports[] = [];

  const nameOf = ({ transport, family, hostPort }: PortTranslation): string => `${transport}${family} ${hostPort}`;
  const firewall = {
    publish(list: readonly PortTranslation[]) {
      if (refuse) throw new EngineError("unsupported", "no nf_tables here");
      for (const port of list) translated.set(nameOf(port), port);
    },
    unpublish(list: readonly PortTranslation[]) {
      for (const port of list) translated.delete(nameOf(port));
    },
  };
  const proxy = (): PortsOptions["proxy"] => ({
    socketPath: join(directory, "proxy.sock"),
    logPath: join(directory, "log"),
    command: proxyCommand,
    onStarted: (pid) => pids.push(pid),
  });
  const make = (options: Partial<PortsOptions> = {}): Ports => {
    const made = new Ports({
      database,
      firewall,
      mode: "nat",
      proxy: proxy(),
      ...options,
    });
    opened.push(made);
    return made;
  };

  beforeEach(() => {
    bed = new Testbed();
    directory = mkdtempSync("/var/tmp/tsd-ports-");
    database = openDatabase(join(directory, "metadata.db"), [portsSchema]);
    translated = new Map();
    refuse = false;
    ports = make();
  });
  afterEach(() => {
    for (const each of opened.splice(0)) each.close();
    for (const server of servers.splice(0)) server.close();
    for (const pid of pids.splice(0)) endProcess(pid);
    database.close();
    rmSync(directory, { recursive: true });
    bed[Symbol.dispose]();
  });

  const web = { containerId: "a".repeat(64), containerName: "web" };
  const api = { containerId: "b".repeat(64), containerName: "api" };
  const target: PublishTarget = { ipv4: "127.0.0.1", ipv6: "::1", bridge: "tsd0" };
  const tcp = (containerPort: number, first?: number, last = first): PortRequest => ({
    transport: "tcp",
    containerPort,
    ...(first !== undefined && { hostPorts: { first, last: last! } }),
  });
  const listen = (port: number, host: string, answer = ""): Promise<void> =>
    new Promise((resolve) => {
      const server = createServer((socket) => socket.end(answer));
      servers.push(server);
      server.listen({ port, host, ipv6Only: true }, resolve);
    });
  const canListen = async (port: number, host: string): Promise<boolean> => {
    const server = createServer();
    try {
      return await new Promise((resolve) => {
        server.once("error", () => resolve(false));
        server.listen({ port, host, ipv6Only: true }, () => resolve(true));
      });
    } finally {
      server.close();
    }
  };
  const ask = (port: number, host: string): Promise<string> =>
    new Promise((resolve) => {
      let said = "";
      const socket = connect({ port, host }).on("data", (data) => (said += data));
      socket.on("close", () => resolve(said)).on("error", (error: NodeJS.ErrnoException) => (said = error.code!));
    });
  const shown = (list: readonly PublishedPort[]): string[] =>
    list.map(({ transport, containerPort, hostAddress, hostPort, mode }) => {
      return `${hostAddress}:${hostPort}->${containerPort}/${transport} ${mode}`;
    });
  const failure = async (of: Promise<unknown>): Promise<EngineError> => {
    const error = await of.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  };

  test("are reserved on the host, translated by the kernel, and for [::1] passed on", async () => {
    await listen(80, "::1", "the container");
    expect(shown(await ports.publish(web, [tcp(80, 8080)], target))).toEqual([
      "0.0.0.0:8080->80/tcp nat",
      ":::8080->80/tcp nat",
    ]);
    expect([...translated.keys()]).toEqual(["tcp4 8080", "tcp6 8080"]);
    expect(await canListen(8080, "127.0.0.1")).toBe(false);
    expect(await ask(8080, "::1")).toBe("the container");
    expect(await ask(8080, "127.0.0.1")).toBe("ECONNREFUSED");
    await ports.release(web.containerId);
    await ports.release(web.containerId);
    expect(translated.size).toBe(0);
    expect(await canListen(8080, "127.0.0.1")).toBe(true);
    expect(await ask(8080, "::1")).toBe("ECONNREFUSED");
    expect(ports.list()).toEqual([]);
  });

  test("are chosen of a range or of the ephemeral ports, each free everywhere", async () => {
    writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009");
    writeFileSync("/proc/sys/net/ipv4/ip_local_reserved_ports", "40001,40003-40004");
    await listen(40000, "127.0.0.1");
    await listen(40002, "::1");
    await listen(9001, "127.0.0.1");
    const first = await ports.publish(web, [tcp(80), tcp(81), tcp(82, 9000, 9005), tcp(83, 9000, 9005)], target);
    const chosen = first.map(({ hostPort }) => hostPort);
    expect(chosen.slice(0, 4).sort()).toEqual([40005, 40005, 40006, 40006]);
    expect(chosen.slice(4)).toEqual([9000, 9000, 9002, 9002]);
    // Not at once one that was given back.
    await ports.release(web.containerId);
    const second = await ports.publish(web, [tcp(80)], target);
    expect(second[0]!.hostPort).toBe(40007);
    const error = await failure(ports.publish(api, [tcp(1), tcp(2), tcp(3), tcp(4), tcp(5), tcp(6)], target));
    expect(error.message).toContain("none of the host's ephemeral ports is free");
    expect(await canListen(40008, "127.0.0.1")).toBe(true);
    expect(ports.of(api.containerId)).toEqual([]);
  });

  test("of two transports, and on different addresses, do not disturb each other", async () => {
    const at = (hostAddress: string): PortRequest => ({ ...tcp(80, 8080), hostAddress });
    const udp: PortRequest = { ...tcp(53, 8080), transport: "udp" };
    const sctp: PortRequest = { ...tcp(9, 8080), transport: "sctp" };
    await ports.publish(web, [at("127.0.0.1"), udp, sctp], target);
    await ports.publish(api, [at("127.0.0.2"), at("::1")], target);
    const error = await failure(ports.publish({ containerId: "c", containerName: "c" }, [at("0.0.0.0")], target));
    expect(error.message).toStartWith("Bind for 0.0.0.0:8080 failed: port is already allocated to container web");
  });

  test("of a routed network take no port of the host's, and are opened once", async () => {
    const routed: PublishTarget = { ...target, routed: [4, 6] };
    const published = await ports.publish(web, [tcp(80, 8080), tcp(80, 8081)], routed);
    expect(shown(published)).toEqual(Array(2).fill(["0.0.0.0:0->80/tcp routed", ":::0->80/tcp routed"]).flat());
    expect(pids).toEqual([]);
    expect(ports.translations().map(({ family, direct, targetPort }) => [family, direct, targetPort])).toEqual([
      [4, true, 80],
      [6, true, 80],
    ]);
    // The port is free for another container, also after a restart.
    ports.close();
    const next = make();
    await next.restore(new Set([web.containerId]));
    await next.publish(api, [tcp(80, 8080)], { ...target, routed: [6] });
    await next.release(web.containerId);
    expect(shown(next.of(api.containerId))).toEqual(["0.0.0.0:8080->80/tcp nat", ":::0->80/tcp routed"]);
  });

  test("that another container has are refused with its name, and nothing is left of the attempt", async () => {
    await ports.publish(web, [tcp(80, 8080)], target);
    const error = await failure(ports.publish(api, [tcp(80, 8081), tcp(81, 8080)], target));
    expect(error).toMatchObject({
      code: "conflict",
      message: "Bind for 0.0.0.0:8080 failed: port is already allocated to container web (aaaaaaaaaaaa)",
    });
    expect(await canListen(8081, "127.0.0.1")).toBe(true);
    expect([...translated.keys()]).toEqual(["tcp4 8080", "tcp6 8080"]);
    expect(ports.list().map(({ containerName }) => containerName)).toEqual(["web"]);
    // A container's own ports count as well.
    const twice = await failure(ports.publish(api, [tcp(80, 8082), tcp(81, 8082)], target));
    expect(twice.message).toContain("already allocated to container api");
    expect(await canListen(8082, "127.0.0.1")).toBe(true);
    expect(await failure(ports.publish(web, [tcp(80)], target))).toMatchObject({ code: "conflict" });
  });

  test("that a program of the host has are refused with its name and its pid, all addresses with them", async () => {
    await listen(8080, "::1");
    const error = await failure(ports.publish(web, [tcp(80, 8079), tcp(80, 8080)], target));
    const comm = readFileSync("/proc/self/comm", "utf8").trim();
    expect(error).toMatchObject({
      code: "conflict",
      errno: "EADDRINUSE",
      message: `failed to bind host port [::]:8080/tcp: address already in use by ${comm} (pid ${process.pid})`,
    });
    expect(await canListen(8079, "127.0.0.1")).toBe(true);
    expect(await canListen(8080, "127.0.0.1")).toBe(true);
    expect([ports.list(), translated.size]).toEqual([[], 0]);
    const elsewhere = await failure(ports.publish(web, [{ ...tcp(80, 8080), hostAddress: "198.51.100.7" }], target));
    expect(elsewhere.message).toBe(
      "failed to bind host port 198.51.100.7:8080/tcp: cannot assign requested address: this host has no such address",
    );
  });

  test("that a program has bound and does not listen on are refused with its name, too: so another tsd has them", async () => {
    const before = make({ proxy: { ...proxy(), socketPath: join(directory, "other.sock") } });
    await before.publish(web, [tcp(80, 8080)], target);
    const error = await failure(ports.publish(api, [tcp(80, 8080)], target));
    const [major, minor] = release().split(".").map(Number) as [number, number];
    const isTold = major > 6 || (major === 6 && minor >= 8);
    const comm = readFileSync(`/proc/${pids[0]}/comm`, "utf8").trim();
    const user = isTold ? `${comm} (pid ${pids[0]})` : "a program of this host";
    expect(error.message).toBe(`failed to bind host port 0.0.0.0:8080/tcp: address already in use by ${user}`);
  });

  test("that the firewall refuses leave no socket and no record", async () => {
    refuse = true;
    expect((await failure(ports.publish(web, [tcp(80, 8080)], target))).message).toBe("no nf_tables here");
    expect(await canListen(8080, "127.0.0.1")).toBe(true);
    expect(database.query("SELECT * FROM published_ports").all()).toEqual([]);
    refuse = false;
    await ports.publish(web, [tcp(80, 8080)], target);
  });

  test("are on record: the next daemon takes over those of containers that live, and drops the others", async () => {
    await listen(80, "::1", "the container");
    await ports.publish(web, [tcp(80, 8080)], target);
    await ports.publish(api, [tcp(80, 8081)], target);
    ports.close();
    expect(await ask(8080, "::1")).toBe("the container");
    const next = make();
    await next.restore(new Set([web.containerId]));
    expect(next.translations().map(nameOf)).toEqual(["tcp4 8080", "tcp6 8080"]);
    expect(shown(next.of(web.containerId))).toEqual(["0.0.0.0:8080->80/tcp nat", ":::8080->80/tcp nat"]);
    expect(next.list()).toHaveLength(1);
    expect(await ask(8080, "::1")).toBe("the container");
    expect(await canListen(8081, "127.0.0.1")).toBe(true);
    expect(pids).toHaveLength(1);
    const error = await failure(next.publish(api, [tcp(80, 8080)], target));
    expect(error.message).toContain("already allocated to container web");
    await next.release(web.containerId);
    await next.publish(api, [tcp(80, 8080)], target);
  });

  test("are held again by a new daemon although the proxy was killed meanwhile", async () => {
    await listen(80, "127.0.0.1", "the container");
    await ports.publish(web, [{ ...tcp(80, 8080), mode: "socket" }], target);
    ports.close();
    endProcess(pids[0]!);
    const next = make();
    await next.restore(new Set([web.containerId]));
    expect(await ask(8080, "127.0.0.1")).toBe("the container");
    expect(pids).toHaveLength(2);
  });

  test("are held all, however often the proxy is killed while they are published", async () => {
    await ports.publish(web, [tcp(80, 8080)], target);
    for (let n = 0; n < 3; n++) {
      endProcess(pids.at(-1)!);
      await ports.publish({ containerId: `c${n}`, containerName: `c${n}` }, [tcp(80, 8090 + n)], target);
    }
    for (const port of [8080, 8090, 8091, 8092]) expect(await canListen(port, "127.0.0.1")).toBe(false);
    expect(pids.length).toBeGreaterThan(2);
  });

  test("of mode socket carry TCP and UDP, and nothing is translated", async () => {
    await listen(80, "127.0.0.1", "by IPv4");
    await listen(80, "::1", "by IPv6");
    const socket = make({ mode: "socket", hostAddress: "127.0.0.1" });
    expect(shown(await socket.publish(web, [tcp(80, 8080)], target))).toEqual(["127.0.0.1:8080->80/tcp socket"]);
    expect(await ask(8080, "127.0.0.1")).toBe("by IPv4");
    expect(translated.size).toBe(0);
  });

  test("a thousand are published at once in a moment", async () => {
    await ports.publish(api, [tcp(1, 7999)], target);
    const before = performance.now();
    const published = await ports.publish(
      web,
      Array.from({ length: 1_000 }, (_, n) => tcp(1 + n, 8000 + n)),
      target,
    );
    const took = performance.now() - before;
    console.log(`1000 ports on both families: ${took.toFixed(0)} ms`);
    expect(published).toHaveLength(2_000);
    expect(took).toBeLessThan(5_000);
    expect(await canListen(8999, "127.0.0.1")).toBe(false);
    await ports.release(web.containerId);
    expect(await canListen(8999, "127.0.0.1")).toBe(true);
  });
});

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
