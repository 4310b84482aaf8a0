/** `ps`: the processes of a container by the host's numbers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { OciRuntime, type TestContainer } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
let container: TestContainer;
beforeAll(async () => {
  runtime = await OciRuntime.open();
  container = await runtime.running(["sh", "-c", "sleep 1000 & sleep 2000 & wait"]);
  await runtime.until("its shell has two children", async () => {
    return (await pids()).map(secondWord).sort().join() === "-c,1000,2000";
  });
}, 120_000);
afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  await runtime?.[Symbol.asyncDispose]();
});

const pids = async (): Promise<number[]> => JSON.parse(await runtime.ok("ps", "--format", "json", container.id));
const secondWord = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[1];
const rows = (text: string): string[][] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));

test.each(["--format json", "-f json", "--format=json"])("ps %s lists the pids of the host", async (flags) => {
  const list: number[] = JSON.parse(await runtime.ok("ps", ...flags.split(" "), container.id));
  expect(list.map(secondWord).sort()).toEqual(["-c", "1000", "2000"]);
  expect(list).toContain((await runtime.state(container.id)).pid);
});

test.each(["", "--format table", "-f table"])("ps %s prints what ps -ef prints of them", async (flags) => {
  const words = flags.split(" ").filter(Boolean);
  const [heading, ...lines] = rows(await runtime.ok("ps", ...words, container.id));
  expect(heading).toEqual("UID PID PPID C STIME TTY TIME CMD".split(" "));
  expect(lines.map((line) => Number(line[1])).sort()).toEqual((await pids()).sort());
  expect(lines.map((line) => line.slice(7).join(" ")).sort()).toEqual([
    "sh -c sleep 1000 & sleep 2000 & wait",
    "sleep 1000",
    "sleep 2000",
  ]);
});

test("options after the id are those of ps(1)", async () => {
  const [heading, ...lines] = rows(await runtime.ok("ps", container.id, "-e", "-o", "pid,ppid,comm"));
  expect(heading).toEqual(["PID", "PPID", "COMMAND"]);
  expect(lines.map((line) => line[2]).sort()).toEqual(["sh", "sleep", "sleep"]);
  const { pid } = await runtime.state(container.id);
  expect(lines.filter((line) => line[1] === String(pid))).toHaveLength(2);
});

test("what ps(1) refuses is refused, and so is output without pids", async () => {
  const { status, message } = await runtime.fails("ps", container.id, "--no-such-option");
  expect(status).toBe(1);
  expect(message).toContain("exit status 1");
  expect((await runtime.fails("ps", container.id, "-e", "-o", "comm")).message).toContain("couldn't find PID field");
});

test("other formats, and containers that are not there, are refused", async () => {
  expect(await runtime.fails("ps", "--format", "yaml", container.id)).toEqual({
    status: 1,
    message: "invalid format option",
  });
  expect((await runtime.fails("ps", "nobody")).message).toContain("does not exist");
  expect((await runtime.verb(["ps"])).status).toBe(1);
});

test("a container that has ended has no processes", async () => {
  await using ended = await runtime.running(["true"]);
  await runtime.waitFor(ended.id, "stopped");
  const list = JSON.parse(await runtime.ok("ps", "--format", "json", ended.id));
  expect(list).toEqual(isTsd ? [] : null);
  expect(rows(await runtime.ok("ps", ended.id))).toHaveLength(1);
});

needs("tsd")("without a ps in PATH the table is the same, and options are refused", async () => {
  const empty = runtime.path("empty");
  const env = { PATH: empty };
  const own = await runtime.verb(["ps", container.id], { env });
  expect(own.stderr).toBe("");
  const columns = (text: string) => rows(text).map((row) => row.filter((_, index) => index !== 3));
  expect(columns(own.stdout)).toEqual(columns(await runtime.ok("ps", container.id)));
  const options = await runtime.verb(["ps", container.id, "-o", "pid"], { env });
  expect(options.status).toBe(1);
  expect(options.stderr).toContain("there is no ps in $PATH");
});

needs("tsd")("the words of a container do not reach the terminal as control characters", async () => {
  await using loud = await runtime.running(["sh", "-c", "sleep 1000; : \u001b[31mred"]);
  const { stdout } = await runtime.verb(["ps", loud.id], { env: { PATH: "/nonexistent" } });
  expect(stdout).toContain("?[31mred");
  expect(stdout).not.toContain("\u001b");
});
