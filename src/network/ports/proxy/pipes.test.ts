import { expect, test } from "bun:test";
import { F_GETPIPE_SZ } from "../../../../ffi/constants/open.ts";
import { fcntl } from "../../../../ffi/files.ts";
import { type Pipe, PipePool } from "./pipes.ts";

const sizes = (pipes: readonly Pipe[]): number[] => pipes.map(({ writer }) => fcntl(writer, F_GETPIPE_SZ));

test("a few pipes are large, the many of peers that do not read are not, and what was let go of counts no more", () => {
  const pool = new PipePool(() => false);
  const pipes = Array.from({ length: 400 }, () => pool.take());
  expect(new Set(sizes(pipes.slice(0, 256)))).toEqual(new Set([2 ** 20]));
  expect(Math.max(...sizes(pipes.slice(256)))).toBeLessThanOrEqual(65_536);
  for (const pipe of pipes) pool.discard(pipe);
  const again = pool.take();
  expect(sizes([again])).toEqual([2 ** 20]);
  pool.giveBack(again);
  expect(pool.take()).toBe(again);
  pool.discard(again);
});

test("the last few descriptors are not for pipes", () => {
  const pool = new PipePool(() => true);
  expect(() => pool.take()).toThrow("EMFILE");
});
