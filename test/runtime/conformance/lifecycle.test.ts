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
