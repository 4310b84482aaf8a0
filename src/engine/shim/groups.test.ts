import { describe, expect, test } from "bun:test";
import { EngineError } from "../../core/errors.ts";
import { type GroupedShim, ShimGroups } from "./groups.ts";

/** A shim of a process that can be told to be gone. */
class FakeShim implements GroupedShim<FakeShim> {
  readonly #closed = Promise.withResolvers<void>();
  readonly closed = this.#closed.promise;
  isClosed = false;
  readonly process: { number: number; isGone: boolean };
  readonly socketPath: string;

  constructor(process: { number: number; isGone: boolean }, socketPath: string) {
    this.process = process;
    this.socketPath = socketPath;
  }

  async share(socketPath: string): Promise<FakeShim> {
    if (this.process.isGone) throw new EngineError("unavailable", "the shim is gone");
    return new FakeShim(this.process, socketPath);
  }

  close(): void {
    this.isClosed = true;
    this.#closed.resolve();
  }
}

function fixture() {
  const groups = new ShimGroups<FakeShim>();
  let processes = 0;
  let sockets = 0;
  const first = async () => new FakeShim({ number: ++processes, isGone: false }, "spare");
  const take = (group: string) => groups.take(group, () => `socket ${++sockets}`, first);
  return { groups, take };
}

describe("shims of a group", () => {
  test("share a process, also when they are asked for at once, and no other group's", async () => {
    const { take } = fixture();
    const shims = await Promise.all([take("a"), take("a"), take("b"), take("a")]);
    expect(shims.map(({ process, socketPath }) => [process.number, socketPath])).toEqual([
      [1, "spare"],
      [1, "socket 1"],
      [2, "spare"],
      [1, "socket 2"],
    ]);
  });

  test("get another process when theirs is gone, or all that were in it are", async () => {
    const { take } = fixture();
    const first = await take("a");
    first.process.isGone = true;
    const second = await take("a");
    expect(second.process.number).toBe(2);
    first.close();
    const third = await take("a");
    expect(third.process.number).toBe(2);
    for (const shim of [second, third]) shim.close();
    expect((await take("a")).process.number).toBe(3);
  });

  test("get another process when theirs stands still, and let go what it gives them after all", async () => {
    const groups = new ShimGroups<FakeShim>({ answerMs: 10 });
    const late = Promise.withResolvers<FakeShim>();
    const first = async () => new FakeShim({ number: ++processes, isGone: false }, "spare");
    let processes = 0;
    const stopped = await groups.take("a", () => "", first);
    stopped.share = () => late.promise;
    expect((await groups.take("a", () => "", first)).process.number).toBe(2);
    expect((await groups.take("a", () => "joined", first)).socketPath).toBe("joined");
    const given = new FakeShim(stopped.process, "late");
    late.resolve(given);
    await given.closed;
  });

  test("go on after a process that could not be started: the failure is told to whom it belongs", async () => {
    const { groups, take } = fixture();
    const failure = new EngineError("unavailable", "start shim: it ended with status 1");
    const failing = groups.take(
      "a",
      () => "",
      () => Promise.reject(failure),
    );
    const next = take("a");
    await expect(failing).rejects.toBe(failure);
    expect((await next).process.number).toBe(1);
  });
});
