/** Restart policies as they are seen from outside: by docker's client, in events and in /proc. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
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
  await start("waiting", "always", "exit 1", "--network", "none");
  await until("it waits for longer", async () => (await inspect("waiting")).RestartCount >= 4);
  await becomes("waiting", "restarting");
  const { Id, State } = await inspect("waiting");
  expect(State).toMatchObject({ Running: true, Restarting: true, Paused: false, Pid: 0, ExitCode: 1 });
  const row = ["ps", "--filter", "status=restarting", "--format", "{{.Names}} {{.State}} {{.Status}}"];
  expect(await scene.ok(...row)).toMatch(/^waiting restarting Restarting \(1\) Less than a second ago$/);
  const refused = `Container ${Id} is restarting, wait until the container is running`;
  for (const [words, why] of [
    [["exec", "waiting", "true"], refused],
    [["pause", "waiting"], refused],
    [["top", "waiting"], refused],
    [["attach", "waiting"], "cannot attach to a restarting container, wait until it is running"],
    [
      ["rm", "waiting"],
      'cannot remove container "waiting": container is restarting: stop the container before removing',
    ],
    [["run", "--rm", "--network", "container:waiting", scene.image, "true"], refused],
  ] as const) {
    const { status, stderr } = await scene.docker([...words]);
    expect([words[0], status === 0, stderr]).toEqual([words[0], false, expect.stringContaining(why)]);
  }
  expect(await scene.ok("rm", "-f", "waiting")).toBe("waiting");
  expect(await ok("ps", "-aq")).toBe((await ok("ps", "-aq", "--filter", "name=failing")).trim());
});
