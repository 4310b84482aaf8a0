import { expect, test } from "bun:test";
import { Copies, type GoingCopy, whyEnded } from "./copies.ts";

const { signal } = new AbortController();

/** Goes on until it is told to end, and a turn longer. */
async function going(copy: GoingCopy): Promise<unknown> {
  await new Promise((resolve) => copy.signal.addEventListener("abort", resolve, { once: true }));
  await new Promise((resolve) => setImmediate(resolve));
  throw whyEnded(copy) ?? new Error("the client left");
}

test("a start ends those that hold the mounts of a run, and waits for their end; a removal ends all", async () => {
  const copies = new Copies();
  const ended: string[] = [];
  const copy = (name: string, isLive: boolean) =>
    copies
      .run(signal, (copy) => {
        copy.isLive = isLive;
        return going(copy);
      })
      .catch((error: Error) => ended.push(`${name}: ${error.message}`));
  const all = [copy("live", true), copy("still", false)];
  await copies.endLive("started");
  expect(ended).toEqual(["live: started"]);
  await copies.end("removed");
  await Promise.all(all);
  expect(ended).toEqual(["live: started", "still: removed"]);
  await copies.end("nothing goes on");
});

test("whoever asked for a copy may leave it", async () => {
  const leaving = new AbortController();
  const copy = new Copies().run(leaving.signal, going);
  leaving.abort();
  await expect(copy).rejects.toThrow("the client left");
  await expect(new Copies().run(leaving.signal, async (copy) => copy.signal.aborted)).resolves.toBe(true);
});
