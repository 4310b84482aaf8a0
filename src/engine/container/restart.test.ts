import { afterEach, beforeEach, expect, test } from "bun:test";
import { EngineError } from "../../core/errors.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";

let world: FakeWorld;
let engine: Engine;
let actions: string[];

beforeEach(async () => {
  world = new FakeWorld();
  engine = await world.open();
  actions = [];
  const events = engine.events.subscribe({}, new AbortController().signal);
  void (async () => {
    for await (const { Type, Action } of events) if (Type === "container") actions.push(Action);
  })();
});
afterEach(() => world[Symbol.dispose]());

async function running(request = busybox()): Promise<void> {
  await engine.containers.create(request, { name: "web" });
  await engine.containers.start("web");
}

async function status(): Promise<string> {
  return (await engine.containers.inspect("web", { size: false })).State.Status;
}

test("ends a container with the signal that was asked for and starts it, in docker's order", async () => {
  world.obeysTerm = false;
  await running();
  await engine.containers.restart("web", { signal: "USR1", timeoutSeconds: 0 });
  expect(world.shims[0]!.signals).toEqual([10, 9]);
  expect(await status()).toBe("running");
  await Bun.sleep(0);
  expect(actions.filter((action) => action !== "kill")).toEqual(["create", "start", "die", "stop", "start", "restart"]);
});

test("starts one that does not run", async () => {
  await engine.containers.create(busybox(), { name: "web" });
  await engine.containers.restart("web", {});
  expect(await status()).toBe("running");
  await engine.containers.stop("web", {});
  await engine.containers.restart("web", {});
  expect(await status()).toBe("running");
});

test("lets one that is paused go on to its end", async () => {
  await running();
  await engine.containers.pause("web");
  await engine.containers.restart("web", {});
  expect(await status()).toBe("running");
});

test("two at once are done one after the other", async () => {
  await running();
  await Promise.all([engine.containers.restart("web", {}), engine.containers.restart("web", {})]);
  expect(await status()).toBe("running");
  await Bun.sleep(0);
  expect(actions.filter((action) => action === "die" || action === "restart")).toEqual([
    "die",
    "restart",
    "die",
    "restart",
  ]);
});

const wishes: [string, string, () => Promise<unknown>][] = [
  ["stop", "exited", () => engine.containers.stop("web", { timeoutSeconds: 0 })],
  ["kill", "exited", () => engine.containers.kill("web", "KILL")],
  ["rm -f", "removed", () => engine.containers.remove("web", { force: true, volumes: false, link: false })],
];
test.each(wishes)("%s between the end and the start is not forgotten: it is then %s", async (_verb, then, wish) => {
  world.obeysTerm = false;
  await running();
  const restarting = engine.containers.restart("web", {});
  const over = await engine.containers.wait("web", "next-exit", new AbortController().signal);
  world.shims[0]!.end();
  await over.exited;
  // What is gone cannot be started.
  await Promise.all([wish(), restarting.catch(() => undefined)]);
  expect(await status().catch(() => "removed")).toBe(then);
});

test("one that is to be removed with its end outlives it, once", async () => {
  await running(busybox({ HostConfig: { AutoRemove: true } }));
  await engine.containers.restart("web", {});
  expect(await status()).toBe("running");
  await engine.containers.stop("web", {});
  expect((await refusal(status()))[0]).toBe("not_found");
});

test("who runs a container that goes with its end is told of its last end", async () => {
  const attach = { stdin: false, stdout: false, stderr: false };
  const request = {
    create: busybox({ HostConfig: { AutoRemove: true } }),
    name: "web",
    pull: "never" as const,
    attach,
  };
  const { exited } = await engine.containers.run(request, () => undefined, new AbortController().signal);
  let told = false;
  void exited.then(() => {
    told = true;
  });
  await engine.containers.restart("web", {});
  expect(told).toBe(false);
  world.shims.at(-1)!.end({ exitCode: 5 });
  expect(await exited).toEqual({ StatusCode: 5 });
});

test("what fails is said with the restart's name, and a container that cannot start is stopped", async () => {
  await running();
  expect(await refusal(engine.containers.restart("web", { signal: "NOPE" }))).toEqual([
    "invalid_argument",
    "Cannot restart container web: invalid signal: NOPE",
  ]);
  expect(await status()).toBe("running");
  world.startFailure = new EngineError("command_not_found", "exec: no such program");
  const [code, message] = await refusal(engine.containers.restart("web", {}));
  expect(code).toBe("command_not_found");
  expect(message).toStartWith("Cannot restart container web: ");
  expect(await status()).toBe("exited");
});
