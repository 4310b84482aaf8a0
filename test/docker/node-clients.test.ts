/** dockerode and testcontainers of npm, unmodified, used as their documentation shows, and a reaper of their protocol. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ClientProgram, testsOf } from "../harness/clients.ts";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { importReaper } from "../harness/reaper.ts";

let scene: DockerScene;
let dockerode: ClientProgram;
let testcontainers: ClientProgram;
beforeAll(async () => {
  scene = await DockerScene.open();
  dockerode = await ClientProgram.run(scene, "dockerode.mjs");
  testcontainers = await ClientProgram.run(scene, "testcontainers.mjs", {
    RYUK_CONTAINER_IMAGE: await importReaper(scene),
    TESTCONTAINERS_RYUK_RECONNECTION_TIMEOUT: "100ms",
    // Where the tests run in a container, it would look for the daemon's host by the default network's gateway.
    TESTCONTAINERS_HOST_OVERRIDE: "localhost",
  });
});
afterAll(() => scene.close());

describe("dockerode", () => {
  for (const name of testsOf("dockerode.mjs")) test(name, () => dockerode.expectPassed(name));
});

describe("testcontainers", () => {
  for (const name of testsOf("testcontainers.mjs")) test(name, () => testcontainers.expectPassed(name));

  test("leaves to its reaper what a session has not removed: containers, networks, images, and itself", async () => {
    await until("nothing of the session is left", async () => {
      const left = await Promise.all([
        scene.ok("ps", "-aq"),
        scene.ok("network", "ls", "-q", "--filter", "type=custom"),
        scene.ok("images", "-q", "tc"),
      ]);
      return left.every((text) => text === "");
    });
    expect(await scene.ok("images", "--format", "{{.Repository}}")).toBe(`reaper\n${scene.image}`);
  });
});
