/** Input and output at once. test/streams/both-ways.soak.ts is the long form. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Engine } from "../harness/engine.ts";
import { digest, echoAll, noise } from "./echo.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

test("5 MB go through a container and back at once, whole, by every way there is", async () => {
  const input = noise(5_000_000);
  const whole = digest(input);
  const ended = { ...whole, status: 0 };
  expect(await echoAll(engine, input)).toEqual({
    run: ended,
    exec: ended,
    start: ended,
    attach: ended,
    raw: whole,
    socket: whole,
  });
});
