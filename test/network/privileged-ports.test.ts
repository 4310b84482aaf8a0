/** Ports below net.ipv4.ip_unprivileged_port_start, under a daemon that may not have them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { expectSameInventory, takeSettledInventory } from "./inventory.ts";
import { probe } from "./probe.ts";
import { hostAddresses, NetworkScene, outsideAddresses } from "./scene.ts";

const wrapper = [process.execPath, join(import.meta.dir, "without-capability.ts"), "CAP_NET_BIND_SERVICE"];
/** The daemon could not give it to a container either. */
const own = ["--cap-drop", "NET_BIND_SERVICE"];
const start = "net.ipv4.ip_unprivileged_port_start";

let scene: NetworkScene;
let before: string[];
beforeAll(async () => {
  scene = await NetworkScene.open({ wrapper });
  // The spare namespace and tsd proxy are there from now on.
  await scene.ok("run", "--rm", ...own, "-p", "8080:80", scene.engine.busybox, "true");
  before = await takeSettledInventory(scene.engine);
});
afterAll(() => scene[Symbol.asyncDispose]());

const run = (...flags: string[]) =>
  scene.tsd("run", "-d", "--name", "web", ...own, ...flags, scene.engine.busybox, "sleep", "1000");

describe("a port that the host's kernel does not give the daemon", () => {
  test.each([
    ["by translation", ["-p", "80:80"], "0.0.0.0:80/tcp"],
    ["by a socket", ["-p", "published=80,target=80,mode=socket"], "0.0.0.0:80/tcp"],
    ["of UDP", ["-p", "127.0.0.1:53:53/udp"], "127.0.0.1:53/udp"],
    ["of IPv6", ["-p", "[::1]:80:80"], "[::1]:80/tcp"],
    ["beside others that it has", ["-p", "8081:81", "-p", "80:80", "-p", "8082:82/udp"], "0.0.0.0:80/tcp"],
    ["in a range", ["-p", "1022-1024:80"], "0.0.0.0:1022/tcp"],
  ])("is refused %s, with its number and the reason, and nothing is left", async (_, flags, port) => {
    const { status, stderr } = await run(...flags);
    expect(stderr).toContain(`failed to bind host port ${port}: permission denied`);
    expect(stderr).toContain(`CAP_NET_BIND_SERVICE for ports below 1024 (${start})`);
    expect(status).toBe(125);
    await scene.ok("rm", "web");
    await expectSameInventory(scene.engine, before);
  });

  test("is published once the host lets everybody have it", async () => {
    await scene.onHost("sysctl", "-qw", `${start}=80`);
    const { status, stderr } = await run("-p", "80:4242");
    expect([status, stderr]).toEqual([0, ""]);
    const web = await scene.placeOf("web");
    scene.tell(web, await scene.addressesOf("web", "bridge"));
    expect(await probe(scene.outside, "tcp", hostAddresses.ipv4, 80)).toBe(outsideAddresses.ipv4);
    await scene.ok("rm", "-f", "web");
    const refused = await run("-p", "79:80");
    expect(refused.stderr).toContain(`0.0.0.0:79/tcp: permission denied`);
    expect(refused.stderr).toContain(`for ports below 80 (${start})`);
    await scene.ok("rm", "web");
  });
});
