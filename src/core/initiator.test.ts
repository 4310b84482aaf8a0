import { describe, expect, test } from "bun:test";
import { currentInitiator, initiatedBy, initiatedByEngine } from "./initiator.ts";

const client = { kind: "client", uid: 1000, gid: 1000, pid: 42, command: "docker" } as const;

describe("who initiates what is done", () => {
  test("is nobody at first, and again afterwards", () => {
    expect(currentInitiator()).toBeUndefined();
    expect(initiatedBy(client, currentInitiator)).toEqual(client);
    expect(currentInitiator()).toBeUndefined();
  });

  test("goes along through promises, timers and generators", async () => {
    async function* steps() {
      await Bun.sleep(1);
      yield currentInitiator();
    }
    const seen = initiatedBy(client, async () => {
      await Promise.resolve();
      const later = await new Promise((resolve) => setTimeout(() => resolve(currentInitiator()), 1));
      for await (const step of steps()) expect(step).toEqual(client);
      return later;
    });
    expect(currentInitiator()).toBeUndefined();
    expect(await seen).toEqual(client);
  });

  test("is kept apart for what happens at the same time", async () => {
    const pids = Array.from({ length: 20 }, (_, pid) => pid);
    const seen = await Promise.all(
      pids.map((pid) =>
        initiatedBy({ ...client, pid }, async () => {
          await Bun.sleep(20 - pid);
          return currentInitiator();
        }),
      ),
    );
    expect(seen).toEqual(pids.map((pid) => ({ ...client, pid })));
  });

  test("is the engine where the engine decides, within what a client has begun", async () => {
    await initiatedBy(client, async () => {
      const decided = initiatedByEngine("policy", async () => {
        await Bun.sleep(1);
        return currentInitiator();
      });
      expect(currentInitiator()).toEqual(client);
      expect(await decided).toEqual({ kind: "engine", reason: "policy" });
      expect(initiatedBy(undefined, currentInitiator)).toBeUndefined();
    });
  });
});
