/** Restart policies as they are seen from outside: by docker's client, in events and in /proc. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { expectAgreement } from "../harness/audit.ts";
import { type CommandResult, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";
import { playPolicyCrashes } from "./policy-crashes.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open(["--add-runtime", "runc=/usr/sbin/runc"]);
});
afterAll(() => scene.close());

const inspect = (name: string) => scene.daemon.inspect(name);
/** docker's client where what it says is looked at, tsd's own command line for all else: it starts sooner. */
const ok = (...args: string[]) => scene.daemon.ok(...args);
const start = (name: string, policy: string, script: string, ...flags: string[]) =>
  ok("run", "-d", "--name", name, "--restart", policy, ...flags, scene.image, "sh", "-c", script);
const status = async (name: string) => (await inspect(name)).State.Status;
const becomes = (name: string, wanted: string) =>
  until(`${name} is ${wanted}`, async () => (await status(name)) === wanted);

/** The container's events from the beginning until now, without those of networks. */
async function actions(name: string): Promise<string[]> {
  const filters = ["--filter", `container=${name}`, "--filter", "type=container"];
  const until = String(Date.now() / 1000);
  return (await ok("events", "--since", "0", "--until", until, ...filters, "--format", "{{.Action}}")).split("\n");
}

/** When it was started and ended, in milliseconds. */
async function moments(name: string, action: "start" | "die"): Promise<number[]> {
  const filters = ["--filter", `container=${name}`, "--filter", `event=${action}`];
  const until = String(Date.now() / 1000);
  const text = await ok("events", "--since", "0", "--until", until, ...filters, "--format", "{{.TimeNano}}");
  return text.split("\n").map((nanoseconds) => Number(nanoseconds) / 1e6);
}

test("on-failure starts a container as often as it says, each time after twice the time, with docker's events", async () => {
  await start("waiting", "always", "exit 1", "--network", "none");
  await start("failing", "on-failure:3", "echo run; exit 3", "--network", "none");
  await until("it has failed four times", async () => (await inspect("failing")).RestartCount === 3);
  await becomes("failing", "exited");
  expect(await inspect("failing")).toMatchObject({
    RestartCount: 3,
    State: { ExitCode: 3, Restarting: false, Running: false, Error: "" },
  });
  expect(await ok("logs", "failing")).toBe("run\nrun\nrun\nrun");
  expect(await actions("failing")).toEqual(["create", ...Array.from({ length: 4 }, () => ["start", "die"]).flat()]);
  const [starts, ends] = [await moments("failing", "start"), await moments("failing", "die")];
  const waited = [1, 2, 3].map((nth) => starts[nth]! - ends[nth - 1]!);
  for (const [nth, delayMs] of [100, 200, 400].entries()) expect(waited[nth]).toBeGreaterThanOrEqual(delayMs - 1);
  expect(waited[0]).toBeLessThan(waited[2]!);
});

test("a container that waits is shown as docker shows it, takes no attach and no exec, and goes with rm -f", async () => {
  await until("it waits for longer", async () => (await inspect("waiting")).RestartCount >= 4);
  const row = ["ps", "--filter", "status=restarting", "--format", "{{.Names}} {{.State}} {{.Status}}"];
  const refused = `Container ${(await inspect("waiting")).Id} is restarting, wait until the container is running`;
  const refusals: [words: string[], why: string][] = [
    [["exec", "waiting", "true"], refused],
    [["pause", "waiting"], refused],
    [["top", "waiting"], refused],
    [["attach", "waiting"], "cannot attach to a restarting container, wait until it is running"],
    [
      ["rm", "waiting"],
      'cannot remove container "waiting": container is restarting: stop the container before removing',
    ],
    [["run", "--rm", "--network", "container:waiting", scene.image, "true"], refused],
  ];
  let answers: CommandResult[] = [];
  let shown = "";
  await until("all is asked between two runs", async () => {
    const { RestartCount: before } = await inspect("waiting");
    shown = await scene.ok(...row);
    answers = await Promise.all(refusals.map(([words]) => scene.docker(words)));
    const { RestartCount, State } = await inspect("waiting");
    if (RestartCount !== before || !State.Restarting) return false;
    expect(State).toMatchObject({ Running: true, Restarting: true, Paused: false, Pid: 0, ExitCode: 1 });
    return true;
  });
  expect(shown).toMatch(/^waiting restarting Restarting \(1\) .*second.* ago$/);
  for (const [index, { status, stderr }] of answers.entries()) {
    const [words, why] = refusals[index]!;
    expect([words[0], status === 0, stderr]).toEqual([words[0], false, expect.stringContaining(why)]);
  }
  expect(await scene.ok("rm", "-f", "waiting")).toBe("waiting");
  expect(await ok("ps", "-aq")).toBe((await ok("ps", "-aq", "--filter", "name=failing")).trim());
});

/** Ends a container's process behind everybody's back. */
async function crash(name: string): Promise<void> {
  process.kill((await inspect(name)).State.Pid, "SIGKILL");
}

test("whatever ends it starts it again, but stop and kill do not; restart and start count anew", async () => {
  await start("kept", "unless-stopped", "exec sleep 1000", "--network", "none");
  const { Pid } = (await inspect("kept")).State;
  await crash("kept");
  await until(
    "it runs again",
    async () => (await inspect("kept")).State.Pid !== Pid && (await status("kept")) === "running",
  );
  expect((await inspect("kept")).RestartCount).toBe(1);
  await scene.ok("kill", "kept");
  expect(await inspect("kept")).toMatchObject({ RestartCount: 1, State: { Status: "exited", ExitCode: 137 } });
  await scene.ok("start", "kept");
  expect(await inspect("kept")).toMatchObject({ RestartCount: 0, State: { Status: "running" } });
  await crash("kept");
  await becomes("kept", "restarting");
  await scene.ok("stop", "kept");
  expect(await status("kept")).toBe("exited");
  const told = (await actions("kept")).join(" ");
  expect(told).toBe("create start die start kill die start die stop");
});

test("who is attached sees one run to its end, with its status; what cannot be started is not tried again", async () => {
  const words = ["run", "--name", "seen", "--restart", "on-failure:1", "--network", "none", scene.image];
  const seen = await scene.docker([...words, "sh", "-c", "echo run; exit 4"]);
  expect([seen.status, seen.stdout]).toEqual([4, "run\n"]);
  await until("it has been restarted", async () => (await status("seen")) === "exited");
  expect(await ok("logs", "-f", "seen")).toBe("run\nrun");
  const lost = await scene.daemon.tsd(["run", "--name", "lost", "--restart", "always", scene.image, "nosuch"]);
  expect(lost.status).toBe(127);
  expect(await inspect("lost")).toMatchObject({ RestartCount: 0, State: { Status: "created", ExitCode: 127 } });
});

/** A container's process and its shim: what ends with the host. */
async function processes(name: string): Promise<number[]> {
  const { Pid } = (await inspect(name)).State;
  const stat = readFileSync(`/proc/${Pid}/stat`, "utf8");
  return [Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]), Pid];
}

test("a daemon starts what is to run, after what it depends on, and goes on with what waits; what runs is left alone", async () => {
  const compose = (service: string, dependsOn = "") => [
    ...["--label", "com.docker.compose.project=p", "--label", `com.docker.compose.service=${service}`],
    ...["--label", `com.docker.compose.depends_on=${dependsOn}`, "--network", "none"],
  ];
  const health = ["--health-cmd", "test -e /ready", "--health-interval", "100ms", "--health-retries", "99"];
  const sleep = "exec sleep 1000";
  const serve = "rm -f /ready; usleep 300000; touch /ready; exec sleep 1000";
  const alone = ["--network", "none"];
  await Promise.all([
    start("looping", "always", "exit 1", ...alone),
    start("web", "unless-stopped", sleep, ...compose("web", "db:service_healthy:false")),
    start("db", "on-failure", serve, ...compose("db"), ...health),
    start("always-stopped", "always", sleep, ...alone),
    start("unless-stopped-stopped", "unless-stopped", sleep, ...alone),
    start("steady", "unless-stopped", sleep, ...alone),
    ok("create", "--name", "never", "--restart", "always", scene.image, "true"),
  ]);
  await ok("stop", "-t", "0", "always-stopped", "unless-stopped-stopped");
  const { Pid } = (await inspect("steady")).State;
  await until("it waits for long", async () => (await inspect("looping")).RestartCount >= 3);
  const left = await moments("looping", "die");

  const ended = [...(await processes("web")), ...(await processes("db"))];
  await scene.daemon.stop("SIGKILL");
  for (const pid of ended) process.kill(pid, "SIGKILL");
  const since = String(Date.now() / 1000);
  await scene.daemon.start();
  await becomes("web", "running");
  const all = await ok("ps", "-a", "--format", "{{.Names}} {{.State}}");
  for (const line of ["always-stopped running", "unless-stopped-stopped exited", "steady running", "never created"]) {
    expect(all.split("\n")).toContain(line);
  }
  expect((await inspect("steady")).State.Pid).toBe(Pid);
  const filters = ["--filter", "container=web", "--filter", "container=db", "--filter", "type=container"];
  const told = (
    await ok(
      "events",
      "--since",
      since,
      "--until",
      "0s",
      ...filters,
      "--format",
      "{{.Actor.Attributes.name}} {{.Action}}",
    )
  )
    .split("\n")
    .filter((line) => / start$| health_status/.test(line));
  expect(told).toEqual(["db start", "db health_status: healthy", "web start"]);
  await until("it goes on", async () => (await moments("looping", "start")).length > left.length);
  const goneOn = (await moments("looping", "start")).at(-1)! - left.at(-1)!;
  expect(goneOn).toBeGreaterThanOrEqual(399);
  expect((await inspect("looping")).RestartCount).toBeGreaterThanOrEqual(left.length);
  await ok("rm", "-f", "looping");
  await expectAgreement(scene.workspace, scene.daemon);
}, 30_000);

test("a daemon that is killed at random moments loses no restart and no wish to stop", async () => {
  await scene.daemon.removeContainers();
  await playPolicyCrashes(scene, "policy crashes", { rounds: 1, killWithinMs: 300 });
}, 30_000);
