import { expect, test } from "bun:test";
import { withEnding } from "./ending.ts";

function counted(pieces: AsyncIterator<number>) {
  const ends = { count: 0 };
  const end = async () => {
    ends.count++;
  };
  return { ends, pieces: withEnding(pieces, end) };
}

async function* numbers(): AsyncGenerator<number, void, void> {
  yield 1;
  yield 2;
}

test("the end is dealt with once: after the last piece, after an error, and where the first was never asked for", async () => {
  const whole = counted(numbers());
  expect(await Array.fromAsync(whole.pieces)).toEqual([1, 2]);
  await whole.pieces.return();
  const unread = counted(numbers());
  await unread.pieces.return();
  expect(await unread.pieces.next()).toEqual({ done: true, value: undefined });
  const failing = counted({ next: () => Promise.reject(new Error("broken")) });
  await expect(failing.pieces.next()).rejects.toThrow("broken");
  expect([whole, unread, failing].map(({ ends }) => ends.count)).toEqual([1, 1, 1]);
});

test("a piece that is on its way does not keep the end waiting", async () => {
  const piece = Promise.withResolvers<IteratorResult<number>>();
  const { ends, pieces } = counted({ next: () => piece.promise });
  const next = pieces.next();
  await pieces.return();
  expect(ends.count).toBe(1);
  piece.reject(new Error("closed"));
  expect(await next).toEqual({ done: true, value: undefined });
});
