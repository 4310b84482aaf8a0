import { expect, test } from "bun:test";
import { passes } from "./event-filter.ts";
import type { EventMessage } from "./schema/event.ts";
import type { Filters } from "./schema/filters.ts";

function event(
  Type: EventMessage["Type"],
  Action: string,
  ID: string,
  Attributes: Record<string, string>,
): EventMessage {
  return { Type, Action, Actor: { ID, Attributes }, scope: "local", time: 1, timeNano: 1n };
}

const started = event("container", "start", "abcdef", { name: "web", image: "reg:5000/app:2", tier: "front" });
const execed = event("container", "exec_start: sh -c x", "abcdef", { name: "web" });
const pulled = event("image", "pull", "alpine:3", { name: "alpine" });

test("events pass filters as Docker's do: names with and, values with or", () => {
  const cases: [EventMessage, Filters, boolean][] = [
    [started, {}, true],
    [started, { type: ["image", "container"] }, true],
    [started, { type: ["image"] }, false],
    [started, { type: ["container"], event: ["stop"] }, false],
    [started, { event: ["stop", "start"] }, true],
    [started, { event: ["sta"] }, false],
    [execed, { event: ["exec_start"] }, true],
    [execed, { event: ["exec_start: sh -c x"] }, true],
    [execed, { event: ["exec_create"] }, false],
    [started, { container: ["abc"] }, true],
    [started, { container: ["web"] }, true],
    [started, { container: ["other"] }, false],
    [started, { image: ["reg:5000/app"] }, true],
    [started, { image: ["reg:5000/app:2"] }, true],
    [started, { image: ["app"] }, false],
    [pulled, { image: ["alpine"] }, true],
    [pulled, { image: ["alpine:3"] }, true],
    [pulled, { image: ["alpine:4"] }, false],
    [started, { label: ["tier"] }, true],
    [started, { label: ["tier=front", "tier"] }, true],
    [started, { label: ["tier=front", "tier=back"] }, false],
    [started, { label: ["missing"] }, false],
    [started, { scope: ["local"] }, true],
    [started, { scope: ["swarm"] }, false],
    [started, { container: [] }, true],
  ];
  for (const [message, filters, expected] of cases) {
    expect(passes(message, filters), `${message.Action} ${JSON.stringify(filters)}`).toBe(expected);
  }
});
