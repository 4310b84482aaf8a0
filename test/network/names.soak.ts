/** The long forms of what names.test.ts shows. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { command, succeed, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import type { LoadResult } from "./dns-load.ts";
import { resolverPid } from "./resolver-process.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
  await engine.daemon.ok("network", "create", "front");
}, 60_000);
afterAll(() => engine[Symbol.asyncDispose](), 60_000);

const start = (name: string) => engine.start(["--name", name, "--network", "front"], "sleep", "1000");

function runningResolver(): number {
  const pid = resolverPid(engine.workspace);
  if (pid === undefined) throw new Error("no resolver runs");
  return pid;
}

/** Processor time of user and kernel, in seconds. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

test("names are answered as fast as one core asks for ten seconds, among fifty containers, and none is lost", async () => {
  const names = Array.from({ length: 50 }, (_, n) => `many${n}`);
  for (const name of names) await start(name);
  const pid = await engine.inspect("many0", "{{.State.Pid}}");
  const before = cpuSeconds(runningResolver());
  const script = join(import.meta.dir, "dns-load.ts");
  const argv = ["nsenter", `--net=/proc/${pid}/ns/net`, process.execPath, script, "10", ...names];
  const result: LoadResult = JSON.parse(await succeed(argv));
  const cpu = cpuSeconds(runningResolver()) - before;
  const rss = /VmRSS:\s+(\d+ kB)/.exec(readFileSync(`/proc/${runningResolver()}/status`, "utf8"))?.[1];
  console.log(
    `${result.perSecond} answers a second; ${result.sent} sent, ${result.lost} lost; of a second of a core ` +
      `the resolver answers ${Math.round(result.answered / cpu)} and the client asks ` +
      `${Math.round(result.sent / result.cpuSeconds)}; the resolver has ${rss}`,
  );
  expect(result).toMatchObject({ lost: 0, wrong: 0, answered: result.sent });
  await engine.daemon.ok("rm", "-f", ...names);
}, 180_000);

test("a container that ends while no daemon runs is let go of, with its interface", async () => {
  await Promise.all([start("stays"), start("ends")]);
  const pid = Number(await engine.inspect("ends", "{{.State.Pid}}"));
  const namespace = readlinkSync(`/proc/${pid}/ns/net`);
  const veths = async () => (await engine.workspace.run(["ip", "-o", "link"])).stdout.match(/@if/g)?.length ?? 0;
  const both = await veths();
  await engine.daemon.stop("SIGKILL");
  process.kill(pid, "SIGKILL");
  const isHeld = async () => (await command(["ls", "-l", `/proc/${runningResolver()}/fd`])).stdout.includes(namespace);
  expect(await isHeld()).toBe(true);
  await until("the namespace is let go of", async () => !(await isHeld()), 30_000);
  await until("its interface is gone", async () => (await veths()) < both);
  await engine.daemon.start();
  await engine.daemon.ok("rm", "-f", "stays", "ends");
}, 90_000);
