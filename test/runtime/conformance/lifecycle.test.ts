/** A container from its creation to its deletion, verb by verb. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

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
  for (let round = 0; round < 5; round++) {
    await using container = runtime.bundle(["sh", "-c", script]);
    await using run = runtime.live(["run", "-b", container.bundle, container.id]);
    await run.shows("ready");
    const [state, kill] = await Promise.all([runtime.state(container.id), runtime.verb(["kill", container.id])]);
    expect(state).toMatchObject({ status: expect.stringMatching(/running|stopped/) });
    expect(kill).toEqual(silent);
    expect(await run.end()).toBe(6);
  }
});

needs("cgroup v1")("without a cgroupsPath the cgroup has the container's name, below the caller's own", async () => {
  await using container = await runtime.running(["sleep", "1000"], (config) => {
    delete config.linux.cgroupsPath;
  });
  const { pid } = await runtime.state(container.id);
  const [own, theirs] = ["self", pid].map((process) => {
    const lines = readFileSync(`/proc/${process}/cgroup`, "utf8").trim().split("\n");
    return lines.map((line) => line.split(":")).filter(([number]) => number !== "0");
  });
  const paths = own!.map(([, , path]) => path!);
  // tsd has one path for all hierarchies, below what the caller's own have in common.
  const isOne = new Set(paths).size === 1;
  const expected = own!.map(([number, names, path]) => [
    number,
    names,
    isTsd && !isOne ? expect.stringMatching(new RegExp(`/${container.id}$`)) : join(path!, container.id),
  ]);
  expect(theirs as unknown).toEqual(expected);
});

needs("cgroup v2")("without a cgroupsPath the cgroup has the container's name, beside the caller's own", async () => {
  await using container = await runtime.running(["sleep", "1000"], (config) => {
    delete config.linux.cgroupsPath;
  });
  const { pid } = await runtime.state(container.id);
  const own = readFileSync("/proc/self/cgroup", "utf8").trim().slice("0::".length);
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(`0::${join(dirname(own), container.id)}\n`);
});
