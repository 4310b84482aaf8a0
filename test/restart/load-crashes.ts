/** The daemon, or shims, killed at random moments under the load of several clients. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expectAgreement } from "../harness/audit.ts";
import { DockerScene } from "../harness/docker.ts";
import { Random } from "../harness/random.ts";
import { LoadClient } from "./load-client.ts";

const clientCount = 8;
/** Milliseconds under load after which the first is killed, at most. */
const killWithinMs = 200;
/** How often records, files and the kernel are compared, which takes longer than a round. */
const agreementEvery = 10;

export interface LoadOptions {
  rounds: number;
  /** Shims are killed, some rounds the daemon along with them; else the daemon in every round. */
  shims?: boolean;
}

/** Plays a number of rounds in a scene of their own, and closes it: nothing may be left then. */
export async function playLoad(name: string, { rounds, shims = false }: LoadOptions): Promise<void> {
  const random = new Random(name);
  const scene = await DockerScene.open();
  try {
    const clients = Array.from(
      { length: clientCount },
      (_, index) => new LoadClient(scene.daemon, random, scene.image, `client${index}`),
    );
    for (let round = 1; round <= rounds; round++) {
      let killed = "nothing yet";
      try {
        killed = await playRound(scene, random, clients, shims);
        for (const client of clients) await client.check();
        if (round % agreementEvery === 0 || round === rounds) await expectAgreement(scene.workspace, scene.daemon);
      } catch (error) {
        const story = clients.map((client) => client.story.join("\n")).join("\n\n");
        throw new Error(`round ${round}, killed ${killed} under\n${story}\n${await scene.daemon.log()}`, {
          cause: error,
        });
      }
    }
  } finally {
    await scene.close();
  }
}

/** @returns what was killed. */
async function playRound(
  { daemon }: DockerScene,
  random: Random,
  clients: readonly LoadClient[],
  shims: boolean,
): Promise<string> {
  let isOver = false;
  const work = Promise.allSettled(clients.map((client) => client.work(() => isOver)));
  await Bun.sleep(20 + random.below(killWithinMs));
  const killed: string[] = [];
  if (shims) {
    const chosen = shimRecords(daemon.state).filter(() => random.below(3) === 0);
    const pids = new Set(chosen.map(({ shimPid }) => shimPid));
    for (const client of clients) client.shimsAreKilled = pids.size > 0;
    for (const { id, shimPid } of chosen) {
      kill(shimPid);
      killed.push(`the shim of ${id}`);
    }
    // A shim may have got another container since.
    for (const { id, shimPid } of [...chosen, ...shimRecords(daemon.state)]) {
      if (pids.has(shimPid)) for (const client of clients) client.orphaned(id);
    }
  }
  if (!shims || random.below(3) === 0) {
    killed.push("the daemon");
    await daemon.stop("SIGKILL");
  } else await Bun.sleep(random.below(100));
  isOver = true;
  const failed = (await work).find((result) => result.status === "rejected");
  if (killed.includes("the daemon")) await daemon.start();
  if (failed !== undefined) throw new Error(`with ${killed.join(", ")} killed`, { cause: failed.reason });
  return killed.join(", ");
}

function shimRecords(state: string): { id: string; shimPid: number }[] {
  const directory = join(state, "containers");
  return readdirSync(directory).flatMap((id) => {
    try {
      return [JSON.parse(readFileSync(join(directory, id, "shim.json"), "utf8")) as { id: string; shimPid: number }];
    } catch {
      return []; // it has just ended, or is just being started
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended meanwhile.
  }
}
