/** Ten ways to die, and what `tsd why` says of each. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerStory } from "../../src/api/schema/story.ts";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

async function why(container: string, ...flags: string[]): Promise<ContainerStory> {
  return JSON.parse(await engine.daemon.ok("why", "--format", "json", ...flags, container)) as ContainerStory;
}

function text(container: string): Promise<string> {
  return engine.daemon.ok("why", container);
}

/** Runs a container to its end by itself. */
function run(name: string, flags: string[], script: string) {
  return engine.tsd(["run", "--name", name, ...flags, engine.busybox, "sh", "-c", script]);
}

const sleeping = ["sh", "-c", "echo ready; exec sleep 1000"];
/** Ends with SIGTERM, by status 4. */
const heeding = ["sh", "-c", "trap 'exit 4' TERM; sleep 1000 & echo ready; wait"];

async function ready(name: string, flags: string[], command: string[]): Promise<string> {
  const id = await engine.start(["--name", name, ...flags], ...command);
  await engine.untilLogs(name, "ready");
  return id;
}

const client = (Command: string) => ({ Kind: "client", Uid: 0, Command });

test("one that exits by itself: with which status, by whom it was started, and its last lines", async () => {
  await run("itself", [], "for n in 1 2 3; do echo out $n; done; echo err >&2; exit 3");
  const story = await why("itself", "-n", "3");
  expect(story).toMatchObject({ Cause: "itself", Status: "exited", ExitCode: 3, Sent: [], Next: [] });
  expect(story.StartedBy).toMatchObject(client("tsd"));
  expect(story.Summary).toBe("It ended by itself with exit status 3.");
  expect(story.LastLines.sort()).toEqual(["err", "out 2", "out 3"].sort());
  expect(await text("itself")).toMatch(
    /^itself \([0-9a-f]{12}, .*\): exited\nIt ended by itself .*\n(.*\n)*Last lines:\n {2}/,
  );
  await run("success", [], "exit 0");
  expect((await why("success")).Summary).toBe("It ended by itself with exit status 0, which is success.");
});

test("one that is asked to stop and heeds it", async () => {
  await ready("heeds", [], heeding);
  await engine.daemon.ok("stop", "heeds");
  const story = await why("heeds");
  expect(story).toMatchObject({ Cause: "asked", ExitCode: 4, Sent: [{ Signal: "SIGTERM", Verb: "stop" }] });
  expect(story.Sent[0]?.Initiator).toMatchObject(client("tsd"));
  expect(story.Summary).toMatch(
    /^It ended with exit status 4, \d+\.\d s after `stop` of tsd \(pid \d+, uid 0\) had sent it SIGTERM\.$/,
  );
});

test("one that is asked to stop and does not heed it", async () => {
  await ready("deaf", [], ["sh", "-c", "trap '' TERM; echo ready; exec sleep 1000"]);
  const docker = Bun.spawn(["docker", "-H", `unix://${engine.daemon.socket}`, "stop", "-t", "0", "deaf"]);
  expect(await docker.exited).toBe(0);
  const story = await why("deaf");
  expect(story).toMatchObject({ Cause: "asked", ExitCode: 137, Signal: "SIGKILL" });
  expect(story.Sent.map(({ Signal, Verb }) => `${Verb} ${Signal}`)).toEqual(["stop SIGTERM", "stop SIGKILL"]);
  expect(story.Sent[1]?.Initiator).toMatchObject({ ...client("docker"), Pid: docker.pid });
  expect(story.Summary).toMatch(/SIGKILL, which `stop` of docker .* after SIGTERM, which had not ended it\.$/);
});

test("one that a client kills with a signal", async () => {
  await ready("killed", [], heeding);
  await engine.daemon.ok("kill", "-s", "USR1", "killed");
  await engine.daemon.ok("kill", "killed");
  const story = await why("killed");
  expect(story).toMatchObject({ Cause: "asked", Signal: "SIGKILL", Sent: [{ Signal: "SIGUSR1" }, { Verb: "kill" }] });
  expect(story.Summary).toMatch(/^It was ended by SIGKILL, which `kill` of tsd \(pid \d+, uid 0\) had sent it\.$/);
});

test("one that somebody kills behind tsd's back, and one that crashes", async () => {
  const host = "It was ended by SIGKILL, which tsd did not send: a process of the host, or the kernel did.";
  for (const [signal, flags, cause, summary] of [
    ["SIGKILL", [], "outside", host],
    // The first process of a pid namespace is spared signals that it does not handle.
    ["SIGSEGV", ["--pid", "host"], "crash", "It crashed by SIGSEGV: an access to memory that is not its own."],
  ] as const) {
    const id = await ready(signal, [...flags], sleeping);
    process.kill(Number(await engine.inspect(id, "{{.State.Pid}}")), signal);
    await engine.daemon.ok("wait", id);
    expect(await why(id)).toMatchObject({ Cause: cause, Signal: signal, Sent: [], Summary: summary });
  }
});

test("one that the kernel ends for want of memory: with the figures, and which process", async () => {
  await run("greedy", ["--memory", "16m", "--memory-swap", "16m"], "x=$(yes | head -c 100000000); echo $x");
  const story = await why("greedy");
  const limit = 16 * 2 ** 20;
  expect(story).toMatchObject({ Cause: "memory", Memory: { LimitBytes: limit } });
  expect(story.Memory!.Kills).toBeGreaterThan(0);
  expect(story.Memory!.PeakBytes ?? limit).toBeGreaterThan(limit / 2);
  expect(story.Memory!.Process).toMatchObject({ Name: "sh" });
  expect(story.Summary).toContain("for want of memory");
  expect(story.Summary).toMatch(/\(limit 16MiB, at most 1[56](\.\d+)?MiB in use\), the last sh \(pid \d+\)/);
  expect(await engine.inspect("greedy", "{{.State.OOMKilled}}")).toBe("true");
});

async function actionsOf(id: string): Promise<string[]> {
  const flags = ["--since", "0", "--until", `${(Date.now() + 1) / 1000}`, "--filter", `container=${id}`];
  return (await engine.daemon.ok("events", ...flags, "--format", "{{.Action}}")).split("\n");
}

test("want of memory is an event when it happens, also of a process that is not the first, and once for a run", async () => {
  expect((await actionsOf("greedy")).filter((action) => action === "oom" || action === "die")).toEqual(["oom", "die"]);
  const id = await ready("child", ["--memory", "16m", "--memory-swap", "16m"], heeding);
  const greedy = "dd if=/dev/zero of=/dev/null bs=100M count=1; true";
  await engine.tsd(["exec", "child", "sh", "-c", greedy]);
  await until("it is told", async () => (await actionsOf(id)).includes("oom"));
  expect(await engine.inspect(id, "{{.State.Running}}")).toBe("true");
  await engine.daemon.ok("stop", id);
  expect((await actionsOf(id)).filter((action) => action === "oom")).toEqual(["oom"]);
  const { Cause, Summary, Memory } = await why(id);
  expect([Cause, Memory?.Process?.Name]).toEqual(["asked", "dd"]);
  expect(Summary).toMatch(/had sent it SIGTERM\. The kernel ended 1 of its processes for want of memory/);
});

test("one that cannot be started", async () => {
  await engine.tsd(["run", "--name", "absent", engine.busybox, "no-such-program"]);
  const story = await why("absent");
  expect(story).toMatchObject({ Cause: "start-failed", Status: "created", ExitCode: 127, LastLines: [] });
  expect(story.Error).toContain("no-such-program");
  expect(story.Summary).toContain("Exit status 127, as of a command that is not there.");
});

function killShim(id: string): void {
  const path = join(engine.daemon.state, "containers", id, "shim.json");
  process.kill((JSON.parse(readFileSync(path, "utf8")) as { shimPid: number }).shimPid, "SIGKILL");
}

test("one whose shim is killed", async () => {
  const id = await ready("orphan", [], sleeping);
  killShim(id);
  await engine.untilInspect(id, "{{.State.Status}}", "exited");
  const story = await why("orphan");
  expect(story).toMatchObject({ Cause: "shim-killed", ExitCode: 255, LastLines: ["ready"] });
  expect(story.Summary).toContain("its shim, was killed");
});

test("one that was removed, by force or with its end: from events, with its last lines", async () => {
  await ready("forced", [], sleeping);
  await engine.daemon.ok("rm", "-f", "forced");
  const forced = await why("forced");
  expect(forced).toMatchObject({ Status: "removed", Cause: "asked", Sent: [{ Signal: "SIGKILL", Verb: "remove" }] });
  expect(forced).toMatchObject({ LastLines: ["ready"], Next: [{ Action: "destroy", Initiator: client("tsd") }] });
  await run("brief", ["--rm"], "echo last words; exit 9");
  const story = await until("the removal is told of", async () => {
    const { stdout, status } = await engine.tsd(["why", "--format", "json", "brief"]);
    return status === 0 && (JSON.parse(stdout) as ContainerStory);
  });
  expect(story).toMatchObject({ Status: "removed", Cause: "itself", ExitCode: 9, LastLines: ["last words"] });
  expect(story.Next).toMatchObject([{ Action: "destroy", Initiator: { Kind: "engine", Reason: "auto-remove" } }]);
});

test("one that its policy has started again, whose last run it tells of", async () => {
  await engine.start(
    ["--name", "again", "--restart", "on-failure"],
    "sh",
    "-c",
    "test -e /x && exec sleep 1000; echo 1; touch /x; exit 6",
  );
  await engine.untilInspect("again", "{{.State.Status}} {{.RestartCount}}", "running 1");
  const story = await why("again");
  expect(story).toMatchObject({ Status: "running", Cause: "itself", ExitCode: 6, RestartCount: 1, LastLines: ["1"] });
  expect(story.Next).toMatchObject([{ Action: "start", Initiator: { Kind: "engine", Reason: "policy" } }]);
  await engine.daemon.ok("rm", "-f", "again");
});

test("one that its health check has ended", async () => {
  const flags = ["--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1"];
  const id = await engine.start([...flags, "--health-on-failure", "kill", "--name", "ill"], ...sleeping);
  await engine.untilInspect(id, "{{.State.Status}}", "exited");
  const story = await why("ill");
  expect(story).toMatchObject({ Cause: "asked", Signal: "SIGKILL" });
  expect(story.Sent).toMatchObject([{ Verb: "kill", Initiator: { Kind: "engine", Reason: "health" } }]);
  expect(story.Summary).toBe("It was ended by SIGKILL, which `kill` of its health check had sent it.");
});

test("one that runs, or never did, has no end; one that nobody knows has no story", async () => {
  await ready("runs", [], sleeping);
  expect(await why("runs")).toMatchObject({ Cause: "none", Status: "running", Next: [] });
  await engine.daemon.ok("create", "--name", "never", engine.busybox);
  expect((await why("never")).Summary).toBe("It was never started.");
  const { status, stderr } = await engine.tsd(["why", "nobody"]);
  expect([status, stderr.split("\n")[0]]).toEqual([1, "Error response from daemon: No such container: nobody"]);
  expect((await engine.tsd(["why", "--format", "yaml", "runs"])).status).toBe(125);
});

test("one that ended while no daemon was there: the signal of the one that was killed, and the host's restart", async () => {
  const asked = await ready("asked", [], ["sh", "-c", "trap 'sleep 0.3; exit 5' TERM; sleep 1000 & echo ready; wait"]);
  const rebooted = await ready("rebooted", [], sleeping);
  await engine.daemon.ok("kill", "-s", "TERM", asked);
  const database = new Database(join(engine.daemon.root, "metadata.db"), { readonly: true });
  const kills = () => database.query("SELECT 1 FROM events WHERE action = 'kill' AND actor = ?").all(asked).length;
  await until("the event is written", async () => kills() === 1);
  database.close();
  await engine.daemon.stop("SIGKILL");
  killShim(rebooted);
  // The kernel's name of this boot, as the next daemon compares it.
  const facts = new Database(join(engine.daemon.root, "metadata.db"));
  facts.run("UPDATE engine_facts SET value = 'another' WHERE name = 'boot'");
  facts.close();
  await engine.daemon.start();
  await engine.untilInspect(asked, "{{.State.Status}}", "exited");
  expect(await why(asked)).toMatchObject({ Cause: "asked", ExitCode: 5, Sent: [{ Signal: "SIGTERM", Verb: "kill" }] });
  const story = await why("rebooted");
  expect(story).toMatchObject({ Cause: "host-restarted", ExitCode: 255, LastLines: ["ready"] });
  expect(story.Summary).toBe("How it ended is not known: the host was restarted while it ran.");
});
