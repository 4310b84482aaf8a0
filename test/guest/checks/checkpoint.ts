/** Checkpoints of containers, where criu works: a daemon of its own, whose containers are frozen and dumped. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../../src/tar/tar-fixture.ts";
import { type CommandResult, command } from "../../harness/command.ts";
import { executable, textOf, until } from "./guest.ts";

const place = mkdtempSync("/var/tmp/checkpoint-");
const root = join(place, "root");
const host = `unix://${join(place, "sock")}`;
const links = ["sh", "sleep", "cat", "readlink"].map((name) => ({
  name: `bin/${name}`,
  type: "2" as const,
  link: "busybox",
}));
const image = archive([
  { name: "bin/" },
  { name: "bin/busybox", mode: 0o755, data: new Uint8Array(readFileSync("/bin/busybox")) },
  ...links,
]);
let daemon: Bun.Subprocess;

async function start(): Promise<void> {
  // In a network of its own, where it is no neighbour of the system's; criu asks for its loopback.
  const network = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"];
  const argv = [executable, "daemon", "--root", root, "--state", join(place, "s"), "-H", host];
  daemon = Bun.spawn([...network, ...argv, "--cgroup-parent", "/checkpoint"], {
    stdout: "ignore",
    stderr: Bun.file(join(place, "log")),
  });
  await until("the daemon answers", async () => {
    if (daemon.exitCode !== null) throw new Error(readFileSync(join(place, "log"), "utf8"));
    return ask("GET", "/_ping").then(
      () => true,
      () => false,
    );
  });
}

const tsd = (args: string[], stdin?: Uint8Array): Promise<CommandResult> =>
  command([executable, ...args], { env: { TSD_HOST: host }, timeoutMs: 150_000, ...(stdin && { stdin }) });
async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await tsd(args);
  if (status !== 0) throw new Error(`tsd ${args.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
  return stdout.trimEnd();
}
/** What is no command line's business is asked for without one, which takes half a second to start here. */
async function ask(method: string, path: string): Promise<Response> {
  const response = await fetch(`http://tsd${path}`, { unix: join(place, "sock"), method });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}
// biome-ignore lint/suspicious/noExplicitAny: whatever a check looks for
const json = async (method: string, path: string): Promise<any> => (await ask(method, path)).json();
const numbers = async (): Promise<number[]> => {
  const log = await textOf(await ask("GET", "/containers/counter/logs?stdout=1"));
  return log.trimEnd().split("\n").map(Number);
};
const counts = (from: number) =>
  until(`it counts beyond ${from}`, async () => ((await numbers()).at(-1)! > from ? true : undefined));

beforeAll(async () => {
  await start();
  const { status, stderr } = await tsd(["import", "-", "base"], image);
  expect([status, stderr]).toEqual([0, ""]);
});
afterAll(async () => {
  for (const { Id } of await json("GET", "/containers/json?all=1")) await ask("DELETE", `/containers/${Id}?force=1`);
  daemon.kill("SIGTERM");
  await daemon.exited;
  rmSync(place, { recursive: true });
});

test("a container goes on where its checkpoint was, as often as one likes, and the daemon may die meanwhile", async () => {
  const script = "i=0; while :; do i=$((i+1)); echo $i; echo $i >/at; sleep 0.2; done";
  await ok("run", "-d", "--name", "counter", "base", "sh", "-c", script);
  await counts(1);
  expect(await ok("checkpoint", "create", "--leave-running", "counter", "early")).toBe("early");
  const last = (await numbers()).at(-1)!;
  await counts(last);
  await ok("checkpoint", "create", "counter", "late");
  expect(await json("POST", "/containers/counter/wait")).toMatchObject({ StatusCode: 137 });
  expect(await ok("checkpoint", "ls", "counter")).toBe("CHECKPOINT NAME\nearly\nlate");

  const before = await numbers();
  await ok("start", "--checkpoint", "late", "counter");
  await counts(before.at(-1)!);
  const after = await numbers();
  // Each number once: nothing was counted anew, nothing lost.
  expect(after).toEqual(after.map((_, index) => index + 1));
  expect(after.length).toBeGreaterThan(last);
  expect(Number(await ok("exec", "counter", "cat", "/at"))).toBeGreaterThan(last);

  daemon.kill("SIGKILL");
  await daemon.exited;
  await start();
  await counts((await numbers()).at(-1)!);
  await ask("POST", "/containers/counter/stop?t=0");
  const stopped = (await numbers()).length;
  await ok("start", "--checkpoint", "early", "counter");
  await until("it counts anew from its early checkpoint", async () => (await numbers()).length > stopped);
  // The shell may have been saved a moment before or after what it had printed.
  expect((await numbers())[stopped]).toBeLessThanOrEqual(last + 1);
  const directory = join(root, "containers", (await json("GET", "/containers/counter/json")).Id);
  expect(existsSync(join(directory, "checkpoints", "early"))).toBe(true);
  await ask("DELETE", "/containers/counter?force=1");
  expect(existsSync(directory)).toBe(false);
});

test("a container with a terminal has one again", async () => {
  await ok("run", "-dit", "--name", "terminal", "base", "sh", "-c", "echo ready; read line");
  await until("it is ready", async () =>
    (await (await ask("GET", "/containers/terminal/logs?stdout=1")).text()).includes("ready"),
  );
  await ok("checkpoint", "create", "terminal", "c1");
  await ask("POST", "/containers/terminal/wait");
  await ok("start", "--checkpoint", "c1", "terminal");
  expect(await ok("exec", "terminal", "readlink", "/proc/1/fd/0")).toStartWith("/dev/pts/");
});
