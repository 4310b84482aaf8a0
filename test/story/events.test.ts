/** Events of days ago, over the daemon's death, and who wanted what happened. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { dirname, join } from "node:path";
import { command } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open({ flags: ["--events-max-count", "60", "--events-max-age", "240h"] });
});
afterAll(() => engine[Symbol.asyncDispose]());

interface Event {
  Action: string;
  Type: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  timeNano: number;
  Initiator?: Record<string, unknown>;
}

/** All that the daemon has of that time, as the API gives it. */
async function eventsSince(since: string, filters: Record<string, string[]> = {}): Promise<Event[]> {
  const query = `since=${since}&until=${Date.now() / 1000}&filters=${encodeURIComponent(JSON.stringify(filters))}`;
  const response = await fetch(`http://tsd/events?${query}`, { unix: engine.daemon.socket });
  return (await response.text())
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Event);
}

test("an event says which client wanted it: uid, pid and command, of tsd, docker and whoever else", async () => {
  const id = await engine.start(["--name", "asked"], "sleep", "1000");
  const docker = Bun.spawn(["docker", "-H", `unix://${engine.daemon.socket}`, "kill", "asked"], { stdout: "ignore" });
  expect(await docker.exited).toBe(0);
  const removal = await fetch("http://tsd/containers/asked", { method: "DELETE", unix: engine.daemon.socket });
  expect(removal.status).toBe(204);
  const events = await eventsSince("0", { container: [id] });
  const initiatorOf = (action: string) => events.find(({ Action }) => Action === action)?.Initiator;
  expect(initiatorOf("create")).toMatchObject({ Kind: "client", Uid: 0, Gid: 0, Command: "tsd" });
  expect(initiatorOf("start")).toEqual(initiatorOf("create")!);
  expect(initiatorOf("kill")).toEqual({ Kind: "client", Uid: 0, Gid: 0, Pid: docker.pid, Command: "docker" });
  expect(initiatorOf("destroy")).toMatchObject({ Kind: "client", Pid: process.pid });
  // An end comes by itself.
  expect(events.find(({ Action }) => Action === "die")).not.toHaveProperty("Initiator");
});

test("another user's client is told apart", async () => {
  const id = await engine.start(["--name", "other"], "sleep", "1000");
  chmodSync(dirname(engine.daemon.socket), 0o755);
  chmodSync(engine.daemon.socket, 0o666);
  const words = ["setpriv", "--reuid", "4242", "--regid", "0", "--clear-groups"];
  const argv = [...words, tsd, "--host", `unix://${engine.daemon.socket}`, "kill", "other"];
  const { status, stderr } = await command(argv, { env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent" } });
  expect([status, stderr]).toEqual([0, ""]);
  const [kill] = await eventsSince("0", { container: [id], event: ["kill"] });
  expect(kill?.Initiator).toMatchObject({ Kind: "client", Uid: 4242, Gid: 0, Command: "tsd" });
  await engine.daemon.ok("rm", "-f", "other");
});

test("events outlive a daemon that is killed, for days, and are found by every filter", async () => {
  await engine.start(["--rm", "--name", "past", "-l", "tier=db"], "true");
  await engine.untilNoTrace();
  const before = await eventsSince("0");
  expect(before.find(({ Action, Actor }) => Action === "destroy" && Actor.Attributes.name === "past")).toMatchObject({
    Initiator: { Kind: "engine", Reason: "auto-remove" },
  });
  await engine.daemon.stop("SIGKILL");
  const database = new Database(join(engine.daemon.root, "metadata.db"));
  const days = (count: number) => count * 86_400e6;
  database.run("UPDATE events SET time_micros = time_micros - ?", [days(5)]);
  database.close();
  await engine.daemon.start();
  const after = await eventsSince("0");
  const plain = (events: Event[]) => events.map(({ Action, Actor, Initiator }) => ({ Action, Actor, Initiator }));
  expect(plain(after)).toEqual(plain(before));
  const count = async (since: string, filters: Record<string, string[]>) => (await eventsSince(since, filters)).length;
  const now = Date.now() / 1000;
  expect(await count(`${now - 4 * 86_400}`, {})).toBe(0);
  const sixDays = `${now - 6 * 86_400}`;
  const actions = { event: ["create", "die", "destroy"] };
  expect(await count(sixDays, { container: ["past"], ...actions })).toBe(3);
  expect(await count(sixDays, { label: ["tier=db"], ...actions })).toBe(3);
  expect(await count(sixDays, { image: [engine.busybox], container: ["past"], ...actions })).toBe(3);
  expect(await count(sixDays, { type: ["network"], event: ["connect"] })).toBeGreaterThan(0);
  expect(await count(sixDays, { type: ["volume"] })).toBe(0);
  const who = "{{with .Initiator}}{{.Kind}}{{with .Uid}} uid {{.}}{{end}} {{.Command}}{{.Reason}}{{end}}";
  const told = ["--since", "144h", "--until", "1h", "--filter", "container=other", "--filter", "event=kill"];
  expect(await engine.daemon.ok("events", ...told, "--format", who)).toBe("client uid 4242 tsd");
  expect(await engine.daemon.ok("events", ...told, "--format", "json")).toMatch(
    /"Initiator":\{"Kind":"client","Uid":4242,"Gid":0,"Pid":\d+,"Command":"tsd"\}\}$/,
  );
  // docker's and tsd's own commands, with times as people write them.
  const flags = ["--since", "144h", "--until", "1h", "--filter", "container=past", "--format", "{{.Action}}"];
  expect(await engine.daemon.ok("events", ...flags)).toMatch(/^create\n(attach\n)?start\ndie\ndestroy$/);
  const docker = Bun.spawn(["docker", "-H", `unix://${engine.daemon.socket}`, "events", ...flags], { stdout: "pipe" });
  expect(await docker.stdout.text()).toMatch(/^create\n(attach\n)?start\ndie\ndestroy\n$/);
});

test("what happens while one looks back comes after it, and what is old or too much goes", async () => {
  const volumes = Array.from({ length: 90 }, (_, n) => `v${n}`);
  const seen: string[] = [];
  const follower = new AbortController();
  const response = await fetch("http://tsd/events?since=0&filters=%7B%22type%22%3A%5B%22volume%22%5D%7D", {
    unix: engine.daemon.socket,
    signal: follower.signal,
  });
  const reading = (async () => {
    for await (const chunk of response.body!) seen.push(Buffer.from(chunk).toString());
  })().catch(() => undefined);
  const post = (name: string) =>
    fetch("http://tsd/volumes/create", {
      method: "POST",
      body: JSON.stringify({ Name: name }),
      headers: { "content-type": "application/json" },
      unix: engine.daemon.socket,
    }).then((answer) => answer.text());
  for (const name of volumes) await post(name);
  const all = await eventsSince("0");
  follower.abort();
  await reading;
  const live = seen.join("").split("\n").filter(Boolean);
  expect(live.length).toBe(90);
  // A tenth more may be there until the oldest are looked at, and what was written together.
  expect(all.length).toBeGreaterThanOrEqual(60);
  expect(all.length).toBeLessThanOrEqual(70);
  expect(all.at(-1)?.Actor.ID).toBe("v89");
  expect(all.filter(({ Type }) => Type === "image")).toEqual([]);
  await engine.daemon.ok("volume", "prune", "-af");
});
