import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { type Served, serve } from "../testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
  await served.engine.containers.create({ Image: "busybox" }, { name: "web" });
});
afterAll(() => served[Symbol.asyncDispose]());
beforeEach(() => {
  served.engine.calls.length = 0;
});

const body = (response: Response): Promise<unknown> => response.json();

test("checkpoints are made, listed, started from and removed, the container's own and those of a directory", async () => {
  const made = await served.fetch("/containers/web/checkpoints", { json: { CheckpointID: "a", Exit: true } });
  expect([made.status, await made.text()]).toEqual([201, ""]);
  const elsewhere = { CheckpointID: "b", CheckpointDir: "/x" };
  expect((await served.fetch("/containers/web/checkpoints", { json: elsewhere })).status).toBe(201);
  expect(await body(await served.fetch("/containers/web/checkpoints"))).toEqual([{ Name: "a" }]);
  expect(await body(await served.fetch("/containers/web/checkpoints?dir=/x"))).toEqual([{ Name: "b" }]);
  const start = (query: string) => served.fetch(`/containers/web/start?${query}`, { method: "POST" });
  expect((await start("checkpoint=a")).status).toBe(204);
  expect((await start("checkpoint=b&checkpoint-dir=/x")).status).toBe(204);
  expect(served.engine.calls).toEqual([
    "checkpoint web own a ends",
    "checkpoint web /x b goes on",
    "restore web own a",
    "restore web /x b",
  ]);
  const removed = await served.fetch("/containers/web/checkpoints/b?dir=/x", { method: "DELETE" });
  expect(removed.status).toBe(204);
  expect(await body(await served.fetch("/containers/web/checkpoints?dir=/x"))).toEqual([]);
});

test("what is not there, and a name that is missing or none, are refused", async () => {
  const refused = async (path: string, init: Parameters<Served["fetch"]>[1]) => {
    const response = await served.fetch(path, init);
    return [response.status, ((await response.json()) as { message: string }).message];
  };
  expect(await refused("/containers/web/checkpoints", { json: { Exit: true } })).toEqual([
    400,
    "CheckpointID: a checkpoint needs a name",
  ]);
  const [status, message] = await refused("/containers/web/checkpoints", { json: { CheckpointID: 5 } });
  expect([status, String(message).includes("CheckpointID")]).toEqual([400, true]);
  expect(await refused("/containers/web/start?checkpoint=nope", { method: "POST" })).toEqual([
    404,
    "checkpoint nope does not exist for container web",
  ]);
  expect((await served.fetch("/containers/nope/checkpoints")).status).toBe(404);
});
