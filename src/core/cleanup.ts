import { errorMessage } from "./errors.ts";
import { log } from "./log.ts";

/**
 * Undo steps that run in reverse order unless the work succeeded. Every step runs even when an earlier one
 * fails; the failures come out as one AggregateError that names each step.
 *
 *     await using cleanup = new Cleanup("create container x");
 *     cleanup.add("remove the bundle", () => rm(bundle));
 *     …
 *     cleanup.dismiss(); // success: keep what was made
 */
export class Cleanup implements AsyncDisposable {
  readonly #what: string;
  #steps: { name: string; run: () => unknown }[] = [];

  constructor(what: string) {
    this.#what = what;
  }

  add(name: string, run: () => unknown): void {
    this.#steps.push({ name, run });
  }

  /** The work succeeded: forget the steps. */
  dismiss(): void {
    this.#steps = [];
  }

  /** Runs the steps now, last added first, and forgets them. */
  async run(): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    const failures: Error[] = [];
    for (const step of steps) {
      try {
        await step.run();
      } catch (error) {
        failures.push(new Error(`${step.name}: ${errorMessage(error)}`, { cause: error }));
      }
    }
    if (failures.length === 0) return;
    throw new AggregateError(
      failures,
      `clean-up after ${this.#what}: ${failures.map((failure) => failure.message).join("; ")}`,
    );
  }

  /** As `run`, where something has failed already: what the steps cannot do is logged, for it must not hide the reason. */
  async runAndLog(): Promise<void> {
    await this.run().catch((failure: unknown) => log("error", errorMessage(failure)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run();
  }
}

/**
 * Runs work that adds its undo steps as it goes. When it fails they are run and its own error is thrown, unchanged: what
 * the clean-up could not do is logged, for it must not hide the reason.
 */
export async function withCleanup<T>(what: string, work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup(what);
  try {
    return await work(cleanup);
  } catch (error) {
    await cleanup.runAndLog();
    throw error;
  }
}
