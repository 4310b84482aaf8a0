/** Containers are asked how they are: by commands, observed with the docker client's words, from events and from /proc. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { EventMessage } from "../../src/api/schema/event.ts";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { LiveCommand } from "../harness/live.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
let events: LiveCommand;
beforeAll(async () => {
  engine = await Engine.open();
  events = new LiveCommand([tsd, "events", "--format", "{{json .}}"], engine.daemon.env);
});
afterAll(async () => {
  await events[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

const often = ["--health-interval", "50ms", "--health-retries", "2"];

/** Starts a container that sleeps, and is healthy as long as /tmp/ok is there. */
function watched(name: string, ...flags: string[]): Promise<string> {
  const script = "touch /tmp/ok; exec sleep 1000";
  const check = ["--health-cmd", "echo asked by $(id -un) in $PWD; test -e /tmp/ok", ...often];
  return engine.start(["--name", name, "--network", "none", ...check, ...flags], "sh", "-c", script);
}

async function health(name: string) {
  return (await engine.daemon.inspect(name)).State.Health;
}

async function untilHealth(name: string, status: string): Promise<void> {
  await until(`${name} is ${status}`, async () => (await health(name))?.Status === status);
}

/** What has happened to a container so far. */
function heard(name: string): EventMessage[] {
  const lines = events.stdout.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line)).filter(({ Actor }) => Actor.Attributes.name === name);
}

const actions = (name: string) => heard(name).map(({ Action }) => Action);

/** The commands of processes in the container's pid namespace. */
async function processes(name: string): Promise<string> {
  return engine.daemon.ok("top", name, "-o", "pid,args");
}

test("a container is starting, healthy, unhealthy and healthy again, which inspect, ps, its filter and events say", async () => {
  await watched("web", "-u", "alice", "-w", "/tmp", "--health-start-interval", "1s");
  expect(await health("web")).toEqual({ Status: "starting", FailingStreak: 0, Log: [] });
  expect(await engine.daemon.ok("ps", "--format", "{{.Status}}")).toMatch(/^Up .* \(health: starting\)$/);
  await untilHealth("web", "healthy");
  expect(await engine.daemon.ok("ps", "--format", "{{.Status}}")).toMatch(/^Up .* \(healthy\)$/);
  expect((await health("web"))!.Log![0]).toMatchObject({ ExitCode: 0, Output: "asked by alice in /tmp\n" });
  await engine.daemon.ok("exec", "web", "rm", "/tmp/ok");
  await untilHealth("web", "unhealthy");
  expect((await health("web"))!.FailingStreak).toBeGreaterThanOrEqual(2);
  const listed = (value: string) =>
    engine.daemon.ok("ps", "-a", "--filter", `health=${value}`, "--format", "{{.Names}}");
  expect(await Promise.all(["unhealthy", "healthy", "none"].map(listed))).toEqual(["web", "", ""]);
  await until("five are kept", async () => (await health("web"))!.Log!.length === 5);
  await engine.daemon.ok("exec", "web", "touch", "/tmp/ok");
  await untilHealth("web", "healthy");
  expect((await health("web"))!.FailingStreak).toBe(0);
  await engine.daemon.ok("stop", "-t", "0", "web");
  await until("its end is heard", () => actions("web").includes("stop"));
  const told = actions("web");
  expect(told.filter((action) => action.startsWith("health_status"))).toEqual([
    "health_status: healthy",
    "health_status: unhealthy",
    "health_status: healthy",
  ]);
  const command = "/bin/sh -c echo asked by $(id -un) in $PWD; test -e /tmp/ok";
  const first = told.indexOf(`exec_create: ${command}`);
  expect(told.slice(first, first + 4)).toEqual([
    `exec_create: ${command}`,
    `exec_start: ${command}`,
    "exec_die",
    "health_status: healthy",
  ]);
  expect(heard("web").find(({ Action }) => Action === "exec_die")!.Actor.Attributes).toMatchObject({ exitCode: "0" });
  // Nobody asks any longer: as in Docker.
  expect(await health("web")).toMatchObject({ Status: "unhealthy", Log: { length: 5 } });
});

test("a probe that takes too long ends with all that it has started, and says what it had said", async () => {
  const script = "echo begun; (setsid sleep 777 &) ; sleep 777 & (sleep 777); echo no";
  const flags = ["--health-cmd", script, "--health-timeout", "300ms", ...often, "--health-retries", "1"];
  await engine.start(["--name", "slow", "--network", "none", ...flags], "sleep", "1000");
  await untilHealth("slow", "unhealthy");
  expect((await health("slow"))!.Log![0]).toMatchObject({
    ExitCode: -1,
    Output: "Health check exceeded timeout (300ms): begun\n",
  });
  await engine.daemon.ok("pause", "slow");
  await engine.daemon.ok("unpause", "slow");
  await until("nothing is left of it", async () => !(await processes("slow")).includes("sleep 777"));
});
