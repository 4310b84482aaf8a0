import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { RestartPolicy } from "../../api/schema/container-config.ts";
import { openDatabase } from "../../core/database.ts";
import type { Engine } from "../engine.ts";
import { busybox, FakeWorld } from "../testing/fake-parts.ts";
import { refusal } from "../testing/refusal.ts";
import type { ContainerEnd } from "./end.ts";
import { nextRestart } from "./restart-policy.ts";

const always: RestartPolicy = { Name: "always" };
const failure: RestartPolicy = { Name: "on-failure" };
const exit = (exitCode: number): ContainerEnd => ({ kind: "exited", exitCode, oomKilled: false });
const unknown: ContainerEnd = { kind: "unknown", reason: "" };
const killed: ContainerEnd = { kind: "signalled", signal: 9, oomKilled: true };

describe("the policy", () => {
  type Case = [policy: RestartPolicy | undefined, end: ContainerEnd, count: number, restarts: boolean];
  const table: Case[] = [
    [undefined, exit(1), 0, false],
    [{ Name: "no" }, exit(1), 0, false],
    [{ Name: "" }, exit(1), 0, false],
    [always, exit(0), 99, true],
    [{ Name: "unless-stopped" }, exit(0), 99, true],
    [failure, exit(0), 0, false],
    [failure, exit(1), 99, true],
    [failure, killed, 0, true],
    [failure, unknown, 0, true],
    [{ ...failure, MaximumRetryCount: 2 }, exit(1), 1, true],
    [{ ...failure, MaximumRetryCount: 2 }, exit(1), 2, false],
  ];
  test("decides by how the container ended and how often it was restarted", () => {
    for (const [policy, end, count, restarts] of table) {
      const next = nextRestart(policy, { end, ranMs: 1, restarts: { count, delayMs: 100 } });
      expect([policy, end, count, next?.count]).toEqual([policy, end, count, restarts ? count + 1 : undefined]);
    }
  });

  test("waits 100 ms, then twice as long each time up to a minute, and begins anew after a run of ten seconds", () => {
    const delays: number[] = [];
    let restarts = nextRestart(always, { end: exit(1), ranMs: 1 });
    for (; delays.length < 12; restarts = nextRestart(always, { end: exit(1), ranMs: 9_999, restarts })) {
      delays.push(restarts!.delayMs);
    }
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    expect(nextRestart(always, { end: exit(1), ranMs: 10_000, restarts })).toEqual({ count: 14, delayMs: 100 });
  });
});

describe("a container with a policy", () => {
  let world: FakeWorld;
  let engine: Engine;
  let actions: string[];

  async function open(): Promise<void> {
    engine = await world.open();
    const events = engine.events.subscribe({}, new AbortController().signal);
    void (async () => {
      for await (const { Type, Action } of events) if (Type === "container") actions.push(Action);
    })();
  }

  beforeEach(async () => {
    world = new FakeWorld();
    actions = [];
    await open();
  });
  afterEach(async () => {
    await engine.close();
    world[Symbol.dispose]();
  });

  const inspect = () => engine.containers.inspect("web", { size: false });
  const state = async () => (await inspect()).State;
  const shim = () => world.shims.at(-1)!;

  async function run(RestartPolicy: RestartPolicy): Promise<void> {
    await engine.containers.create(busybox({ HostConfig: { RestartPolicy } }), { name: "web" });
    await engine.containers.start("web");
  }

  async function becomes(status: string): Promise<void> {
    while ((await state()).Status !== status) await Bun.sleep(1);
  }

  /** Ends it, and waits until it runs again. */
  async function restarted(exitCode = 1): Promise<void> {
    const before = world.shims.length;
    shim().end({ exitCode });
    while (world.shims.length === before) await Bun.sleep(1);
    await becomes("running");
  }

  test("is restarting after its end, then runs; the count is shown until somebody starts it", async () => {
    await run(always);
    shim().end({ exitCode: 3 });
    await becomes("restarting");
    expect(await state()).toMatchObject({ Running: true, Restarting: true, Pid: 0, ExitCode: 3 });
    expect((await inspect()).RestartCount).toBe(1);
    const [row] = await engine.containers.list({ all: false, filters: {}, size: false });
    expect(row).toMatchObject({ State: "restarting", Status: expect.stringMatching(/^Restarting \(3\) .* ago$/) });
    await becomes("running");
    expect(await state()).toMatchObject({ Running: true, Restarting: false, ExitCode: 0 });
    await restarted(0);
    expect((await inspect()).RestartCount).toBe(2);
    expect(actions).toEqual(["create", "start", "die", "start", "die", "start"]);
    await engine.containers.stop("web", {});
    expect((await inspect()).RestartCount).toBe(2);
    await engine.containers.start("web");
    expect((await inspect()).RestartCount).toBe(0);
  });

  test("that may be restarted once is not restarted twice, and not after success", async () => {
    await run({ ...failure, MaximumRetryCount: 1 });
    await restarted();
    shim().end({ exitCode: 4 });
    await becomes("exited");
    expect([(await state()).ExitCode, (await inspect()).RestartCount]).toEqual([4, 1]);
    await engine.containers.start("web");
    shim().end({ exitCode: 0 });
    await becomes("exited");
  });

  const wishes: [string, () => Promise<unknown>, string[]][] = [
    ["stop", () => engine.containers.stop("web", {}), ["stop"]],
    ["kill", () => engine.containers.kill("web", "KILL"), []],
    ["a signal that is to end it", () => engine.containers.kill("web", "TERM"), []],
  ];
  test.each(wishes)("stays ended after %s while it runs, and while it is restarting", async (_verb, wish, told) => {
    await run(always);
    await wish();
    await becomes("exited");
    await engine.containers.start("web");
    shim().end({ exitCode: 1 });
    await becomes("restarting");
    actions = [];
    const over = await engine.containers.wait("web", "not-running", new AbortController().signal);
    await wish();
    expect(await over.exited).toEqual({ StatusCode: 1 });
    await Bun.sleep(0);
    expect([(await state()).Status, actions]).toEqual(["exited", told]);
    const shims = world.shims.length;
    await Bun.sleep(120);
    expect([(await state()).Status, world.shims.length]).toEqual(["exited", shims]);
  });

  test("is restarted after a signal that only means something to it, and after its end by another's hand", async () => {
    const request = busybox({ StopSignal: "INT", HostConfig: { RestartPolicy: { Name: "unless-stopped" } } });
    await engine.containers.create(request, { name: "web" });
    await engine.containers.start("web");
    world.obeysTerm = false;
    await engine.containers.kill("web", "HUP");
    await restarted();
    expect((await inspect()).RestartCount).toBe(1);
  });

  test("that waits is started by restart, removed by force only, and refused what needs a process", async () => {
    await run(always);
    shim().end({ exitCode: 1 });
    await becomes("restarting");
    const words = `Container ${(await inspect()).Id} is restarting, wait until the container is running`;
    const attach = { stdin: false, stdout: true, stderr: true, logs: false, stream: true };
    const { signal } = new AbortController();
    for (const refused of [
      engine.containers.pause("web"),
      engine.containers.attach("web", attach, signal),
      engine.exec.create("web", { Cmd: ["true"] }),
      engine.observation.top("web", []),
    ]) {
      expect(await refusal(refused)).toEqual(["conflict", words]);
    }
    expect((await refusal(engine.containers.start("web")))[0]).toBe("not_modified");
    const kept = await refusal(engine.containers.remove("web", { force: false, volumes: false, link: false }));
    expect(kept[1]).toContain("container is restarting: stop the container before removing or force remove");
    await engine.containers.restart("web", {});
    expect([(await state()).Status, (await inspect()).RestartCount]).toEqual(["running", 0]);
    shim().end({ exitCode: 1 });
    await becomes("restarting");
    await engine.containers.remove("web", { force: true, volumes: false, link: false });
    expect((await refusal(inspect()))[0]).toBe("not_found");
  });

  test("whose restart fails has ended, with the reason; who waits for it hears of that", async () => {
    await run(always);
    shim().end({ exitCode: 1 });
    await becomes("restarting");
    world.startFailure = new Error("no room");
    const over = await engine.containers.wait("web", "not-running", new AbortController().signal);
    expect(await over.exited).toEqual({ StatusCode: 128 });
    expect(await state()).toMatchObject({ Status: "exited", Restarting: false, Error: "no room" });
    world.startFailure = undefined;
  });

  test("that cannot be started without another, which is restarting too, waits for that one", async () => {
    await run(always);
    await engine.containers.create(busybox({ HostConfig: { RestartPolicy: always, NetworkMode: "container:web" } }), {
      name: "guest",
    });
    await engine.containers.start("guest");
    const [web, guest] = world.shims.slice(-2);
    const delayed = Promise.withResolvers<void>();
    world.beforeRun = () => delayed.promise;
    web!.end({ exitCode: 1 });
    guest!.end({ exitCode: 1 });
    await Bun.sleep(150);
    expect((await engine.containers.inspect("guest", { size: false })).State.Status).toBe("restarting");
    delayed.resolve();
    await becomes("running");
    while (!(await engine.containers.inspect("guest", { size: false })).State.Pid) await Bun.sleep(1);
  });

  test("stays ended after a checkpoint that ends it; one that fails changes nothing, and prune leaves what waits", async () => {
    await run(always);
    world.checkpointFailure = new Error("no criu");
    await refusal(engine.checkpoints.create("web", { name: "c0" }, { leaveRunning: false }));
    world.checkpointFailure = undefined;
    shim().end({ exitCode: 1 });
    await becomes("restarting");
    expect((await engine.storage.pruneContainers({})).ContainersDeleted).toEqual([]);
    await becomes("running");
    await engine.checkpoints.create("web", { name: "c1" }, { leaveRunning: false });
    await becomes("exited");
  });

  test("is waited for to its next end, not to its last", async () => {
    await run(always);
    const ends = ["next-exit", "not-running"] as const;
    const waits = await Promise.all(
      ends.map((end) => engine.containers.wait("web", end, new AbortController().signal)),
    );
    shim().end({ exitCode: 7 });
    expect(await Promise.all(waits.map(({ exited }) => exited))).toEqual([{ StatusCode: 7 }, { StatusCode: 7 }]);
  });

  test("a policy that is changed counts from the next end on", async () => {
    await run({ Name: "no" });
    await engine.containers.update("web", { RestartPolicy: always });
    await restarted();
    await engine.containers.update("web", { RestartPolicy: { Name: "no" } });
    shim().end({ exitCode: 1 });
    await becomes("exited");
  });

  describe("after the daemon was killed", () => {
    /** A daemon that is killed writes nothing more; the fake one is closed without having ended anything. */
    async function next(meanwhile: () => unknown = () => undefined): Promise<void> {
      await engine.close();
      await meanwhile();
      actions = [];
      await open();
    }

    test("goes on waiting, as long as was left, and counts on", async () => {
      await run(always);
      await restarted();
      await restarted();
      shim().end({ exitCode: 1 });
      await becomes("restarting");
      await next();
      expect((await state()).Status).toBe("restarting");
      await becomes("running");
      expect((await inspect()).RestartCount).toBe(3);
    });

    test("is restarted when it ended meanwhile, unless somebody had wanted that", async () => {
      await run(failure);
      await next(() => shim().end({ exitCode: 1 }));
      await becomes("running");
      expect((await inspect()).RestartCount).toBe(1);
      world.obeysTerm = false;
      const stopping = engine.containers.stop("web", { timeoutSeconds: -1 });
      await next(() => shim().end({ exitCode: 1 }));
      await becomes("exited");
      void stopping;
    });

    test("starts after the host's end whatever ran, and counts anew; what has no policy has ended, nobody knows how", async () => {
      await run({ ...failure, MaximumRetryCount: 1 });
      await restarted();
      await engine.containers.create(busybox(), { name: "other" });
      await engine.containers.start("other");
      await next(() => {
        for (const shim of world.shims) shim.close();
        using database = openDatabase(world.layout.database, []);
        database.run("UPDATE engine_facts SET value = 'another' WHERE name = 'boot'");
      });
      await becomes("running");
      expect([(await inspect()).RestartCount, world.shims.length]).toEqual([0, 4]);
      const other = await engine.containers.inspect("other", { size: false });
      expect(other.State).toMatchObject({ Status: "exited", ExitCode: 255, Error: expect.stringContaining("host") });
    });

    test("says in whose name it was started: the policy's, or the daemon's that has begun", async () => {
      const { signal } = new AbortController();
      await run(always);
      await restarted();
      await engine.containers.stop("web", {});
      await next();
      await becomes("running");
      const reasons: unknown[] = [];
      for await (const { Action, Initiator } of engine.events.subscribe({ sinceNano: 0n }, signal)) {
        if (Action === "start" && reasons.push(Initiator) === 3) break;
      }
      const engines = (Reason: string) => ({ Kind: "engine", Reason });
      expect(reasons).toEqual([undefined, engines("policy"), engines("boot")]);
    });

    test("always is started whatever was done, unless-stopped what nobody had stopped, others are not", async () => {
      const names: [string, RestartPolicy][] = [
        ["a", always],
        ["u", { Name: "unless-stopped" }],
        ["f", failure],
        ["n", { Name: "no" }],
      ];
      for (const [name, RestartPolicy] of names) {
        for (const how of ["stopped", "never"]) {
          await engine.containers.create(busybox({ HostConfig: { RestartPolicy } }), { name: `${name}-${how}` });
        }
        await engine.containers.start(`${name}-stopped`);
        await engine.containers.stop(`${name}-stopped`, {});
      }
      await run(always);
      shim().end({ exitCode: 1 });
      await becomes("restarting");
      world.startFailure = new Error("no room");
      await becomes("exited");
      world.startFailure = undefined;
      await next();
      await becomes("running");
      const running = async () =>
        (await engine.containers.list({ all: false, filters: {}, size: false })).map(({ Names }) => Names[0]).sort();
      while ((await running()).length < 2) await Bun.sleep(1);
      expect(await running()).toEqual(["/a-stopped", "/web"]);
    });
  });
});
