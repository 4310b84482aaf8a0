/** Checkpoints of containers, where criu works: a daemon of its own, whose containers are frozen and dumped. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { archive } from "../../../src/tar/tar-fixture.ts";
import { type CommandResult, command } from "../../harness/command.ts";
import { executable, until } from "./guest.ts";

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
    return (await command(["curl", "-sf", "--unix-socket", join(place, "sock"), "http://tsd/_ping"])).status === 0;
  });
}

const tsd = (args: string[], stdin?: Uint8Array): Promise<CommandResult> =>
  command([executable, ...args], { env: { TSD_HOST: host }, timeoutMs: 150_000, ...(stdin && { stdin }) });
async function ok(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await tsd(args);
  if (status !== 0) throw new Error(`tsd ${args.join(" ")}: exit status ${status}\n${stdout}${stderr}`);
  return stdout.trimEnd();
}
const numbers = async (): Promise<number[]> => (await ok("logs", "counter")).split("\n").map(Number);
const counts = (from: number) =>
  until(`it counts beyond ${from}`, async () => ((await numbers()).at(-1)! > from ? true : undefined));

beforeAll(async () => {
  await start();
  const { status, stderr } = await tsd(["import", "-", "base"], image);
  expect([status, stderr]).toEqual([0, ""]);
});
afterAll(async () => {
  const left = (await ok("ps", "-aq")).split("\n").filter(Boolean);
  if (left.length > 0) await ok("rm", "-f", ...left);
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
  expect(await ok("wait", "counter")).toBe("137");
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
  await ok("stop", "-t", "0", "counter");
  const stopped = (await numbers()).length;
  await ok("start", "--checkpoint", "early", "counter");
  await until("it counts anew from its early checkpoint", async () => (await numbers()).length > stopped);
  // The shell may have been saved a moment before or after what it had printed.
  expect((await numbers())[stopped]).toBeLessThanOrEqual(last + 1);
  const directory = join(root, "containers", await ok("inspect", "--format", "{{.Id}}", "counter"));
  expect(existsSync(join(directory, "checkpoints", "early"))).toBe(true);
  await ok("rm", "-f", "counter");
  expect(existsSync(directory)).toBe(false);
});

test("a container with a terminal has one again", async () => {
  await ok("run", "-dit", "--name", "terminal", "base", "sh", "-c", "echo ready; read line");
  await until("it is ready", async () => (await ok("logs", "terminal")).includes("ready"));
  await ok("checkpoint", "create", "terminal", "c1");
  await ok("wait", "terminal");
  await ok("start", "--checkpoint", "c1", "terminal");
  expect(await ok("exec", "terminal", "readlink", "/proc/1/fd/0")).toStartWith("/dev/pts/");
});
