/** What the daemon was told for containers and networks that say nothing else, as a container sees it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

const server = "192.0.2.53";
const mtu = "com.docker.network.driver.mtu";
const flags = [
  ...["--dns", server, "--dns-search", "daemon.test", "--dns-opt", "timeout:3"],
  ...["--default-network-opt", `bridge=${mtu}=1400`],
];

let engine: Engine;
let nameServer: Bun.Subprocess;
beforeAll(async () => {
  engine = await Engine.open({ flags });
  const { workspace } = engine;
  await workspace.run(["ip", "addr", "add", `${server}/32`, "dev", "lo"]);
  const asked = workspace.path("asked");
  const script = join(import.meta.dir, "name-server.ts");
  nameServer = Bun.spawn(workspace.inNetwork([process.execPath, script, server, "198.51.100.7"]), {
    stdin: "ignore",
    stdout: Bun.file(asked),
    stderr: "inherit",
  });
  await until("the name server is ready", async () => (await Bun.file(asked).text()).includes("ready"));
  await engine.daemon.ok("network", "create", "back");
});
afterAll(async () => {
  nameServer.kill();
  await engine[Symbol.asyncDispose]();
});

describe("the daemon's --dns", () => {
  test("is the server of a container on the default bridge", async () => {
    const shown = await engine.sh([], "grep -v '^#' /etc/resolv.conf; nslookup some.example. | grep -A1 ^Name");
    expect(shown).toBe(
      `nameserver ${server}\nsearch daemon.test\noptions timeout:3\nName:\tsome.example\nAddress: 198.51.100.7`,
    );
  });

  test("is what is asked for a container on a network that a user made, with the daemon's search domains", async () => {
    const shown = await engine.sh(
      ["--network", "back"],
      "cat /etc/resolv.conf; nslookup some.example. | grep -A1 ^Name",
    );
    expect(shown).toContain("nameserver 127.0.0.11\nsearch daemon.test\noptions timeout:3 ndots:0\n");
    expect(shown).toContain(`# ExtServers: [${server}]`);
    expect(shown).toEndWith("Name:\tsome.example\nAddress: 198.51.100.7");
  });

  test("is replaced by a container's own", async () => {
    for (const network of ["bridge", "back"]) {
      // Nobody listens there.
      const own = ["--network", network, "--dns", "127.0.0.1"];
      expect(await engine.sh(own, "nslookup some.example. | grep -c ^Name || grep -c timeout:3 /etc/resolv.conf")).toBe(
        "0\n1",
      );
    }
  });
});

test("--default-network-opt is an option of each new network of that driver which has no other", async () => {
  const { daemon } = engine;
  await daemon.ok("network", "create", "-o", `${mtu}=1300`, "own");
  const shown = await Promise.all(
    ["back", "own", "bridge"].map(async (network) => [
      await daemon.ok("network", "inspect", "--format", `{{index .Options "${mtu}"}}`, network),
      await engine.sh(["--network", network], "cat /sys/class/net/eth0/mtu"),
    ]),
  );
  expect(shown).toEqual([
    ["1400", "1400"],
    ["1300", "1300"],
    ["1500", "1500"],
  ]);
});
