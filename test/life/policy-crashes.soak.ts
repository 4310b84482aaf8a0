import { afterAll, beforeAll, test } from "bun:test";
import { DockerScene } from "../harness/docker.ts";
import { playPolicyCrashes } from "./policy-crashes.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const hour = 3_600_000;

test(
  "daemons that are killed at random moments lose no restart and no wish to stop",
  () =>
    playPolicyCrashes(scene, "policy crashes", {
      rounds: Number(process.env.TSD_SOAK_ROUNDS ?? 100),
      killWithinMs: 900,
    }),
  hour,
);
