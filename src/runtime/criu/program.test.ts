/** criu's place is taken by a program that answers as it is told: what is sent, passed on and reported. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { O_RDONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { EngineError } from "../../core/errors.ts";
import { encodeRequest } from "./messages.ts";
import { askCriu, type CriuExchange, criuFeatures, criuVersion, findCriu } from "./program.ts";
import { criuFailure } from "./report.ts";

const directory = mkdtempSync("/var/tmp/tsd-criu-");
afterAll(() => rmSync(directory, { recursive: true }));

let count = 0;
/** A program that runs this JavaScript, with `receive()` and `send(HEX)` for its socket. */
function fake(script: string): string {
  const path = join(directory, `criu-${++count}`);
  const prelude = `const fs = require("node:fs");
    const receive = () => { const b = Buffer.alloc(4096); return b.subarray(0, fs.readSync(3, b)).toString("hex"); };
    const send = (hex) => fs.writeSync(3, Buffer.from(hex, "hex"));`;
  writeFileSync(`${path}.js`, `${prelude}\n${script}`);
  writeFileSync(path, `#!/bin/sh\nexec ${process.execPath} ${path}.js "$@"\n`, { mode: 0o755 });
  return path;
}

const ask = (script: string, exchange: Partial<CriuExchange> = {}) =>
  askCriu(fake(script), { request: () => encodeRequest("DUMP"), ...exchange });

describe("a request", () => {
  test("is sent to `swrk 3`, and its answer is returned when the program has ended", async () => {
    const answer = await ask(
      `fs.writeFileSync("${directory}/told", process.argv.slice(2).join(" ") + " " + receive()); send("08011001"); process.exitCode = 4`,
    );
    expect(readFileSync(join(directory, "told"), "utf8")).toBe("swrk 3 0801");
    expect(answer).toEqual({
      response: { type: "DUMP", success: true },
      output: "",
      exitCode: 4,
      signal: null,
      problem: undefined,
    });
  });

  test("is given the pid before it is sent", async () => {
    const { response } = await ask(`send("0802100122" + "02" + "08" + receive().slice(2, 4))`, {
      request: (pid) => {
        expect(readFileSync(`/proc/${pid}/comm`, "utf8")).not.toBe("");
        return encodeRequest("RESTORE");
      },
    });
    expect(response).toEqual({ type: "RESTORE", success: true, pid: 2 });
  });

  test("passes descriptors on under their numbers, even if they have each other's here", async () => {
    const files = [join(directory, "a"), join(directory, "b")];
    for (const path of files) writeFileSync(path, path);
    using a = open(files[0]!, O_RDONLY);
    using b = open(files[1]!, O_RDONLY);
    for (const order of [
      [a, b],
      [b, a],
    ]) {
      const { output } = await ask(
        `receive(); console.log([4, 5].map((fd) => fs.readlinkSync("/proc/self/fd/" + fd)).join(" "));
        send("08011001")`,
        { inherited: order },
      );
      expect(output).toBe(order.map((file) => (file === a ? files[0] : files[1])).join(" "));
    }
  });

  test("leaves variables out that would make Bun or Node something else", async () => {
    process.env.BUN_CRIU_TEST = "1";
    const { output } = await ask(`receive(); console.log(process.env.BUN_CRIU_TEST ?? "none"); send("08011001")`);
    delete process.env.BUN_CRIU_TEST;
    expect(output).toBe("none");
  });
});

describe("a notification", () => {
  const notify = (script: string, pid: number) => {
    const text = Buffer.from(script).toString("hex");
    const body = `0a${(text.length / 2).toString(16).padStart(2, "0")}${text}10${pid.toString(16).padStart(2, "0")}`;
    return `080610012a${(body.length / 2).toString(16).padStart(2, "0")}${body}`;
  };

  test("is told of, and answered when it has been dealt with", async () => {
    const heard: unknown[] = [];
    const { response, output } = await ask(
      `receive(); send("${notify("pre-dump", 0)}"); console.log(receive()); send("${notify("post-restore", 7)}");
       console.log(receive()); send("08011001")`,
      { onNotify: (script, pid, descriptors) => heard.push([script, pid, descriptors.length]) },
    );
    expect(heard).toEqual([
      ["pre-dump", 0, 0],
      ["post-restore", 7, 0],
    ]);
    expect([response?.success, output]).toEqual([true, "08061801\n08061801"]);
  });

  test("that fails is answered so, and its error is that of the exchange, whatever criu makes of it", async () => {
    const problem = new EngineError("internal", "hooks.prestart[0] /bin/false: exit status 1");
    const answer = await ask(
      `receive(); send("${notify("setup-namespaces", 3)}"); console.log(receive()); send("08021000")`,
      {
        onNotify: () => {
          throw problem;
        },
      },
    );
    expect([answer.response?.success, answer.output, answer.problem]).toEqual([false, "08061800", problem]);
    const { message } = criuFailure("restore of container c", answer, "/nowhere");
    expect(message).toBe("restore of container c: hooks.prestart[0] /bin/false: exit status 1");
  });
});

describe("a failure", () => {
  const told = async (script: string, log = "/nowhere", warn?: (message: string) => void) =>
    criuFailure("checkpoint of container c", await ask(script), log, warn).message;

  test("has the first error of the log, and the log's path; what led to the last is told as well", async () => {
    const log = join(directory, "dump.log");
    const lines = [...Array(20).keys()].map((number) => `(00.0${number}) line ${number}`);
    writeFileSync(
      log,
      [...lines, "(00.100) Error (criu/a.c:1): first", "(00.101) Error (criu/b.c:2): second", ""].join("\n"),
    );
    const heard: string[] = [];
    expect(await told(`receive(); send("08011000")`, log, (line) => heard.push(line))).toBe(
      `checkpoint of container c: criu failed: Error (criu/a.c:1): first; its log is ${log}`,
    );
    expect(heard).toHaveLength(6);
    expect(heard[0]).toBe(`${log}: (00.016) line 16`);
    expect(heard.at(-1)).toContain("second");
  });

  test("before there is a log has what was printed, or else criu's message, number or end", async () => {
    const failed = "checkpoint of container c: criu failed: ";
    expect(await told(`console.error("Error (x.c:1): no kernel\\nmore"); receive()`)).toBe(
      `${failed}Error (x.c:1): no kernel`,
    );
    expect(await told(`receive(); send("08011000" + "4a026e6f")`)).toBe(`${failed}no`);
    expect(await told(`receive(); send("08011000" + "3803")`)).toBe(`${failed}error 3, exit status 0`);
    expect(await told("process.exitCode = 9")).toBe(`${failed}no answer, exit status 9`);
    expect(await told(`receive(); process.kill(process.pid, "SIGKILL")`)).toBe(`${failed}no answer, killed by SIGKILL`);
  });

  test("to start it names the program", async () => {
    const path = join(directory, "missing");
    await expect(askCriu(path, { request: () => encodeRequest("DUMP") })).rejects.toThrow(path);
  });
});

test("version and features are asked for, and a criu that cannot work has no features", async () => {
  expect(await criuVersion(fake(`receive(); send("080a1001520608031011" + "2001")`))).toBe(31_701);
  await expect(criuVersion(fake(`console.error("broken")`))).rejects.toThrow("does not tell its version: broken");
  expect(await criuFeatures(fake(`receive(); send("08091001420408011000")`))).toEqual({
    memoryTracking: true,
    lazyPages: false,
  });
  expect(await criuFeatures(fake(`receive(); send("08091000")`))).toBeUndefined();
});

test("where criu is not in PATH, the package and PATH are named", () => {
  const { PATH } = process.env;
  try {
    process.env.PATH = directory;
    expect(findCriu).toThrow(`criu is not installed: install the package criu; looked in PATH: ${directory}`);
    const path = fake("");
    writeFileSync(join(directory, "criu"), readFileSync(path), { mode: 0o755 });
    expect(findCriu()).toBe(join(directory, "criu"));
  } finally {
    process.env.PATH = PATH;
  }
});
