import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { entryCode, entryListing, prependEntry } from "./entry.ts";
import { pinnedBun } from "./pinned.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/tsd-entry-");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const haveAssembler = Bun.which("as") !== null && Bun.which("objcopy") !== null;

test.skipIf(!haveAssembler)("the entry's machine code is what the assembler makes of its listing", () => {
  const object = join(directory, "entry.o");
  execFileSync("as", ["-o", object, "-"], { input: entryListing });
  execFileSync("objcopy", ["-O", "binary", "-j", ".text", object, `${object}.bin`]);
  expect(readFileSync(`${object}.bin`).toString("hex")).toBe(entryCode);
});

describe("an executable with the entry before its own", () => {
  const given = { BUN_TSD_CODE: expect.stringMatching(/^[1-9][0-9]+$/) };
  const thresholds = { BUN_JSC_thresholdForJITAfterWarmUp: "50000", BUN_JSC_thresholdForJITSoon: "50000" };
  let program: string;
  // Bun itself is linked as what it compiles is, and runs JavaScript.
  beforeAll(() => {
    program = join(directory, "bun");
    copyFileSync(pinnedBun, program);
    chmodSync(program, 0o755);
    prependEntry(program);
    for (const name of [
      "daemon.js",
      "shim.js",
      "unpack.js",
      "pack.js",
      "proxy.js",
      "resolver.js",
      "copy.js",
      "cp",
      "cpu.js",
      "run.js",
    ]) {
      writeFileSync(join(directory, name), "console.log(JSON.stringify([process.argv.slice(2), process.env]))");
    }
  });

  /** What the program sees. Its first word is the script, whose name is where tsd's mode would be. */
  function seenBy(script: string, env: Record<string, string>, ...args: string[]): unknown {
    return JSON.parse(execFileSync(program, [script, ...args], { env, cwd: directory, encoding: "utf8" }));
  }

  test("sees its arguments, and its environment without Bun's variables", () => {
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`V${index}`, "v".repeat(index % 50)]));
    for (const env of [{}, { A: "1", BUN: "no underscore" }, many]) {
      for (const args of [[], ["one"], ["a b", "", "c"]]) {
        const bunsOwn = { BUN_OPTIONS: "--preload ./x", BUN_JSC_none: "1", BUN_TSD_CODE: "1" };
        expect(seenBy("run.js", { ...env, ...bunsOwn }, ...args)).toEqual([args, { ...env, ...thresholds, ...given }]);
      }
    }
  });

  test("keeps JavaScriptCore's own thresholds in the modes that live long", () => {
    for (const name of ["daemon.js", "unpack.js", "pack.js", "proxy.js", "resolver.js", "copy.js"])
      expect(seenBy(name, { A: "1" })).toEqual([[], { A: "1", ...given }]);
    // A script without a suffix is run as those of package.json, with variables of their own.
    const [, cp] = seenBy("cp", { A: "1" }) as [string[], Record<string, string>];
    expect(Object.keys(cp).filter((key) => key.startsWith("BUN_"))).toEqual(["BUN_TSD_CODE"]);
    expect(seenBy("cpu.js", { A: "1" })).toEqual([[], { A: "1", ...thresholds, ...given }]);
  });

  test("tells a shim's JavaScriptCore to be content with little", () => {
    const lean = { numberOfGCMarkers: "1", useConcurrentGC: "0", useConcurrentJIT: "0" };
    const variables = Object.entries(lean).map(([name, value]) => [`BUN_JSC_${name}`, value]);
    const timer = { BUN_GC_TIMER_DISABLE: "1", MIMALLOC_PURGE_DELAY: "0" };
    const expected = { A: "1", ...thresholds, ...Object.fromEntries(variables), ...timer, ...given };
    expect(seenBy("shim.js", { A: "1", BUN_JSC_useJIT: "0" })).toEqual([[], expected]);
  });

  test("is refused where there is nothing to put it before", () => {
    const script = join(directory, "run.js");
    expect(() => prependEntry(script)).toThrow(`${script}: no ELF executable for x86-64`);
    expect(readFileSync(script, "utf8")).toStartWith("console.log");
  });
});
