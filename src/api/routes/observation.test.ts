import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Served, serve } from "../testing/serve.ts";

let served: Served;
beforeAll(async () => {
  served = await serve();
  await served.fetch("/containers/create?name=web", { json: { Image: "busybox", Cmd: ["sleep"] } });
});
afterAll(() => served[Symbol.asyncDispose]());

const lastCall = (): string | undefined => served.engine.calls.at(-1);

test("top passes on the words for ps, and none of blanks", async () => {
  const answer = await served.fetch("/containers/web/top?ps_args=-o%20pid,args%20%20-f");
  expect(await answer.text()).toBe('{"Processes":[["root","17","sleep 1000"]],"Titles":["UID","PID","CMD"]}\n');
  expect(lastCall()).toBe('top web ["-o","pid,args","-f"]');
  await served.fetch("/containers/web/top?ps_args=");
  expect(lastCall()).toBe("top web []");
  expect((await served.fetch("/containers/nobody/top")).status).toBe(404);
});

test("stats stream unless told otherwise, a line for each sample, with numbers of 64 bits", async () => {
  const answer = await served.fetch("/containers/web/stats");
  const lines = (await answer.text()).split("\n");
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(lines).toHaveLength(3);
  expect(lines[0]).toContain('"limit":18446744073709551615}');
  expect(lines[0]).toContain('"hierarchical_memory_limit":9223372036854771712}');
  expect(lastCall()).toBe("stats web true false");
});

test.each([
  ["/containers/web/stats?stream=0", "stats web false false"],
  ["/containers/web/stats?stream=false&one-shot=true", "stats web false true"],
  ["/v1.41/containers/web/stats?stream=false&one-shot=true", "stats web false true"],
  ["/v1.40/containers/web/stats?stream=false&one-shot=true", "stats web false false"],
  ["/v1.40/containers/web/stats?one-shot=true", "stats web true false"],
])("%s asks for %s", async (path, call) => {
  expect((await served.fetch(path)).status).toBe(200);
  expect(lastCall()).toBe(call);
});

test("stats are refused that stream and are one, and of a container that is not there", async () => {
  const both = await served.fetch("/containers/web/stats?one-shot=true");
  expect(both.status).toBe(400);
  expect(await both.text()).toContain("cannot have stream=true and one-shot=true");
  expect((await served.fetch("/containers/nobody/stats")).status).toBe(404);
});
