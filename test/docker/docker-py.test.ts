/** Debian's docker-py, unmodified, used as its documentation shows. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { ClientProgram, testsOf } from "../harness/clients.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
let dockerPy: ClientProgram;
beforeAll(async () => {
  scene = await DockerScene.open();
  dockerPy = await ClientProgram.run(scene, "docker_py.py");
});
afterAll(() => scene.close());

describe("docker-py", () => {
  for (const name of testsOf("docker_py.py")) test(name, () => dockerPy.expectPassed(name));
});
