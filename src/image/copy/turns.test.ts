import { expect, test } from "bun:test";
import { Turns } from "./turns.ts";

const { signal } = new AbortController();

test("so many go on at once, so many wait for a while, and whoever comes then is refused", async () => {
  const turns = new Turns("copies", { atOnce: 1, waiting: 1, waitMs: 60_000 });
  const first = await turns.take(signal);
  const second = turns.take(signal);
  await expect(turns.take(signal)).rejects.toThrow("1 copies go on, and 1 more wait");
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  (await turns.take(signal))[Symbol.dispose]();
});

test("nobody waits for ever, nor after he was told to stop", async () => {
  const turns = new Turns("copies", { atOnce: 1, waitMs: 1 });
  using _held = await turns.take(signal);
  await expect(turns.take(signal)).rejects.toThrow("none of them has ended within 0.001 s");
  const stopping = new AbortController();
  const stopped = new Turns("copies", { atOnce: 1 });
  using _other = await stopped.take(signal);
  const waiting = stopped.take(stopping.signal);
  stopping.abort();
  await expect(waiting).rejects.toMatchObject({ code: "cancelled" });
});
