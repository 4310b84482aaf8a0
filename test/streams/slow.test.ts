/** Readers that do not read, clients and daemons that are killed in the middle: nothing is lost, and nobody else waits. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { tsd } from "../harness/workspace.ts";
import { connections } from "./connections.ts";
import { HeldPipe } from "./held-pipe.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

const count = 10_000;
const width = 256;
/** 2.6 MB of numbered lines, more than all buffers on the way hold; few, for each is a record of the log. */
const numbers = Array.from({ length: count }, (_, index) => `${index}`.padStart(width, "0"))
  .join("\n")
  .concat("\n");
const writeNumbers = `awk 'BEGIN { for (i = 0; i < ${count}; i++) printf "%0${width}d\\n", i }'`;
/** Says that it was told to end, goes on to the last number, and then ends with 7. */
const script = `trap 'touch /told' TERM; ${writeNumbers} & wait; wait; exit 7`;

function spawn(pipe: HeldPipe, args: string[]): Bun.Subprocess {
  const child = Bun.spawn([tsd, ...args], {
    stdin: "ignore",
    stdout: pipe.writer,
    stderr: "inherit",
    env: { ...process.env, ...engine.daemon.env },
  });
  pipe.started();
  return child;
}

function memoryKiB(pid: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}

/** Waits until the container waits for its reader: its log does not grow any more, although it has not ended. */
async function untilHeldUp(container: string): Promise<void> {
  const path = await until(`${container} is there`, async () => {
    const inspected = await engine.daemon.inspect(container).catch(() => undefined);
    return inspected?.LogPath || undefined;
  });
  let [last, looks] = [0, 0];
  await until(`${container} is held up`, () => {
    const bytes = existsSync(path) ? statSync(path).size : 0;
    looks = bytes === last && bytes > 0 ? looks + 1 : 0;
    last = bytes;
    return looks === 30;
  });
  expect((await engine.daemon.inspect(container)).State.Running).toBe(true);
}

/** How many clients have attached to a container so far. */
async function attachments(container: string): Promise<number> {
  const filters = JSON.stringify({ container: [container], event: ["attach"] });
  const query = new URLSearchParams({ since: "1", until: `${Date.now() / 1000}`, filters });
  const response = await fetch(`http://tsd/events?${query}`, { unix: engine.daemon.socket });
  return (await response.text()).split("\n").filter(Boolean).length;
}

test("the connections of killed clients are closed, the container's too", async () => {
  await engine.start(["-i", "--name", "quiet"], "sleep", "1000");
  await until("no client is there", () => connections(engine) === 0);
  const commands = [
    ["attach", "quiet"],
    ["attach", "--no-stdin", "quiet"],
    ["exec", "-i", "quiet", "cat"],
    ["logs", "-f", "quiet"],
  ];
  const children = commands.map((args) =>
    Bun.spawn([tsd, ...args], { stdin: "pipe", stdout: "ignore", env: { ...process.env, ...engine.daemon.env } }),
  );
  // An attach waits for the end of the container by a second one.
  await until("they are connected", () => connections(engine) === children.length + 2);
  for (const child of children) child.kill("SIGKILL");
  await until("none is left", () => connections(engine) === 0);
  await engine.daemon.ok("rm", "-f", "quiet");
});

test("a reader that does not read holds up its container, not its client: signals pass, others go on, memory is bounded", async () => {
  const daemonBefore = memoryKiB(engine.daemon.pid);
  using pipe = new HeldPipe();
  const client = spawn(pipe, ["run", "--name", "held", engine.busybox, "sh", "-c", script]);
  await untilHeldUp("held");
  expect(memoryKiB(client.pid)).toBeLessThan(60_000);
  expect(memoryKiB(engine.daemon.pid) - daemonBefore).toBeLessThan(30_000);
  client.kill("SIGTERM");
  const { Pid: pid } = (await engine.daemon.inspect("held")).State;
  await until("the signal has arrived", () => existsSync(`/proc/${pid}/root/told`));
  expect((await engine.tsd(["exec", "held", "echo", "not held up"])).stdout).toBe("not held up\n");
  expect((await engine.run(["--network", "none"], ["echo", "not held up"])).stdout).toBe("not held up\n");
  expect((await pipe.text()) === numbers).toBe(true);
  expect(await client.exited).toBe(7);
  expect((await engine.tsd(["logs", "held"])).stdout === numbers).toBe(true);
  await engine.daemon.ok("rm", "held");
});

test("of two attached clients the slow one, killed, frees the other, which has every line", async () => {
  await engine.daemon.ok("create", "--name", "two", engine.busybox, "sh", "-c", writeNumbers);
  using slow = new HeldPipe();
  using quick = new HeldPipe();
  const first = spawn(slow, ["start", "-a", "two"]);
  await untilHeldUp("two");
  const second = spawn(quick, ["attach", "two"]);
  await until("both are attached", async () => (await attachments("two")) === 2);
  first.kill("SIGKILL");
  const text = await quick.text();
  // It came later: what it has begins somewhere, and ends with the end.
  expect(numbers.endsWith(text)).toBe(true);
  expect(await second.exited).toBe(0);
  expect((await engine.tsd(["logs", "two"])).stdout === numbers).toBe(true);
  await engine.daemon.ok("rm", "two");
});

test("a daemon that is killed while a client is held up ends that client with a reason, and no line is lost", async () => {
  using pipe = new HeldPipe();
  const child = Bun.spawn([tsd, "run", "--name", "left", engine.busybox, "sh", "-c", writeNumbers], {
    stdin: "ignore",
    stdout: pipe.writer,
    stderr: "pipe",
    env: { ...process.env, ...engine.daemon.env },
  });
  pipe.started();
  await untilHeldUp("left");
  await engine.daemon.stop("SIGKILL");
  // Nobody holds it up any more.
  const got = await pipe.text();
  expect(numbers.startsWith(got)).toBe(true);
  expect(await child.exited).toBe(125);
  expect(await new Response(child.stderr).text()).toContain("the connection to the daemon was lost while");
  await engine.daemon.start();
  expect(await engine.daemon.ok("wait", "left")).toBe("0");
  expect((await engine.tsd(["logs", "left"])).stdout === numbers).toBe(true);
  await engine.daemon.ok("rm", "left");
});
