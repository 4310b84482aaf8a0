/** Whatever is done for networks, nothing is executed for it: strace sees every exec of the daemon and what it starts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { tsd, type Workspace } from "../harness/workspace.ts";

let engine: Engine;
let trace: string;
beforeAll(async () => {
  const directory = `/var/tmp/tsd-trace-${process.pid}`;
  trace = directory;
  // A tracer that is the daemon's grandchild, so that the daemon is the child of the test.
  const wrapper = [
    "strace",
    "-D",
    "-ff",
    "-qq",
    "-s",
    "200",
    "-e",
    "trace=execve,execveat",
    "-o",
    `${directory}/trace`,
  ];
  const prepare = async (workspace: Workspace) => {
    await workspace.run(["mkdir", directory]);
    workspace.onClose("the trace", () => workspace.run(["rm", "-r", directory]));
  };
  engine = await Engine.open({ wrapper, prepare });
});
afterAll(() => engine[Symbol.asyncDispose]());

/** The programs that were executed, or could not be, as the caller named them, each once. */
function executed(): string[] {
  const lines = readdirSync(trace).flatMap((name) => readFileSync(`${trace}/${name}`, "utf8").split("\n"));
  return [...new Set(lines.filter((line) => line.startsWith("exec")).map(programOf))].sort();
}

/** Of `execve("/bin/true", …` the path, of `execveat(7, "", ["tsd-init", …`, which is of an open file, the first word. */
function programOf(line: string): string {
  const [, path, word] = /^exec\w+\((?:\w+, )?"([^"]*)", \["([^"]*)"/.exec(line) ?? [];
  return (path === "" ? word : path) ?? line;
}

test("networks, names and published ports are made without a program but tsd and the containers' own", async () => {
  const { daemon, busybox } = engine;
  const sleep = [busybox, "/bin/sleep", "86400"];
  await daemon.ok("network", "create", "first");
  await daemon.ok("network", "create", "--internal", "second");
  await daemon.ok("run", "-d", "--name", "one", "--network", "first", "-p", "127.0.0.1::80", ...sleep);
  const socket = ["-p", "target=80,host-ip=127.0.0.1,mode=socket"];
  await daemon.ok("run", "-d", "--name", "two", "--network", "first", ...socket, ...sleep);
  await daemon.ok("exec", "two", "/bin/ping", "-c", "1", "-W", "5", "one");
  await daemon.ok("network", "connect", "second", "one");
  await daemon.ok("network", "disconnect", "second", "one");
  await daemon.ok("run", "--rm", busybox, "/bin/true");
  await daemon.ok("rm", "-f", "one", "two");
  await daemon.ok("network", "rm", "first", "second");
  // The tracer sees what it missed of nothing: the containers' own programs.
  const own = ["/bin/sleep", "/bin/ping", "/bin/true"];
  await until("the tracer has written", () => own.every((program) => executed().includes(program)));
  const foreign = executed().filter((program) => !own.includes(program) && !isTsd(program));
  expect(foreign).toEqual([]);
});

/** By its path, or as the sealed copy of the capsule that becomes the container's program. */
function isTsd(program: string): boolean {
  return program === tsd || program === "/proc/self/exe" || program === "tsd-init";
}
