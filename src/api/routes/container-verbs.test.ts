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

test("containers are updated with what the client's version had, null and an empty list being different things", async () => {
  await running("limits");
  const json = {
    Memory: 5,
    PidsLimit: -3,
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: null,
    RestartPolicy: { Name: "no" },
  };
  const asked = async (path: string) => {
    const response = await served.fetch(path, { json });
    expect([response.status, await response.text()]).toEqual([200, '{"Warnings":null}\n']);
    return served.engine.calls.at(-1)!;
  };
  const policy = '"RestartPolicy":{"Name":"no"}';
  expect(await asked("/containers/limits/update")).toBe(
    `update limits {"Memory":5,"BlkioDeviceReadBps":[],"PidsLimit":0,${policy}}`,
  );
  expect(await asked("/v1.54/containers/limits/update")).toBe(`update limits {"Memory":5,"PidsLimit":0,${policy}}`);
  expect(await asked("/v1.39/containers/limits/update")).toBe(`update limits {"Memory":5,${policy}}`);
  const wrong = await served.fetch("/containers/limits/update", { json: { Memory: "64m" } });
  expect(wrong.status).toBe(400);
  expect(((await wrong.json()) as { message: string }).message).toContain("Memory");
});

test("what is wrong with such a request is said, and which container there is not", async () => {
  await running("other");
  expect(await post("/containers/other/restart?t=soon")).toEqual([400, 'invalid t "soon"']);
  for (const verb of ["pause", "unpause", "restart", "rename"]) {
    expect(await post(`/containers/none/${verb}`)).toEqual([404, "No such container: none"]);
  }
});
