import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isEngineError } from "../../core/errors.ts";
import { Companion, type CompanionOptions } from "./companion.ts";

interface Notes {
  words: string[];
  pid: number;
}

describe("a companion", () => {
  let directory: string;
  let companion: Companion;
  let truth: string[];
  let started: number[];
  const opened: Companion[] = [];

  const make = (options: Partial<CompanionOptions> = {}, protocol = 1): Companion => {
    const made = new Companion({
      mode: "proxy",
      protocol,
      socketPath: join(directory, "notebook.sock"),
      logPath: join(directory, "log"),
      command: [process.execPath, join(import.meta.dir, "testing", "notebook.ts"), String(protocol)],
      onStarted: (pid) => started.push(pid),
      restate: async (ask) => void (await ask("replace", { words: truth })),
      isNeeded: () => truth.length > 0,
      ...options,
    });
    opened.push(made);
    return made;
  };
  const ask = (request: string, parameters = {}, of = companion): Promise<Notes> =>
    of.ask(request, parameters) as Promise<Notes>;
  const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`) && !statusOf(pid).includes("State:\tZ");
  const statusOf = (pid: number): string => readFileSync(`/proc/${pid}/status`, "utf8");
  const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    for (const end = Date.now() + 10_000; !(await condition()); await Bun.sleep(5)) {
      if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    }
  };

  beforeEach(() => {
    directory = mkdtempSync("/var/tmp/tsd-companion-");
    truth = [];
    started = [];
    companion = make();
  });
  afterEach(() => {
    for (const each of opened.splice(0)) each.close();
    for (const pid of started) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    rmSync(directory, { recursive: true });
  });

  test("is started by the first request, in a session of its own, and nobody else can connect to it", async () => {
    expect(started).toEqual([]);
    const { pid, words } = await ask("write", { word: "a" });
    expect({ started, words }).toEqual({ started: [pid], words: ["a"] });
    expect(statSync(join(directory, "notebook.sock")).mode & 0o777).toBe(0o600);
    expect(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[3]).toBe(String(pid));
    expect(readFileSync(join(directory, "log"), "utf8")).toContain("tsd proxy is ready");
  });

  test("answers requests in their order, however many are under way, and however long they are", async () => {
    const long = "x".repeat(300_000);
    const answers = await Promise.all([
      ...Array.from({ length: 200 }, (_, n) => ask("write", { word: `w${n}` })),
      ask("write", { word: long }),
    ]);
    expect(answers.map(({ words }) => words.length)).toEqual(Array.from({ length: 201 }, (_, n) => n + 1));
    expect(answers.at(-1)!.words.at(-1)).toBe(long);
    expect(started.length).toBe(1);
  });

  test("refuses with errors that keep their code, message and hint", async () => {
    const error = await ask("refuse", { word: "b" }).catch((thrown: unknown) => thrown);
    expect(isEngineError(error, "conflict")).toBe(true);
    expect(error).toMatchObject({ message: "the word b is taken", hint: "say another" });
  });

  test("outlives its daemon, and the next one finds it and tells it the truth", async () => {
    const { pid } = await ask("write", { word: "old" });
    companion.close();
    truth = ["new"];
    const next = make();
    await next.restore();
    expect(await ask("read", {}, next)).toEqual({ words: ["new"], pid });
    expect(started).toEqual([pid]);
  });

  test("is started again at once when it is killed, and told everything", async () => {
    const { pid } = await ask("write", { word: "a" });
    truth = ["a"];
    process.kill(pid, "SIGKILL");
    await until("another is started", () => started.length === 2);
    const again = await ask("read");
    expect(again.words).toEqual(["a"]);
    expect(again.pid).not.toBe(pid);
  });

  test("is not started again when it held nothing", async () => {
    const { pid } = await ask("read");
    process.kill(pid, "SIGKILL");
    await until("it is dead", () => !isAlive(pid));
    await Bun.sleep(50);
    expect(started).toEqual([pid]);
    expect((await ask("write", { word: "b" })).words).toEqual(["b"]);
  });

  test("gets a request again that it was killed over, and the request fails when that goes on", async () => {
    await ask("read");
    const error = await ask("die").catch((thrown: unknown) => thrown);
    expect(isEngineError(error, "unavailable")).toBe(true);
    expect(started.length).toBe(3);
    expect((await ask("write", { word: "c" })).words).toEqual(["c"]);
  });

  test("of another version is ended, and one of this version put in its place", async () => {
    const { pid } = await ask("write", { word: "a" });
    truth = ["a"];
    companion.close();
    const next = make({}, 2);
    const answer = await ask("read", {}, next);
    expect(answer.words).toEqual(["a"]);
    expect(answer.pid).not.toBe(pid);
    await until("the first has ended", () => !isAlive(pid));
  });

  test("that holds nothing is told so by the next daemon, which starts none and leaves it to end", async () => {
    const { pid } = await ask("write", { word: "a" });
    companion.close();
    await make().restore();
    await until("it has ended by itself", () => !isAlive(pid));
    expect(existsSync(join(directory, "notebook.sock"))).toBe(false);
    expect(started).toEqual([pid]);
  });

  test("that holds nothing any more is let go of, and the next request starts another", async () => {
    const hasty = make({ uselessMs: 10 });
    truth = ["a"];
    const { pid } = await ask("write", { word: "a" }, hasty);
    await Bun.sleep(50);
    expect(await ask("erase", { word: "a" }, hasty)).toEqual({ words: [], pid });
    truth = [];
    await ask("read", {}, hasty);
    await until("it has ended by itself", () => !isAlive(pid));
    expect((await ask("read", {}, hasty)).pid).not.toBe(pid);
  });

  test("ends when it is asked to, and gives its socket up", async () => {
    const { pid } = await ask("read");
    process.kill(pid, "SIGHUP");
    expect((await ask("read")).pid).toBe(pid);
    process.kill(pid, "SIGTERM");
    await until("it has ended", () => !isAlive(pid));
    expect(existsSync(join(directory, "notebook.sock"))).toBe(false);
  });

  test("leaves the socket alone of another that took its place when somebody had removed its own", async () => {
    truth = ["a"];
    const { pid: first } = await ask("write", { word: "a" });
    rmSync(join(directory, "notebook.sock"));
    const { pid: second } = await ask("write", { word: "b" }, make());
    expect(second).not.toBe(first);
    process.kill(first, "SIGTERM");
    await until("the first has ended", () => !isAlive(first));
    expect((await ask("write", { word: "c" }, make())).pid).toBe(second);
  });

  test("whose socket's path is too long for a socket is refused at once", () => {
    expect(() => make({ socketPath: join(directory, "x".repeat(100)) })).toThrow("at most 107 fit");
  });

  test("that cannot be started is an error with its status and its log", async () => {
    const broken = make({ command: [process.execPath, "-e", "process.exitCode = 3"] });
    const error = await broken.ask("read", {}).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "unavailable",
      message: "start tsd proxy: it ended with status 3",
      hint: expect.stringContaining("log"),
    });
  });
});
