/** A crash of the daemon at a random moment of what it is asked to do, and what has to be so afterwards. */
import { expectAgreement } from "./audit.ts";
import type { CommandResult } from "./command.ts";
import type { DockerScene } from "./docker.ts";
import type { Random } from "./random.ts";

/** One request of several that are made at once. */
export interface CrashAction<Known> {
  args: string[];
  /** Before the request: what nobody knows until it is answered. */
  begin: (known: Known) => void;
  /** The request succeeded. */
  done: (known: Known) => void;
}

interface Round<Known> {
  actions: readonly CrashAction<Known>[];
  /** What the test knows must be so. */
  known: Known;
  /** Milliseconds after the first request within which the daemon is killed. */
  killWithinMs: number;
  signals: readonly ("SIGKILL" | "SIGTERM")[];
  /** With the next daemon, before records, processes and the kernel are compared. */
  check: () => Promise<void>;
}

/** @throws Error with what was asked and answered. */
export async function crashRound<Known>(
  { daemon, workspace }: DockerScene,
  random: Random,
  { actions, known, killWithinMs, signals, check }: Round<Known>,
): Promise<void> {
  for (const action of actions) action.begin(known);
  const answers = Promise.all(actions.map((action) => daemon.tsd(action.args)));
  await Bun.sleep(random.below(killWithinMs));
  const signal = random.pick(signals);
  const status = await daemon.stop(signal);
  if (signal === "SIGTERM" && status !== 0) throw new Error(`exit status ${status}\n${await daemon.log()}`);
  const results = await answers;
  const story = actions.map(({ args }, index) => `${args.join(" ")}: ${ending(results[index]!)}`).join("\n");
  for (const [index, action] of actions.entries()) if (results[index]!.status === 0) action.done(known);
  await daemon.start();
  try {
    await check();
    await expectAgreement(workspace, daemon);
  } catch (error) {
    throw new Error(`after ${signal} under\n${story}`, { cause: error });
  }
}

function ending({ status, stderr }: CommandResult): string {
  return `status ${status} ${stderr.trim()}`;
}
