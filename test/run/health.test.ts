/** Containers are asked how they are: by commands, observed with the docker client's words, from events and from /proc. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { EventInitiator, EventMessage } from "../../src/api/schema/event.ts";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { LiveCommand } from "../harness/live.ts";

let engine: Engine;
let events: LiveCommand;
beforeAll(async () => {
  engine = await Engine.open();
  listen();
});
afterAll(async () => {
  await events[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

/** Those that are asked so often take a processor's time from the next test. */
afterEach(() => engine.daemon.removeContainers());

/** From now on: for as long as the daemon lives. With what docker's events have beside Docker's own. */
function listen(): void {
  const socket = ["--no-buffer", "--silent", "--unix-socket", engine.daemon.socket];
  events = new LiveCommand(["curl", ...socket, "http://tsd/events"]);
}

const often = ["--health-interval", "50ms", "--health-retries", "2"];

/** Starts a container that sleeps, and is healthy as long as /tmp/ok is there. */
function watched(name: string, ...flags: string[]): Promise<string> {
  return awaited(name, "touch /tmp/ok; exec sleep 1000", ...flags);
}

/** The same, where the program has to do that itself. */
function awaited(name: string, script: string, ...flags: string[]): Promise<string> {
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
  await awaited(
    "web",
    "exec sleep 1000",
    "-u",
    "alice",
    "-w",
    "/tmp",
    "--health-start-period",
    "5s",
    "--health-start-interval",
    "300ms",
  );
  expect(await health("web")).toMatchObject({ Status: "starting", FailingStreak: 0 });
  expect(await engine.daemon.ok("ps", "--format", "{{.Status}}")).toMatch(/^Up .* \(health: starting\)$/);
  // In the start period failures do not count.
  await engine.daemon.ok("exec", "web", "touch", "/tmp/ok");
  await untilHealth("web", "healthy");
  expect(await engine.daemon.ok("ps", "--format", "{{.Status}}")).toMatch(/^Up .* \(healthy\)$/);
  expect((await health("web"))!.Log!.at(-1)).toMatchObject({ ExitCode: 0, Output: "asked by alice in /tmp\n" });
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
  const before = heard("web").slice(0, told.indexOf("health_status: healthy"));
  const probes = before.filter(({ Action }) => Action === `exec_create: ${command}`);
  const ids = probes.map(({ Actor }) => Actor.Attributes.execID);
  const ends = before.filter(({ Action, Actor }) => Action === "exec_die" && ids.includes(Actor.Attributes.execID));
  const probe = ends.at(-1)!.Actor.Attributes;
  expect(probe).toMatchObject({ exitCode: "0" });
  const ofProbe = heard("web").filter(({ Actor }) => Actor.Attributes.execID === probe.execID);
  expect(ofProbe.map(({ Action }) => Action)).toEqual([
    `exec_create: ${command}`,
    `exec_start: ${command}`,
    "exec_die",
  ]);
  // Nobody asks any longer: as in Docker.
  expect(await health("web")).toMatchObject({ Status: "unhealthy", Log: { length: 5 } });
});

test("a probe that takes too long ends with all that it has started, and says what it had said", async () => {
  const script = "echo begun; (setsid sleep 777 &) ; sleep 777 & (sleep 777); echo no";
  const flags = ["--health-cmd", script, "--health-timeout", "300ms", ...often, "--health-retries", "1"];
  await engine.start(["--name", "slow", "--network", "none", ...flags], "sleep", "1000");
  await untilHealth("slow", "unhealthy");
  // On a busy machine it may have said nothing in that time.
  const said = "Health check exceeded timeout (300ms): begun\n";
  await until("it says what it had said", async () =>
    (await health("slow"))!.Log!.some(({ ExitCode, Output }) => ExitCode === -1 && Output === said),
  );
  await engine.daemon.ok("pause", "slow");
  await engine.daemon.ok("unpause", "slow");
  await until("nothing is left of it", async () => !(await processes("slow")).includes("sleep 777"));
});

test("what a probe says is kept up to 4096 bytes; an image's check is taken over, or not wanted", async () => {
  const loud = ["--health-cmd", "yes 0123456789 | head -c 100000", ...often];
  await engine.start(["--name", "loud", "--network", "none", ...loud], "sleep", "1000");
  await engine.daemon.ok(
    "commit",
    "-c",
    'HEALTHCHECK --retries=1 CMD ["nothing", "here"]',
    "-p=false",
    "loud",
    "checked",
  );
  const run = (...flags: string[]) =>
    engine.daemon.ok("run", "-d", "--network", "none", ...flags, "checked", "sleep", "1000");
  await Promise.all([
    run("--name", "missing", "--health-interval", "50ms"),
    run("--name", "unasked", "--no-healthcheck"),
  ]);
  await untilHealth("loud", "healthy");
  const { Output, Start, End } = (await health("loud"))!.Log![0]!;
  expect([Output.length, Output.slice(-14)]).toEqual([4099, "456789\n0123..."]);
  expect(Date.parse(End)).toBeGreaterThanOrEqual(Date.parse(Start));
  await untilHealth("missing", "unhealthy");
  expect((await health("missing"))!.Log![0]).toMatchObject({
    ExitCode: -1,
    Output: expect.stringContaining('exec: "nothing": executable file not found in $PATH'),
  });
  expect(await health("unasked")).toBeUndefined();
});

test("a paused container keeps its health and is not asked; a daemon that was killed is followed by one that goes on", async () => {
  await Promise.all([watched("still"), watched("going"), watched("ending")]);
  await Promise.all(["still", "going", "ending"].map((name) => untilHealth(name, "healthy")));
  await engine.daemon.ok("pause", "still");
  const stuck = "test -e /tmp/stuck || exit 0; rm /tmp/stuck; sleep 555 & sleep 555";
  await engine.start(["--name", "stuck", "--network", "none", "--health-cmd", stuck, ...often], "sleep", "1000");
  await untilHealth("stuck", "healthy");
  await engine.daemon.ok("exec", "stuck", "touch", "/tmp/stuck");
  await until("a probe hangs", async () => (await processes("stuck")).includes("sleep 555"));
  await engine.daemon.ok("exec", "going", "rm", "/tmp/ok");
  await untilHealth("going", "unhealthy");
  const before = { still: await health("still"), going: await health("going") };
  const { Pid } = (await engine.daemon.inspect("ending")).State;
  await engine.daemon.stop("SIGKILL");
  process.kill(Pid, "SIGKILL");
  await engine.daemon.start();
  listen();
  expect(await health("still")).toEqual(before.still);
  expect((await health("going"))!.Status).toBe("unhealthy");
  expect((await health("going"))!.FailingStreak).toBeGreaterThanOrEqual(before.going!.FailingStreak);
  expect((await health("ending"))!.Status).toBe("unhealthy");
  await until("the probe that was left is ended", async () => !(await processes("stuck")).includes("sleep 555"));
  await engine.daemon.ok("exec", "going", "touch", "/tmp/ok");
  await untilHealth("going", "healthy");
  expect(await health("still")).toEqual(before.still);
  await engine.daemon.ok("unpause", "still");
  await until(
    "it is asked again",
    async () => (await health("still"))!.Log!.at(-1)!.Start !== before.still!.Log!.at(-1)!.Start,
  );
  expect((await health("still"))!.FailingStreak).toBe(0);
});

/** A web server in a container whose page can be taken away, asked without a process in it. */
function served(name: string, asked: string[], ...flags: string[]): Promise<string> {
  const script = "mkdir -p /www; echo fine > /www/ok; exec httpd -f -p 127.0.0.1:8080 -h /www";
  return engine.start(["--name", name, ...asked, ...often, ...flags], "sh", "-c", script);
}

test("ports of the container's own network are asked without a process in it, whatever network and users it has", async () => {
  const page = ["--health-http", "8080/ok"];
  await Promise.all([
    served("alone", page, "--network", "none"),
    served("bridged", ["--health-http", "http://localhost:8080/ok"], "--userns", "auto"),
    served("hosts", ["--health-tcp", "127.0.0.1:8080"], "--network", "host"),
    served("absent", ["--health-tcp", "9"], "--network", "none"),
  ]);
  await Promise.all(["alone", "bridged", "hosts"].map((name) => untilHealth(name, "healthy")));
  const joined = ["--network", "container:alone", "--health-http", "8080/no", "--health-on-failure", "none", ...often];
  await engine.start(["--name", "joined", ...joined], "sleep", "1000");
  await Promise.all(["absent", "joined"].map((name) => untilHealth(name, "unhealthy")));
  expect((await health("alone"))!.Log![0]!.Output).toBe("HTTP/1.1 200 OK");
  expect((await health("hosts"))!.Log![0]!.Output).toBe("connected to 127.0.0.1:8080");
  expect((await health("absent"))!.Log![0]!.Output).toBe("connect 127.0.0.1:9: ECONNREFUSED (connection refused)");
  expect((await health("joined"))!.Log!.at(-1)!.Output).toStartWith("HTTP/1.1 404 Not Found\n");
  expect(actions("alone").filter((action) => action.startsWith("exec"))).toEqual([]);
  const { Healthcheck } = (await engine.daemon.inspect("alone")).Config;
  expect(Healthcheck).toEqual({ HTTP: "8080/ok", Interval: 50e6, Retries: 2 });
  await engine.daemon.ok("exec", "alone", "rm", "/www/ok");
  await untilHealth("alone", "unhealthy");
});

test("an unhealthy container is restarted, stopped or killed where that is asked for, and events say that it was for its health", async () => {
  const onFailure = (action: string, ...flags: string[]) =>
    watched(action, "--health-on-failure", action, "--stop-timeout", "0", ...flags);
  await Promise.all([onFailure("restart"), onFailure("stop", "--restart", "always"), onFailure("kill", "--rm")]);
  const names = ["restart", "stop", "kill"];
  await Promise.all(names.map((name) => untilHealth(name, "healthy")));
  const { StartedAt } = (await engine.daemon.inspect("restart")).State;
  await Promise.all(names.map((name) => engine.daemon.ok("exec", name, "rm", "/tmp/ok")));
  await until("it runs anew", async () => (await engine.daemon.inspect("restart")).State.StartedAt !== StartedAt);
  await untilHealth("restart", "healthy");
  await until("it has stopped", async () => (await engine.daemon.inspect("stop")).State.Status === "exited");
  await until("it is removed", () => actions("kill").includes("destroy"));
  for (const name of names) {
    const ends = heard(name).filter(({ Action }) => ["kill", "stop", "restart"].includes(Action));
    expect(ends.length).toBeGreaterThan(0);
    const health: EventInitiator = { Kind: "engine", Reason: "health" };
    expect(ends.map(({ Action, Initiator }) => [Action, Initiator])).toEqual(
      ends.map(({ Action }) => [Action, health]),
    );
  }
  const { stdout } = await engine.tsd(["why", "kill"]);
  expect(stdout).toMatch(/^It was ended by SIGKILL, which `kill` of its health check had sent it\.$/m);
  expect(stdout).toMatch(/^ +Health: +\S+ +exit status 1: asked by root in \/$/m);
});

test.each<[string, string[], string]>([
  ["a name", ["--health-http", "http://db/"], 'HTTP in Healthcheck: "http://db/" has the name "db" in it'],
  ["no port", ["--health-tcp", "0"], 'TCP in Healthcheck: "0" has no port from 1 to 65535'],
  ["two ways", ["--health-cmd", "true", "--health-tcp", "1"], "Test and TCP in Healthcheck: there can be one of them"],
  ["an unknown action", ["--health-on-failure", "pray"], 'OnFailure in Healthcheck: invalid action "pray"; use one of'],
  [
    "no check",
    ["--health-on-failure", "kill"],
    "OnFailure in Healthcheck: cannot kill a container that has no health check",
  ],
  [
    "a microsecond",
    ["--health-cmd", "true", "--health-interval", "1us"],
    "Interval in Healthcheck cannot be less than 1ms",
  ],
  ["neither", ["--no-healthcheck", "--health-tcp", "1"], "--no-healthcheck conflicts with --health-* options"],
])("a check with %s is refused", async (_name, flags, reason) => {
  const { status, stderr } = await engine.tsd(["create", ...flags, engine.busybox]);
  expect(status).not.toBe(0);
  expect(stderr).toContain(reason);
});
