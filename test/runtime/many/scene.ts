import { errorMessage } from "../../../src/core/errors.ts";
import { until } from "../../harness/command.ts";
import { expectUnchanged, Inventory } from "../../harness/inventory.ts";
import { errorOf, OciRuntime, type RuntimeState } from "../../harness/oci-runtime.ts";
import { RichBundles, Surroundings, type Variant } from "./bundles.ts";

/** A container of the scene; its bundle's config.json is written anew for each. */
export interface Subject {
  variant: Variant;
  id: string;
}

export interface Ended {
  /** 128 for a command that was killed. */
  status: number;
  stderr: string;
}

/** The runtime with its bundles, and what the machine had before: every play must end as it began. */
export class ManyScene {
  readonly runtime: OciRuntime;
  readonly bundles: RichBundles;
  #before: Inventory | undefined;
  #count = 0;

  private constructor(runtime: OciRuntime) {
    this.runtime = runtime;
    this.bundles = new RichBundles(runtime);
  }

  static async open(): Promise<ManyScene> {
    return new ManyScene(await OciRuntime.open());
  }

  /** From now on, nothing may come to be or go. */
  async takeInventory(): Promise<void> {
    this.#before = await until("processes have ended, and keys are collected", () => {
      const inventory = new Inventory(this.runtime.workspace.name);
      return inventory.isQuiet && inventory;
    });
  }

  async expectUnchanged(): Promise<void> {
    if (this.#before !== undefined) await expectUnchanged(this.runtime.workspace.name, this.#before);
  }

  newSubject(variant: Variant): Subject {
    this.#count += 1;
    return { variant, id: `${this.runtime.workspace.name}-${this.#count}` };
  }

  /** The words of `create` and `run`, for a bundle that is written now. */
  making({ variant, id }: Subject, words: string[], args: string[]): string[] {
    return [...words, "--bundle", this.bundles.write(variant, id, args), id];
  }

  /** Runs a command to its end. */
  async end(words: string[]): Promise<Ended> {
    using surroundings = new Surroundings(this.runtime, false);
    const child = surroundings.spawn(this.runtime.argv(...words));
    const status = await child.exited;
    return { status, stderr: await surroundings.error };
  }

  /** Runs a command that has to succeed. */
  async ok(...words: string[]): Promise<void> {
    const { status, stderr } = await this.end(words);
    if (status !== 0) throw new Error(`${words.join(" ")}: exit status ${status}: ${stderr}`);
  }

  /** `create` or `run --detach` with all that they can be given. */
  async make(subject: Subject, words: string[], args: string[] = ["sleep", "1000"]): Promise<void> {
    using surroundings = new Surroundings(this.runtime, subject.variant === "terminal");
    const all = this.making(subject, [...words, ...surroundings.flags], args);
    const status = await surroundings.spawn(this.runtime.argv(...all)).exited;
    if (status !== 0) throw new Error(`${all.join(" ")}: exit status ${status}: ${await surroundings.error}`);
    surroundings.takeTerminal();
    const pid = await Bun.file(surroundings.pidFile).text();
    const state = await this.runtime.state(subject.id);
    if (state.status !== "stopped" && String(state.pid) !== pid)
      throw new Error(`${pid} is in the pid file of ${state.pid}`);
  }

  /** @returns undefined where there is no such container. */
  async state(id: string): Promise<RuntimeState | undefined> {
    const { status, stdout, stderr } = await this.runtime.verb(["state", id]);
    if (status === 0) return JSON.parse(stdout);
    if (errorOf(stderr).includes("does not exist")) return undefined;
    throw new Error(`state ${id}: ${stderr}`);
  }

  /** Deletes whatever an interrupted command has left; the same id can be taken at once. */
  async cleanUp(subject: Subject): Promise<void> {
    await this.runtime.ok("list");
    await this.state(subject.id);
    await this.ok("delete", "--force", subject.id);
    if ((await this.state(subject.id)) !== undefined) throw new Error(`${subject.id} was deleted, and is there`);
    await this.expectUnchanged();
    await this.ok(...this.making(subject, ["run"], ["true"]));
  }

  async waitForEnd({ id }: Subject): Promise<void> {
    await until(`${id} has stopped`, async () => (await this.state(id))?.status === "stopped");
  }

  /** Plays something, after which nothing may be left. */
  async play(story: string, scene: () => Promise<void>): Promise<void> {
    try {
      await scene();
      await this.expectUnchanged();
    } catch (error) {
      throw new Error(`${story}: ${errorMessage(error)}`, { cause: error });
    }
  }

  close(): Promise<void> {
    return this.runtime[Symbol.asyncDispose]();
  }
}
