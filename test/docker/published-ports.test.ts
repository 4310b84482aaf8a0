/** Published ports: what docker's command line and tsd's ask one daemon for, show of it, and are refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Step } from "./both-clients.ts";
import { NetworkScene } from "./network-scene.ts";

let scene: NetworkScene;
beforeAll(async () => {
  scene = await NetworkScene.open();
}, 60_000);
afterAll(() => scene?.close());

const bothNetworks = ["--network", "front", "--network", "back"];
const removeBox: Step[] = [["DELETE", "/containers/box?force=1"]];

const requests: string[][] = [
  ["-p", "18080:80"],
  ["-p", "80"],
  ["-p", "80-82/sctp"],
  ["-p", "127.0.0.1::80"],
  ["-p", "127.0.0.1:18080:80", "-p", "[::1]:18080:80", "-p", "18053:53/udp"],
  ["-p", "18000-18002:8000-8002", "--publish", "published=18090,target=90,protocol=udp"],
  ["--expose", "80", "--expose", "53/udp", "-P"],
  ["--network", "host", "-p", "18080:80"],
  ["--network", "none", "-p", "18080:80"],
  [...bothNetworks, "-p", "18080-18089:80", "-p", "18090:80"],
];

describe("docker and tsd ask for the same ports with", () => {
  test.each(requests.map((flags) => ({ flags })))("$flags", async ({ flags }) => {
    const args = ["create", "--name", "box", ...flags, "IMAGE", "true"];
    const { status, stderr } = await scene.expectSame(args, { undo: removeBox });
    const discarded = "WARNING: Published ports are discarded when using host network mode\n";
    expect({ status, stderr }).toEqual({ status: 0, stderr: flags.includes("host") ? discarded : "" });
  });

  test("several in run, which publishes them", async () => {
    const ports = ["-p", "18080-18089:80", "-p", "[::1]:18090:90", "-P", "--expose", "53/udp"];
    const args = ["run", "-d", "--name", "box", ...bothNetworks, ...ports, "IMAGE", "sleep", "1000"];
    expect(await scene.expectSame(args, { undo: removeBox })).toMatchObject({ status: 0, stderr: "" });
  });
});

test("both show ports alike, and find containers by them", async () => {
  const ports = ["-p", "18000-18002:18000-18002", "-p", "127.0.0.1:18080:80", "-p", "18053:53/udp", "--expose", "443"];
  await scene.running("box", [...bothNetworks, ...ports]);
  const shown = await scene.expectSame(["ps", "--filter", "name=box", "--format", "{{.Ports}}"]);
  expect(shown.stdout).toBe(
    "443/tcp, 0.0.0.0:18000-18002->18000-18002/tcp, [::]:18000-18002->18000-18002/tcp, " +
      "0.0.0.0:18053->53/udp, [::]:18053->53/udp, 127.0.0.1:18080->80/tcp\n",
  );
  await scene.expectSame(["inspect", "box", "-f", "{{json .NetworkSettings.Ports}} {{json .HostConfig.PortBindings}}"]);
  for (const [filter, names] of [
    ["publish=18001", "box\n"],
    // Of the host's ports, as in Docker.
    ["publish=53/udp", ""],
    ["publish=18053/udp", "box\n"],
    ["publish=18002-18010/tcp", "box\n"],
    ["expose=443", "box\n"],
    ["expose=440-450/tcp", "box\n"],
    ["expose=443/udp", ""],
    ["network=back", "box\n"],
  ] as const) {
    const found = await scene.expectSame(["ps", "--filter", filter, "--format", "{{.Names}}"]);
    expect([filter, found.stdout]).toEqual([filter, names]);
  }
  await scene.docker.ok("rm", "-f", "box");
});

test("both say which port of the host a container's is", async () => {
  await scene.running("box", ["-p", "18080:80", "-p", "127.0.0.1:18081:80", "-p", "18053:53/udp"]);
  for (const [words, shown] of [
    [["box"], "53/udp -> 0.0.0.0:18053\n53/udp -> [::]:18053\n"],
    [["box", "80"], "127.0.0.1:18081\n"],
    [["box", "53/udp"], "0.0.0.0:18053\n[::]:18053\n"],
  ] as const) {
    for (const verb of [["port"], ["container", "port"]]) {
      expect((await scene.expectSame([...verb, ...words])).stdout).toContain(shown);
    }
  }
  for (const words of [["box", "81"], ["box", "80/udp"], ["absent"], ["box", "zz"], []]) {
    expect((await scene.expectSame(["port", ...words])).status).not.toBe(0);
  }
  await scene.docker.ok("rm", "-f", "box");
});

describe("both are refused alike", () => {
  test.each<{ flags: string[]; says: string | RegExp }>([
    {
      flags: ["--network", "container:peer", "-p", "80:80"],
      says: "conflicting options: port publishing and the container type network mode",
    },
    {
      flags: ["--network", "container:peer", "--expose", "80"],
      says: "conflicting options: port exposing and the container type network mode",
    },
    { flags: ["-p", "203.0.113.9:18080:80"], says: /203\.0\.113\.9/ },
    { flags: ["-p", "18080:80", "-p", "18080:81"], says: /18080/ },
  ])("$flags", async ({ flags, says }) => {
    const args = ["run", "--rm", "--name", "box", ...flags, "IMAGE", "true"];
    const { status, stderr } = await scene.expectSame(args, { undo: [] });
    expect({ status, stderr }).toEqual({ status: 125, stderr: expect.stringMatching(says) });
  });

  test("as the second of two with one port, by the name of the first", async () => {
    await scene.running("first", ["-p", "18080:80"]);
    const args = ["run", "--rm", "--name", "box", "-p", "18080:81", "IMAGE", "true"];
    const { status, stderr } = await scene.expectSame(args, { undo: [] });
    expect({ status, stderr }).toEqual({ status: 125, stderr: expect.stringContaining("port is already allocated") });
    expect(stderr).toContain("first");
    await scene.docker.ok("rm", "-f", "first");
  });

  test("and nothing is left of what was refused", async () => {
    expect((await scene.docker.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").sort()).toEqual(["idle", "peer"]);
  });
});
