import { describe, expect, test } from "bun:test";
import { initiatedByEngine } from "../../core/initiator.ts";
import { eventBus } from "../testing/events.ts";
import type { EngineEvent, EventBus, Subscription } from "./bus.ts";

async function collect(bus: EventBus, subscription: Subscription, publish: () => void): Promise<string[]> {
  const controller = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of bus.subscribe({ signal: controller.signal, ...subscription })) seen.push(event.action);
  })();
  publish();
  await Bun.sleep(5);
  controller.abort();
  await reading;
  return seen;
}

describe("the event bus", () => {
  test("a subscriber sees what happens from now on, in order", async () => {
    const bus = eventBus();
    bus.publish("container", "before", "c1");
    const seen = await collect(bus, {}, () => ["create", "start", "die"].map((a) => bus.publish("container", a, "c1")));
    expect(seen).toEqual(["create", "start", "die"]);
    expect(bus.listeners).toBe(0);
  });

  test("since brings back what is kept, from that event on, and no two events share a time", async () => {
    const bus = eventBus();
    const events = ["one", "two", "three"].map((action) => bus.publish("container", action, "c1"));
    expect(new Set(events.map((event) => event.timeMicros)).size).toBe(3);
    const seen = await collect(bus, { sinceMicros: events[1]!.timeMicros }, () =>
      bus.publish("container", "four", "c1"),
    );
    expect(seen).toEqual(["two", "three", "four"]);
  });

  test("an event says in whose name it was published, where that is known", () => {
    const bus = eventBus();
    const initiator = { kind: "engine", reason: "policy" } as const;
    expect(initiatedByEngine("policy", () => bus.publish("container", "start", "c1"))).toMatchObject({ initiator });
    expect(bus.publish("container", "die", "c1")).not.toHaveProperty("initiator");
  });

  test("until in the past ends after what is kept, without an abort", async () => {
    const bus = eventBus();
    const event = bus.publish("container", "start", "c1");
    const seen: EngineEvent[] = [];
    for await (const each of bus.subscribe({ untilMicros: event.timeMicros })) seen.push(each);
    expect(seen).toEqual([event]);
  });

  test("until in the future ends by itself", async () => {
    const bus = eventBus();
    const started = Date.now();
    for await (const _ of bus.subscribe({ untilMicros: (started + 40) * 1000 }))
      throw new Error("nothing was published");
    expect(Date.now() - started).toBeGreaterThanOrEqual(35);
  });

  test("a subscriber that does not read is cut off, not queued without end", async () => {
    const bus = eventBus();
    const events = bus.subscribe({});
    for (let n = 0; n < 40_000; n++) bus.publish("container", "noise", "c1");
    let count = 0;
    for await (const _ of events) count++;
    expect(count).toBeLessThan(20_000);
  });
});
