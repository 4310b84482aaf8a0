/** `tsd run --network`. What networks are made of is tested beside their code; here is what a container sees. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

test("bridge is the default: an address, a route, a name in /etc/hosts", async () => {
  for (const flags of [[], ["--network", "bridge"], ["--net", "bridge"], ["--network", "default"]]) {
    const shown = await engine.sh(
      flags,
      "ip -o -4 addr show eth0 | awk '{print $4}'; ip route; tail -n 2 /etc/hosts; hostname",
    );
    const [address = "", route = "", , hosts = "", hosts6 = "", hostname = ""] = shown.split("\n");
    expect(address).toMatch(/^172\.\d+\.\d+\.\d+\/16$/);
    expect(route).toMatch(/^default via 172\.\d+\.0\.1 dev eth0/);
    expect(hosts).toBe(`${address.replace("/16", "")}\t${hostname}`);
    expect(hosts6).toMatch(new RegExp(`^fd[0-9a-f:]+\t${hostname}$`));
  }
});

test("containers on the bridge reach each other and the host", async () => {
  const id = await engine.start([], "sh", "-c", "while :; do echo hello | nc -l -p 7000; done");
  const address = await engine.inspect(id, "{{.NetworkSettings.Networks.bridge.IPAddress}}");
  const gateway = await engine.inspect(id, "{{.NetworkSettings.Networks.bridge.Gateway}}");
  const talk = `until nc -w 1 ${address} 7000 </dev/null; do sleep 0.05; done`;
  expect(await engine.sh([], talk)).toBe("hello");
  expect(await engine.sh([], `ping -c 1 -W 2 ${gateway} | grep -c '1 packets received'`)).toBe("1");
  const fromHost = await engine.workspace.run(["sh", "-c", `busybox ${talk.replace("until nc", "nc")}`.split(";")[0]!]);
  expect(fromHost.stdout).toBe("hello\n");
  await engine.daemon.ok("rm", "-f", id);
});

test("none has a loopback and nothing else", async () => {
  const shown = await engine.sh(
    ["--network", "none"],
    "ls /sys/class/net; ip route; ip -o -4 addr show lo | awk '{print $4}'",
  );
  expect(shown).toBe("lo\n127.0.0.1/8");
});

test("host is the host's own network, with the host's name and files", async () => {
  const id = await engine.start(["--network", "host"], "sleep", "1000");
  const pid = await engine.inspect(id, "{{.State.Pid}}");
  expect(readlinkSync(`/proc/${pid}/ns/net`)).toBe(readlinkSync(`/proc/${engine.daemon.pid}/ns/net`));
  const hostname = (await engine.workspace.run(["hostname"])).stdout.trim();
  expect(await engine.daemon.ok("exec", id, "hostname")).toBe(hostname);
  const registry = `http://${engine.registry.host}/v2/`;
  expect((await engine.tsd(["exec", id, "wget", "-q", "-O", "-", registry])).stdout).toBe("{}");
  await engine.daemon.ok("rm", "-f", id);
});

test("container:ID shares another container's network, hostname and hosts file", async () => {
  await engine.start(["--name", "first", "--hostname", "one", "--add-host", "x:10.0.0.9"], "sleep", "1000");
  const address = await engine.inspect("first", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
  const shown = await engine.sh(
    ["--network", "container:first"],
    "ip -o -4 addr show eth0 | awk '{print $4}'; hostname; grep -c 10.0.0.9 /etc/hosts; readlink /proc/self/ns/net",
  );
  const pid = await engine.inspect("first", "{{.State.Pid}}");
  expect(shown).toBe(`${address}/16\none\n1\n${readlinkSync(`/proc/${pid}/ns/net`)}`);
  // Bound on one side, reached on the other's loopback.
  const server = await engine.start(["--network", "container:first"], "nc", "-l", "-p", "7001", "-e", "echo", "shared");
  expect(
    await engine.daemon.ok("exec", "first", "sh", "-c", "until nc 127.0.0.1 7001 </dev/null; do sleep 0.05; done"),
  ).toBe("shared");
  await engine.daemon.ok("rm", "-f", server, "first");
});

test("container:ID of one that is gone or does not run is refused", async () => {
  const missing = await engine.run(["--network", "container:nobody"], ["true"]);
  expect(missing.status).toBe(125);
  expect(missing.stderr).toContain("No such container: nobody");
  const id = await engine.daemon.ok("create", "--name", "stopped", engine.busybox);
  const stopped = await engine.run(["--network", "container:stopped"], ["true"]);
  expect(stopped.status).toBe(125);
  expect(stopped.stderr).toMatch(/cannot join net namespace of a non running container: container [0-9a-f]{64}/);
  for (const flags of [
    ["--hostname", "x"],
    ["--dns", "10.0.0.1"],
    ["--add-host", "x:10.0.0.1"],
  ]) {
    const conflict = await engine.run(["--network", "container:stopped", ...flags], ["true"]);
    expect(conflict.status).toBe(125);
    expect(conflict.stderr).toMatch(/conflicting options: .* and the network mode/);
  }
  await engine.daemon.ok("rm", id);
  await engine.untilNoTrace();
});

test("an address is given back when its container ends", async () => {
  const addresses = new Set<string>();
  for (let count = 0; count < 3; count++) {
    const id = await engine.start([], "sleep", "1000");
    addresses.add(await engine.inspect(id, "{{.NetworkSettings.Networks.bridge.IPAddress}}"));
    await engine.daemon.ok("kill", id);
    await engine.daemon.ok("wait", id);
    await engine.untilInspect(id, "{{.NetworkSettings.Networks.bridge.IPAddress}}", "");
    await engine.daemon.ok("rm", id);
  }
  const devices = async () => (await engine.workspace.run(["ip", "-o", "link", "show", "type", "veth"])).stdout;
  // One is made ahead of the next container.
  await until("no container's device is left", async () => (await devices()).trim().split("\n").length <= 1);
});

test("two containers with the same port do not meet, and have addresses of their own", async () => {
  const ids = await Promise.all([1, 2, 3, 4].map(() => engine.start([], "nc", "-l", "-p", "80")));
  const addresses = await Promise.all(
    ids.map((id) => engine.inspect(id, "{{.NetworkSettings.Networks.bridge.IPAddress}}")),
  );
  expect(new Set(addresses).size).toBe(4);
  expect(await Promise.all(ids.map((id) => engine.inspect(id, "{{.State.Running}}")))).toEqual(Array(4).fill("true"));
  await engine.daemon.ok("rm", "-f", ...ids);
});
