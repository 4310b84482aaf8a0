/** Published ports as commands show them: `-p`, `-P`, port, ports, and what is said when a port is busy. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
/** The daemon's, from its next start on. */
const flags: string[] = [];
beforeAll(async () => {
  engine = await Engine.open({ flags });
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

const ok = (...args: string[]): Promise<string> => engine.daemon.ok(...args);
const lines = async (...args: string[]): Promise<string[]> => (await ok(...args)).split("\n").filter(Boolean);
const server = ["httpd", "-f", "-p", "80"];
const serve = (name: string, ...flags: string[]): Promise<string> =>
  engine.start(["--name", name, ...flags], ...server);
/** What a client on the host gets; "" when nobody answers. */
const get = async (url: string): Promise<string> => {
  const { stdout } = await engine.workspace.run(["curl", "-gs", "-o", "/dev/null", "-w", "%{http_code}", url]);
  return stdout;
};
const listening = async (): Promise<string> => (await engine.workspace.run(["ss", "-Hlntu"])).stdout;
const listener = 'Bun.listen({ hostname: "0.0.0.0", port: 8091, socket: { data() {} } })';
const removeAll = async (): Promise<void> => {
  const ids = await lines("ps", "-aq");
  if (ids.length > 0) await ok("rm", "-f", ...ids);
};

describe("published ports", () => {
  afterAll(removeAll);

  test("are listed by port, ports, ps and inspect, as docker's command lists them", async () => {
    await serve(
      "web",
      "-p",
      "8080:80",
      "-p",
      "127.0.0.1:8000-8001:8000-8001/udp",
      "-p",
      "published=8443,target=443,mode=socket",
    );
    const all = ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"];
    const own = await lines("port", "web");
    expect(own).toEqual([
      ...all,
      "443/tcp -> 0.0.0.0:8443",
      "443/tcp -> [::]:8443",
      "8000/udp -> 127.0.0.1:8000",
      "8001/udp -> 127.0.0.1:8001",
    ]);
    const docker = await engine.daemon.docker(["port", "web"]);
    expect(docker.stdout.split("\n").filter(Boolean)).toEqual(own);
    expect(await lines("port", "web", "80")).toEqual(["0.0.0.0:8080", "[::]:8080"]);
    expect(await lines("container", "port", "web", "8001/udp")).toEqual(["127.0.0.1:8001"]);
    expect(
      await lines("ports", "--format", "{{.Container}} {{.Host}} {{.ContainerPort}} {{.Mode}} {{.ReachableFrom}}"),
    ).toEqual([
      "web 0.0.0.0:8080 80/tcp nat everywhere",
      "web [::]:8080 80/tcp nat everywhere",
      "web 0.0.0.0:8443 443/tcp socket everywhere, with the host's input rules",
      "web [::]:8443 443/tcp socket everywhere, with the host's input rules",
      "web 127.0.0.1:8000 8000/udp nat loopback",
      "web 127.0.0.1:8001 8001/udp nat loopback",
    ]);
    expect((await lines("ports"))[0]).toMatch(/^CONTAINER +HOST +CONTAINER PORT +MODE +REACHABLE FROM$/);
    const [first] = (await lines("ports", "--format", "json")).map((line) => JSON.parse(line));
    expect(first).toMatchObject({ Container: "web", HostIP: "0.0.0.0", HostPort: 8080, InputRules: "false" });
    const template = '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}';
    expect(await engine.inspect("web", template)).toBe("8080");
    for (const host of ["127.0.0.1", "[::1]"]) expect(await get(`http://${host}:8080/`)).toBe("404");
  });

  test("that are not there are an error, in docker's words", async () => {
    for (const [args, message] of [
      [["web", "81"], "Error: No public port '81' published for web"],
      [["web", "80/udp"], "Error: No public port '80/udp' published for web"],
      [["web", "x"], 'Error: invalid port (x): strconv.ParseUint: parsing "x": invalid syntax'],
      [["nobody"], "No such container: nobody"],
      [[], "requires at least 1 and at most 2 arguments"],
    ] as [string[], string][]) {
      const own = await engine.tsd(["port", ...args]);
      const docker = await engine.daemon.docker(["port", ...args]);
      expect([own.status, own.stderr]).toEqual([docker.status, expect.stringContaining(message)]);
      expect(docker.stderr).toContain(message);
    }
  });

  test("that another container or a program has are refused by name, and nothing is left of the container's start", async () => {
    const before = await listening();
    const busy = await engine.run(["-p", "8090:80", "-p", "8080:81"], ["true"]);
    expect(busy.status).toBe(125);
    expect(busy.stderr).toMatch(
      /Bind for 0\.0\.0\.0:8080 failed: port is already allocated to container web \([0-9a-f]{12}\)/,
    );
    const taken = await engine.daemon.docker(["run", "--rm", "-p", "8080:80", engine.busybox, "true"]);
    expect(taken.status).toBe(125);
    expect(taken.stderr).toContain("Bind for 0.0.0.0:8080 failed: port is already allocated");
    const program = Bun.spawn(engine.workspace.inNetwork([process.execPath, "-e", listener]), { stdin: "ignore" });
    try {
      await until("somebody listens", async () => (await listening()).includes(":8091"));
      const host = await engine.run(["-p", "8091:80"], ["true"]);
      expect(host.status).toBe(125);
      const by = `address already in use by ${readFileSync(`/proc/${program.pid}/comm`, "utf8").trim()} (pid ${program.pid})`;
      expect(host.stderr).toContain(`failed to bind host port 0.0.0.0:8091/tcp: ${by}`);
    } finally {
      program.kill();
      await program.exited;
    }
    const absent = await engine.run(["-p", "198.51.100.9:8092:80"], ["true"]);
    expect(absent.stderr).toContain("198.51.100.9:8092/tcp: cannot assign requested address");
    expect(await listening()).toBe(before);
    expect(await lines("ps", "-aq")).toHaveLength(1);
    expect((await engine.workspace.run(["nft", "list", "ruleset"])).stdout).not.toMatch(/\b809[0-2]\b/);
  });

  test("of a range, and of -P, are the next that are free, and go with the container", async () => {
    for (const name of ["one", "two"]) await serve(name, "-p", "8080-8082:80");
    expect([await ok("port", "one", "80"), await ok("port", "two", "80")]).toEqual([
      "0.0.0.0:8081\n[::]:8081",
      "0.0.0.0:8082\n[::]:8082",
    ]);
    const full = await engine.run(["-p", "8080-8082:80"], ["true"]);
    expect(full.stderr).toContain("none of ports 8080-8082 is free");
    await serve("all", "-P", "--expose", "80", "--expose", "90-91/udp");
    const chosen = await lines("port", "all");
    expect(chosen.map((line) => line.replace(/:\d+$/, ""))).toEqual([
      "80/tcp -> 0.0.0.0",
      "80/tcp -> [::]",
      "90/udp -> 0.0.0.0",
      "90/udp -> [::]",
      "91/udp -> 0.0.0.0",
      "91/udp -> [::]",
    ]);
    const [first, last] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
      .trim()
      .split(/\s+/)
      .map(Number);
    for (const line of chosen) {
      const port = Number(line.split(":").at(-1));
      expect(port >= first! && port <= last!).toBe(true);
    }
    expect(await get(`http://127.0.0.1:${chosen[0]!.split(":").at(-1)}/`)).toBe("404");
    await ok("rm", "-f", "one", "two", "all");
    await serve("three", "-p", "8081:80");
    expect(await get("http://127.0.0.1:8081/")).toBe("404");
    expect(await get("http://127.0.0.1:8082/")).toBe("000");
  });

  test("on a network without IPv6 are reached by IPv6 all the same", async () => {
    await ok("network", "create", "--ipv6=false", "four");
    await serve("old", "--network", "four", "-p", "8100:80");
    expect(await lines("ports", "--format", "{{.Container}} {{.Host}} {{.Mode}}")).toContain("old [::]:8100 socket");
    for (const host of ["127.0.0.1", "[::1]"]) expect(await get(`http://${host}:8100/`)).toBe("404");
    await ok("rm", "-f", "old");
    await ok("network", "rm", "four");
  });
});

describe("the daemon's own settings", () => {
  test("say how and where ports are published that do not say it", async () => {
    await removeAll();
    await engine.daemon.stop("SIGTERM");
    flags.push("--publish-mode=socket", "--ip=127.0.0.1");
    await engine.daemon.start();
    await serve("web", "-p", "8080:80", "-p", "0.0.0.0:8081:81", "--annotation", "tsd.publish.81/tcp=nat");
    const format = "{{.Host}} {{.Mode}} {{.ReachableFrom}}";
    expect(await lines("ports", "--format", format)).toEqual([
      "127.0.0.1:8080 socket loopback, with the host's input rules",
      "0.0.0.0:8081 nat everywhere",
    ]);
    expect(await get("http://127.0.0.1:8080/")).toBe("404");
    expect(await listening()).toContain("127.0.0.1:8080");
    await ok("rm", "-f", "web");
    const refused = await engine.run(["-p", "9:9/sctp"], ["true"]);
    expect(refused.stderr).toContain("port 9/sctp cannot be published with mode socket");
    await ok("run", "--rm", "-p", "9:9/sctp", "--annotation", "tsd.publish=nat", engine.busybox, "true");
  });
});

test("a thousand ports of a container take a moment, and one process", async () => {
  const before = performance.now();
  await serve("many", "-p", "20000-20999:1-1000");
  const took = performance.now() - before;
  const proxies = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isProxy(pid));
  expect(proxies).toHaveLength(1);
  const memory = Number(/^Anonymous:\s+(\d+)/m.exec(readFileSync(`/proc/${proxies[0]}/smaps_rollup`, "utf8"))![1]);
  console.log(`run with 1000 ports: ${took.toFixed(0)} ms, ${(memory / 1024).toFixed(1)} MB of memory`);
  expect(took).toBeLessThan(10_000);
  expect(memory).toBeLessThan(64 * 1024);
  expect(await lines("port", "many")).toHaveLength(1_000);
  expect(await get("http://127.0.0.1:20079/")).toBe("404");
  await ok("rm", "-f", "many");
  expect(await listening()).not.toContain(":20500");
});

function isProxy(pid: string): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[1] === "proxy" && words.some((word) => word.startsWith(engine.daemon.state));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ESRCH")
      return false;
    throw error;
  }
}
