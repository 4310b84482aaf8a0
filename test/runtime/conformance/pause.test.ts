/** `pause` and `resume`: what the freezer of the kernel says, and what the other verbs do meanwhile. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { needs } from "../../harness/runtime-under-test.ts";
import { isFrozen } from "./cgroup-files.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

const silent = { status: 0, stdout: "", stderr: "" };
/** Counts in a file of its own. */
const counting = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/dev/shm/count; sleep 0.05; done"];

test("pause stops every process and resume lets them go on", async () => {
  await using container = await runtime.running(counting);
  const { id } = container;
  const { pid } = await runtime.state(id);
  const path = `/proc/${pid}/root/dev/shm/count`;
  const count = () => (existsSync(path) ? Number(readFileSync(path, "utf8")) : 0);
  await runtime.until("it counts", () => count() > 0);
  expect(await runtime.verb(["pause", id])).toEqual(silent);
  expect(isFrozen(runtime, id)).toBe(true);
  expect(await runtime.state(id)).toMatchObject({ id, status: "paused" });
  expect(JSON.parse(await runtime.ok("list", "--format", "json"))).toContainEqual(
    expect.objectContaining({ id, status: "paused" }),
  );
  const stood = count();
  expect(await runtime.ok("ps", "--format", "json", id)).not.toBe("[]");
  expect(count()).toBe(stood);
  expect(await runtime.verb(["resume", id])).toEqual(silent);
  expect(isFrozen(runtime, id)).toBe(false);
  expect((await runtime.state(id)).status).toBe("running");
  await runtime.until("it counts on", () => count() > stood);
});

test("what is paused is not paused again, and what runs is not resumed", async () => {
  await using container = await runtime.running();
  const { id } = container;
  const running = await runtime.fails("resume", id);
  expect(running).toEqual({ status: 1, message: expect.stringContaining("container not paused") });
  await runtime.ok("pause", id);
  const paused = await runtime.fails("pause", id);
  expect(paused).toEqual({ status: 1, message: expect.stringContaining("container not running") });
  expect(isFrozen(runtime, id)).toBe(true);
});

test("a container that has ended is neither paused nor resumed", async () => {
  await using container = await runtime.running();
  const { id } = container;
  await runtime.ok("kill", id, "KILL");
  await runtime.waitFor(id, "stopped");
  expect((await runtime.fails("pause", id)).message).toContain("container not running");
  expect((await runtime.fails("resume", id)).message).toContain("container not paused");
});

test("one that was created can be paused, and is not started before it is resumed", async () => {
  await using container = await runtime.created(["sleep", "1000"]);
  const { id } = container;
  expect(await runtime.verb(["pause", id])).toEqual(silent);
  expect((await runtime.state(id)).status).toBe("paused");
  expect((await runtime.fails("start", id)).message).toContain("paused");
  await runtime.ok("resume", id);
  expect((await runtime.state(id)).status).toBe("created");
  await runtime.ok("start", id);
  expect((await runtime.state(id)).status).toBe("running");
});

test("exec is refused in a paused container", async () => {
  await using container = await runtime.running();
  await runtime.ok("pause", container.id);
  const { status, message } = await runtime.fails("exec", container.id, "true");
  expect(status).toBe(255);
  expect(message).toContain("cannot exec in a paused container (use --ignore-paused to override)");
});

test("exec --ignore-paused is let in, stands still, and goes on with resume", async () => {
  await using container = await runtime.running();
  const { id } = container;
  await runtime.ok("pause", id);
  const before = JSON.parse(await runtime.ok("ps", "--format", "json", id)).length;
  await using exec = runtime.live(["exec", "--ignore-paused", id, "echo", "in"]);
  await runtime.until("its process is there", async () => {
    return JSON.parse(await runtime.ok("ps", "--format", "json", id)).length > before;
  });
  expect(exec.stdout).toBe("");
  await runtime.ok("resume", id);
  expect(await exec.end()).toBe(0);
  expect(exec.stdout).toBe("in\n");
});

test("kill KILL ends a paused container", async () => {
  await using container = await runtime.running();
  await runtime.ok("pause", container.id);
  expect(await runtime.verb(["kill", container.id, "KILL"])).toEqual(silent);
  await runtime.waitFor(container.id, "stopped");
});

test("delete wants --force for a paused container, and then leaves nothing", async () => {
  await using container = await runtime.running(counting);
  const { id } = container;
  await runtime.ok("pause", id);
  expect((await runtime.fails("delete", id)).message).toContain("that is not stopped: paused");
  expect(await runtime.verb(["delete", "--force", id])).toEqual(silent);
  expect(runtime.traces(id)).toEqual([]);
});

test.each(["pause", "resume"])("%s takes one container that exists", async (verb) => {
  expect((await runtime.fails(verb, "nobody")).message).toContain("does not exist");
  for (const words of [[verb], [verb, "one", "two"]]) {
    const { status, stdout } = await runtime.verb(words);
    expect(status).toBe(1);
    expect(stdout).toContain(`${verb} - `);
  }
});

needs("tsd")("a container without a cgroup is not paused in vain", async () => {
  // Nothing less than a file system without cgroups takes it away from root: the record says so for it.
  await using container = await runtime.running();
  const path = `${runtime.stateRoot}/${container.id}/state.json`;
  const text = readFileSync(path, "utf8");
  const { cgroupPath: _, ...record } = JSON.parse(text);
  await Bun.write(path, JSON.stringify(record));
  const { message } = await runtime.fails("pause", container.id);
  await Bun.write(path, text);
  expect(message).toContain("has no cgroup of its own, and cannot be paused");
});
