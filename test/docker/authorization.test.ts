/** An authorization plugin between the daemon and its clients: what it forbids is forbidden to docker and to tsd alike. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FakePlugin } from "../../src/plugin/fake-plugin.ts";
import { type CommandResult, command } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { tsd } from "../harness/workspace.ts";

const folder = `/var/tmp/tsd-authz-${process.pid}`;
const guard = new FakePlugin();
const nosy = new FakePlugin();
let scene: DockerScene;
/** @returns why it is forbidden. */
let forbids: (method: string, uri: string, body: string) => string | undefined;

const isCreate = (uri: string) => uri.includes("/containers/create");
const unprivileged: typeof forbids = (_, uri, body) =>
  isCreate(uri) && JSON.parse(body).HostConfig.Privileged ? "no privileged containers" : undefined;

beforeAll(async () => {
  mkdirSync(folder);
  for (const [name, plugin] of Object.entries({ guard, nosy })) {
    plugin.answers["Plugin.Activate"] = { Implements: ["authz"] };
    plugin.answers["AuthZPlugin.AuthZReq"] = plugin.answers["AuthZPlugin.AuthZRes"] = { Allow: true };
    await plugin.listen(join(folder, `${name}.sock`));
  }
  guard.handlers["AuthZPlugin.AuthZReq"] = ({ RequestMethod, RequestUri, RequestBody }) => {
    const body = Buffer.from(RequestBody ?? "", "base64").toString();
    const reason = forbids(RequestMethod!, RequestUri!, body);
    return reason === undefined ? { Allow: true } : { Allow: false, Msg: reason };
  };
  forbids = unprivileged;
  const flags = ["--authorization-plugin", "nosy", "--authorization-plugin=guard", "--plugin-dir", folder];
  scene = await DockerScene.open(flags);
}, 60_000);

afterEach(() => {
  forbids = unprivileged;
});

afterAll(async () => {
  await scene?.close();
  await guard.close();
  await nosy.close();
  rmSync(folder, { recursive: true });
});

/** By docker's client and by tsd's. */
async function both(...args: string[]): Promise<[docker: CommandResult, own: CommandResult]> {
  return [await scene.docker(args), await command([tsd, ...args], { env: scene.daemon.env })];
}

const denied = (reason: string) => `Error response from daemon: authorization denied by plugin guard: ${reason}`;

describe("a daemon with authorization plugins", () => {
  test("runs what they allow, and says who they are", async () => {
    for (const { status, stdout } of await both("run", "--rm", "-i", scene.image, "sh", "-c", "cat; exit 7")) {
      expect([status, stdout]).toEqual([7, ""]);
    }
    for (const { stdout } of await both("info", "--format", "{{json .Plugins.Authorization}}")) {
      expect(stdout).toBe('["nosy","guard"]\n');
    }
    for (const { stdout } of await both("info")) expect(stdout).toContain("  Authorization: nosy guard\n");
  });

  test("runs nothing that they forbid, whichever way it is asked for", async () => {
    for (const { status, stderr } of await both("run", "--rm", "--privileged", scene.image, "true")) {
      expect([status, stderr]).toEqual([125, expect.stringContaining(denied("no privileged containers"))]);
    }
    for (const { status, stderr } of await both("create", "--privileged", scene.image, "true")) {
      expect([status, stderr]).toEqual([1, expect.stringContaining(denied("no privileged containers"))]);
    }
    expect(await scene.ok("ps", "-aq")).toBe("");
    forbids = (_, uri) => (/\/images\/create|\/pull/.test(uri) ? "no pulls" : undefined);
    for (const { status, stderr } of await both("run", "--rm", "nowhere.test/a:1", "true")) {
      expect([status, stderr]).toEqual([125, expect.stringContaining(denied("no pulls"))]);
    }
  });

  test("lets nobody into a container by what they forbid, and ends what it must not answer", async () => {
    await scene.background("up", "echo secret; sleep 1000");
    forbids = (method, uri) => (method === "POST" && uri.includes("/exec") ? "no exec" : undefined);
    for (const { status, stderr } of await both("exec", "up", "true")) {
      expect([status, stderr]).toEqual([1, expect.stringContaining(denied("no exec"))]);
    }
    guard.handlers["AuthZPlugin.AuthZRes"] = ({ RequestUri, ResponseStatusCode }) =>
      RequestUri!.includes("/logs") && Number(ResponseStatusCode) === 200
        ? { Allow: false, Msg: "no logs" }
        : { Allow: true };
    for (const { status, stdout, stderr } of await both("logs", "up")) {
      expect([status, stdout, stderr]).toEqual([1, "", expect.stringContaining(denied("no logs"))]);
    }
    await scene.ok("rm", "-f", "up");
  });

  test("does not start with one that is no authorization plugin", async () => {
    const other = new FakePlugin();
    await other.listen(join(folder, "volumes.sock"));
    try {
      const directory = scene.workspace.path("other");
      const places = ["--root", join(directory, "root"), "--state", join(directory, "state")];
      const argv = [tsd, "daemon", ...places, "--plugin-dir", folder, "--authorization-plugin", "volumes"];
      const { status, stderr } = await scene.workspace.run(argv);
      expect(status).toBe(125);
      expect(stderr).toContain(
        "tsd daemon: error validating authorization plugin: plugin does not implement the requested driver\n",
      );
    } finally {
      await other.close();
    }
  });
});
