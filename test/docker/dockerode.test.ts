/** dockerode of npm, unmodified, used as its README shows. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { ClientProgram, testsOf } from "../harness/clients.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
let dockerode: ClientProgram;
beforeAll(async () => {
  scene = await DockerScene.open();
  dockerode = await ClientProgram.run(scene, "dockerode.mjs");
});
afterAll(() => scene.close());

describe("dockerode", () => {
  for (const name of testsOf("dockerode.mjs")) test(name, () => dockerode.expectPassed(name));
});
