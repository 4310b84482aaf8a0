import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Served, serve } from "../testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
});
afterAll(() => served[Symbol.asyncDispose]());

/** @returns the status and the words of the answer. */
async function post(path: string): Promise<[status: number, words: string]> {
  const response = await served.fetch(path, { method: "POST" });
  const text = await response.text();
  return [response.status, text === "" ? "" : (JSON.parse(text) as { message: string }).message];
}

async function running(name: string): Promise<void> {
  await served.fetch(`/containers/create?name=${name}`, { json: { Image: "busybox", Cmd: ["sleep"] } });
  await post(`/containers/${name}/start`);
}

test("containers are paused, let go on and restarted, with a signal since the version that has one", async () => {
  await running("quiet");
  expect(await post("/containers/quiet/pause")).toEqual([204, ""]);
  expect(await post("/containers/quiet/unpause")).toEqual([204, ""]);
  expect(await post("/containers/quiet/unpause")).toEqual([409, "Container quiet is not paused"]);
  expect(await post("/containers/quiet/restart?signal=USR1&t=-1")).toEqual([204, ""]);
  expect(await post("/v1.41/containers/quiet/restart?signal=USR1")).toEqual([204, ""]);
  expect(served.engine.calls.slice(-4)).toEqual([
    "pause quiet",
    "unpause quiet",
    "restart quiet USR1 -1",
    "restart quiet - -",
  ]);
});

test("containers are renamed, and by no name when there is none in the query", async () => {
  await running("before");
  expect(await post("/containers/before/rename?name=/after")).toEqual([204, ""]);
  expect(await post("/containers/before/rename")).toEqual([204, ""]);
  expect(served.engine.calls.slice(-2)).toEqual(["rename before /after", "rename before "]);
});

test("what is wrong with such a request is said, and which container there is not", async () => {
  await running("other");
  expect(await post("/containers/other/restart?t=soon")).toEqual([400, 'invalid t "soon"']);
  for (const verb of ["pause", "unpause", "restart", "rename"]) {
    expect(await post(`/containers/none/${verb}`)).toEqual([404, "No such container: none"]);
  }
});
