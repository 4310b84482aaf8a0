import { expect, test } from "bun:test";
import { RecentExits } from "./recent-exits.ts";

const ended = (id: string, exitCode = 0) => ({ id, lastExit: { exitCode } });

test("an exit is known by its id for ten seconds", () => {
  let now = 0;
  const exits = new RecentExits(() => now);
  exits.add(ended("a", 3));
  now = 9_999;
  expect([exits.get("a"), exits.get("b")]).toEqual([{ exitCode: 3 }, undefined]);
  now = 10_000;
  expect(exits.get("a")).toBeUndefined();
});

test("of many the oldest are forgotten first", () => {
  const exits = new RecentExits(() => 0);
  for (let n = 0; n < 2000; n++) exits.add(ended(`${n}`, n));
  expect([exits.get("975"), exits.get("976"), exits.get("1999")].map((exit) => exit?.exitCode)).toEqual([
    undefined,
    976,
    1999,
  ]);
});
