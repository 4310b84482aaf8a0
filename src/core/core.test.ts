import { describe, expect, test } from "bun:test";
import { Cleanup, withCleanup } from "./cleanup.ts";
import { digestOf, parseDigest } from "./digest.ts";
import { EngineError, isErrno, wrapError } from "./errors.ts";
import { newId } from "./id.ts";
import { KeyedLock } from "./lock.ts";
import { scrubbedEnvironment } from "./self.ts";
import { parseSignal, signalName } from "./signals.ts";
import { formatBytesBinary, formatBytesDecimal, parseBytes } from "./size.ts";

describe("errors", () => {
  test("a wrapped kernel error keeps its call, errno and path, and a full disk is recognised", () => {
    const kernel = Object.assign(new Error("write: no space"), { syscall: "write", code: "ENOSPC", path: "/x" });
    const wrapped = wrapError(kernel, "pull busybox");
    expect(wrapped).toMatchObject({ code: "no_space", syscall: "write", errno: "ENOSPC", path: "/x" });
    expect(wrapped.message).toBe("pull busybox: write: no space");
    expect(isErrno(wrapped, "ENOSPC")).toBe(true);
  });
  test("a wrapped engine error keeps its code and hint", () => {
    const inner = new EngineError("not_found", "no such image: x", { hint: "pull it" });
    expect(wrapError(inner, "run")).toMatchObject({ code: "not_found", hint: "pull it" });
  });
});

describe("clean-up", () => {
  test("runs every step in reverse order and reports all failures at once", async () => {
    const ran: string[] = [];
    const cleanup = new Cleanup("test");
    cleanup.add("first", () => ran.push("first"));
    cleanup.add("second", () => {
      ran.push("second");
      throw new Error("broken");
    });
    cleanup.add("third", () => ran.push("third"));
    await expect(cleanup.run()).rejects.toThrow("clean-up after test: second: broken");
    expect(ran).toEqual(["third", "second", "first"]);
  });
  test("does nothing once dismissed", async () => {
    const cleanup = new Cleanup("test");
    cleanup.add("never", () => {
      throw new Error("ran");
    });
    cleanup.dismiss();
    await cleanup.run();
  });
});

describe("digests", () => {
  test("are checked for algorithm, length and alphabet", () => {
    const good = digestOf("x");
    expect(parseDigest(good)).toBe(good);
    for (const bad of ["", "sha256", "sha256:", "md5:00", good.toUpperCase(), `${good}0`, "sha256:../../etc/passwd"]) {
      expect(() => parseDigest(bad)).toThrow("digest");
    }
  });
});

describe("ids", () => {
  test("have 64 hexadecimal digits and a short form that is no number", () => {
    for (let i = 0; i < 100; i++) expect(newId()).toMatch(/^(?!\d{12})[0-9a-f]{64}$/);
  });
});

describe("keyed lock", () => {
  test("runs the work of one key in order, and goes on after a failure", async () => {
    const lock = new KeyedLock();
    const order: number[] = [];
    const first = lock.run("a", async () => {
      await Bun.sleep(5);
      order.push(1);
      throw new Error("first failed");
    });
    const second = lock.run("a", () => order.push(2));
    await expect(first).rejects.toThrow("first failed");
    await second;
    expect(order).toEqual([1, 2]);
  });
});

describe("signals", () => {
  test("are read by name in any case, by number and as real-time offsets", () => {
    const cases: [string, number][] = [
      ["TERM", 15],
      ["SIGTERM", 15],
      ["sigkill", 9],
      ["28", 28],
      ["RTMIN+3", 37],
      ["SIGRTMAX-1", 63],
    ];
    for (const [text, number] of cases) expect(parseSignal(text)).toBe(number);
    for (const bad of ["", "0", "65", "NOPE", "RTMIN-1", "-9"]) {
      expect(() => parseSignal(bad)).toThrow(`invalid signal: ${bad}`);
    }
    expect(signalName(15)).toBe("SIGTERM");
    expect(signalName(37)).toBe("SIGRTMIN+3");
  });
});

describe("sizes", () => {
  test("are read in binary units and printed as docker prints them", () => {
    expect(parseBytes("512m")).toBe(512 * 2 ** 20);
    expect(parseBytes("1.5GiB")).toBe(1.5 * 2 ** 30);
    expect(parseBytes("42")).toBe(42);
    for (const bad of ["", "m", "-1", "1x", "1 2"]) expect(() => parseBytes(bad)).toThrow("invalid size");
    expect(formatBytesDecimal(4_261_574)).toBe("4.26MB");
    expect(formatBytesBinary(2_087_358_464)).toBe("1.944GiB");
  });
});

describe("withCleanup", () => {
  test("keeps what was made when the work succeeds, undoes it in reverse when it fails", async () => {
    const undone: string[] = [];
    const work = (fails: boolean) =>
      withCleanup("make x", async (cleanup) => {
        cleanup.add("first", () => undone.push("first"));
        cleanup.add("second", () => undone.push("second"));
        if (fails) throw new EngineError("no_space", "disk full");
        return "made";
      });
    expect(await work(false)).toBe("made");
    expect(undone).toEqual([]);
    expect(work(true)).rejects.toThrow("disk full");
    await Bun.sleep(0);
    expect(undone).toEqual(["second", "first"]);
  });

  test("a clean-up that fails does not hide why it was needed", async () => {
    const failed = withCleanup("make x", async (cleanup) => {
      cleanup.add("undo", () => {
        throw new Error("cannot undo");
      });
      throw new EngineError("no_space", "disk full");
    });
    expect(failed).rejects.toThrow("disk full");
  });
});

describe("the environment of a tsd that tsd starts", () => {
  test("has nothing that turns the executable into another program or injects flags", () => {
    const given = {
      BUN_BE_BUN: "1",
      BUN_OPTIONS: "--preload x",
      NODE_OPTIONS: "--require x",
      PATH: "/bin",
      BUNDLE: "b",
    };
    expect(scrubbedEnvironment(given)).toEqual({ PATH: "/bin", BUNDLE: "b" });
  });
});
