/** A container from its creation to its deletion, verb by verb. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { OciRuntime } from "../../harness/oci-runtime.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

const silent = { status: 0, stdout: "", stderr: "" };

test("create, start, exec, kill and delete take a container through its states", async () => {
  await using container = await runtime.created(["sleep", "1000"]);
  const { id, bundle } = container;
  const created = await runtime.state(id);
  expect(created).toMatchObject({ id, bundle, status: "created", rootfs: runtime.rootfs, owner: "" });
  expect(await runtime.verb(["start", id])).toEqual(silent);
  const running = await runtime.state(id);
  expect(running).toEqual({ ...created, status: "running" });
  expect(readFileSync(`/proc/${running.pid}/cmdline`, "utf8")).toBe("sleep\x001000\x00");
  expect(await runtime.exec(id, ["hostname"])).toEqual({ ...silent, stdout: "conformance\n" });
  expect(await runtime.verb(["kill", id, "KILL"])).toEqual(silent);
  const stopped = await runtime.waitFor(id, "stopped");
  expect(stopped).toEqual({ ...created, status: "stopped", pid: 0 });
  expect(await runtime.verb(["delete", id])).toEqual(silent);
  expect(runtime.traces(id)).toEqual([]);
});

test("a program can be signalled, and is said to run, from its first output on", async () => {
  const script = "trap 'exit 6' TERM; echo ready; while :; do sleep 0.02; done";
  for (let round = 0; round < 4; round++) {
    await using container = runtime.bundle(["sh", "-c", script]);
    await using run = runtime.live(["run", "-b", container.bundle, container.id]);
    await run.shows("ready");
    // Whichever is asked first has to be right.
    if (round % 2 === 0) expect(await runtime.state(container.id)).toMatchObject({ status: "running" });
    expect(await runtime.verb(["kill", container.id])).toEqual(silent);
    expect(await run.end()).toBe(6);
  }
});
