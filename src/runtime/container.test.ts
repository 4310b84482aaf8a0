/** The runtime in the caller's own process, as the shim uses it. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Fd } from "../../ffi/fd.ts";
import { pipe2, read } from "../../ffi/files.ts";
import { exitStatus, waitForChild } from "../../ffi/process.ts";
import { isEngineError } from "../core/errors.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../oci/runtime.ts";
import {
  type ContainerStdio,
  containerState,
  createContainer,
  deleteContainer,
  execInContainer,
  killContainer,
  type RunningContainer,
  startContainer,
} from "./container.ts";
import { TestBundles } from "./testing/bundle.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

const isRoot = process.getuid?.() === 0;
let bundles: TestBundles;
let devNull: number;
beforeEach(() => {
  bundles = new TestBundles();
  devNull = openSync("/dev/null", "r+");
});
afterEach(() => {
  closeSync(devNull);
  bundles[Symbol.dispose]();
});

function create(
  args: string[],
  options: { start?: "now" | "wait"; stdio?: ContainerStdio; change?: (config: RuntimeConfig) => void } = {},
): RunningContainer {
  const bundle = bundles.make(args, options.change);
  const path = join(bundle, "config.json");
  return createContainer({
    id: "c1",
    bundle,
    config: parseRuntimeConfig(readFileSync(path, "utf8"), path),
    root: bundles.root,
    stdio: options.stdio ?? { stdin: devNull, stdout: devNull, stderr: devNull },
    start: options.start ?? "now",
  });
}

function reap({ pid, pidfd }: { pid: number; pidfd: Fd }): number {
  pidfd.close();
  return exitStatus(waitForChild(pid)!);
}

function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").sort();
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isEngineError(error)) return error.code;
    throw error;
  }
  return "no error";
}

describe.skipIf(!isRoot)("the runtime in process", () => {
  test("gives a child to reap, with its output where the caller wants it", () => {
    const { reader, writer } = pipe2();
    using output = reader;
    const container = create(["sh", "-c", "echo hello; exit 7"], {
      stdio: { stdin: devNull, stdout: writer.number, stderr: devNull },
    });
    writer.close();
    const buffer = new Uint8Array(100);
    expect(Buffer.from(buffer.subarray(0, read(output, buffer))).toString()).toBe("hello\n");
    expect(reap(container)).toBe(7);
    expect(containerState(bundles.root, "c1")).toMatchObject({ status: "stopped", pid: 0 });
    deleteContainer(bundles.root, "c1");
    expect(existsSync(join(bundles.root, "c1"))).toBe(false);
  });
  test("leaves no descriptor and no child behind, whether it succeeds or fails", () => {
    const cycle = () => {
      const container = create(["sleep", "60"]);
      const executed = execInContainer(
        bundles.root,
        "c1",
        { cwd: "/", args: ["/bin/true"] },
        {
          stdio: { stdin: devNull, stdout: devNull, stderr: devNull },
        },
      );
      expect(reap(executed)).toBe(0);
      killContainer(bundles.root, "c1", 9);
      expect(reap(container)).toBe(137);
      deleteContainer(bundles.root, "c1");
      expect(codeOf(() => create(["nosuch"]))).toBe("command_not_found");
      expect(codeOf(() => create(["/etc"]))).toBe("command_not_executable");
      expect(
        codeOf(() =>
          create(["true"], {
            change: (config) => {
              config.linux!.namespaces!.push({ type: "cgroup", path: "/no/such" });
            },
          }),
        ),
      ).toBe("internal");
      expect(waitForChild(-1)).toBeUndefined();
    };
    // What is opened once for good (the capsule) is opened by then.
    cycle();
    const before = openDescriptors();
    for (let round = 0; round < 5; round++) cycle();
    expect(openDescriptors()).toEqual(before);
  });
  test("makes a container that waits, is started, and gives its terminal away", async () => {
    let master: Fd | undefined;
    const container = create(["sh", "-c", "tty; exit 3"], {
      start: "wait",
      stdio: {
        onConsole: (fd) => {
          master = fd;
        },
      },
      change: (config) => {
        config.process!.terminal = true;
      },
    });
    expect(containerState(bundles.root, "c1").status).toBe("created");
    await startContainer(bundles.root, "c1");
    const buffer = new Uint8Array(100);
    expect(Buffer.from(buffer.subarray(0, read(master!, buffer))).toString()).toBe("/dev/pts/0\r\n");
    master!.close();
    expect(reap(container)).toBe(3);
    deleteContainer(bundles.root, "c1");
  });
  test("refuses a terminal that nobody takes, and one that nobody asked for", () => {
    const terminal = (config: RuntimeConfig) => {
      config.process!.terminal = true;
    };
    expect(codeOf(() => create(["true"], { change: terminal }))).toBe("invalid_argument");
    expect(codeOf(() => create(["true"], { stdio: { onConsole: (fd) => fd.close() } }))).toBe("invalid_argument");
    expect(existsSync(join(bundles.root, "c1"))).toBe(false);
  });
  test("tells a missing container from one in the wrong state", async () => {
    expect(codeOf(() => killContainer(bundles.root, "c1", 9))).toBe("not_found");
    const container = create(["sleep", "60"]);
    await expect(startContainer(bundles.root, "c1")).rejects.toMatchObject({ code: "conflict" });
    expect(codeOf(() => deleteContainer(bundles.root, "c1"))).toBe("conflict");
    killContainer(bundles.root, "c1", 9);
    reap(container);
    expect(codeOf(() => killContainer(bundles.root, "c1", 9))).toBe("conflict");
    deleteContainer(bundles.root, "c1");
  });
});
