/** Runs below runIsolated: `main.ts CONTAINERS KILLS RACES`. Ends with an error that says what was left of what. */
import { Random } from "../../harness/random.ts";
import { Kills } from "./kills.ts";
import { everyLife, leadLives } from "./lives.ts";
import { runRaces } from "./races.ts";
import { ManyScene } from "./scene.ts";

const [containers = 0, kills = 0, races = 0] = process.argv.slice(2).map(Number);
const random = new Random("many containers");
const scene = await ManyScene.open();
try {
  // What is made once, and stays for the next: mount points in the root file system, the cgroup parent, Bun's own.
  const killing = new Kills(scene, random);
  await killing.measure();
  await leadLives(scene, Math.min(containers, everyLife));
  await scene.takeInventory();
  await timed(`${containers} containers`, () => leadLives(scene, containers));
  await timed(`${kills} killed`, () => killing.rounds(kills));
  await timed(`${races} races`, () => runRaces(scene, races, random));
} catch (error) {
  // Before what closing has to say of it.
  console.error(error);
  process.exitCode = 1;
} finally {
  await scene.close();
}

async function timed(what: string, play: () => Promise<void>): Promise<void> {
  const begun = performance.now();
  await play();
  console.log(`note: ${what}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}
