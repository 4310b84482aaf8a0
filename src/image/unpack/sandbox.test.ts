/** What a program can see and do that is run where layers are unpacked. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { spawnPlan } from "../../../ffi/plan/spawn.ts";
import { digestOf } from "../../core/digest.ts";
import { isEngineError } from "../../core/errors.ts";
import { archive } from "../../tar/tar-fixture.ts";
import type { GrowingBlob } from "../content/ingest.ts";
import { neededFiles } from "../embedded/libraries.ts";
import { isRoot, unpackProgram } from "../store-fixture.ts";
import type { Feeding } from "./feeding.ts";
import { sandboxPlan } from "./sandbox.ts";
import { unpackLayer } from "./unpacker.ts";

const busybox = Bun.which("busybox");
let base: string;
let target: string;

beforeEach(() => {
  base = mkdtempSync("/var/tmp/tsd-sandbox-");
  target = join(base, "target");
  mkdirSync(target);
});
afterEach(() => rmSync(base, { recursive: true }));

/** Runs a script of busybox's shell in the sandbox. @returns what it printed. */
function run(script: string): string {
  const output = join(base, "output");
  const readable = [busybox!, ...neededFiles(busybox!).map(({ path }) => path)];
  const applets = 'for applet in ls cat mknod touch head id ln wc; do alias $applet="busybox $applet"; done';
  const command = [busybox!, "sh", "-c", `${applets.replaceAll("busybox", busybox!)}\n${script}`];
  using stdin = open("/dev/null", O_RDONLY);
  using stdout = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
  using child = spawnPlan(sandboxPlan({ target, readable, command }), {
    descriptors: { stdin, stdout, stderr: stdout },
  });
  expect(child.next()).toBeUndefined();
  expect(child.failure()?.error.message).toBeUndefined();
  child.reap();
  return readFileSync(output, "utf8");
}

describe.skipIf(!isRoot || !busybox)("a program in the sandbox", () => {
  test("sees itself, its libraries, its target and nothing else", () => {
    const parts = [
      "proc",
      "target",
      ...[busybox!, ...neededFiles(busybox!).map(({ path }) => path)].map((path) => path.split("/")[1]!),
    ];
    expect(run("ls /").trim().split("\n").sort()).toEqual([...new Set(parts)].sort());
    expect(run("ls /proc | head -n 3; ls /proc/1/root/; ls -d /proc/[0-9]* | wc -l")).toMatch(/^1\n[\s\S]*target/);
    expect(run("cat /proc/self/mountinfo")).not.toContain("/etc");
  });

  test("has the capabilities that files need, and can gain none", () => {
    const status = run("cat /proc/self/status");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP; and WAKE_ALARM, so that no container may trace it
    const mask = [0n, 1n, 3n, 4n, 27n, 31n, 35n].reduce((bits, number) => bits | (1n << number), 0n);
    const shown = mask.toString(16).padStart(16, "0");
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect(status).toContain(`${set}:\t${shown}`);
    expect(status).toContain("NoNewPrivs:\t1");
  });

  test("can write to its target and nowhere else", () => {
    expect(run("touch /target/file && echo made")).toBe("made\n");
    expect(existsSync(join(target, "file"))).toBe(true);
    for (const path of ["/file", "/proc/file", busybox!])
      expect(run(`echo x > ${path}`)).toMatch(/Read-only|nonexistent|denied|No such/);
  });

  test("can make devices and not use them", () => {
    expect(run("mknod /target/null c 1 3 && cat /target/null")).toContain("Permission denied");
  });

  test("has no network and no descriptor of its parent's", () => {
    expect(
      run("cat /proc/net/dev")
        .split("\n")
        .filter((line) => line.includes(":")),
    ).toHaveLength(1);
    // 3 is the directory that ls itself reads.
    expect(run("ls /proc/self/fd").trim().split("\n")).toEqual(["0", "1", "2", "3"]);
  });
});

describe.skipIf(!isRoot)("the unpacking child", () => {
  const layer = archive([{ name: "f", data: "x" }]);
  const request = { form: "overlay", diffId: digestOf(layer), limits: { bytesMax: 1e6, entriesMax: 10 } } as const;

  async function failure(promise: Promise<unknown>): Promise<string> {
    try {
      await promise;
    } catch (error) {
      if (isEngineError(error)) return `${error.code}: ${error.message}`;
      throw error;
    }
    return "it did not fail";
  }

  test.skipIf(!busybox).each([
    ["that is stored", 0],
    ["that is being fetched", 3],
  ])("cannot write to a layer %s", async (_name, descriptor) => {
    const path = join(base, "layer");
    writeFileSync(path, layer);
    const script = `echo x > /proc/self/fd/${descriptor}; echo x >&${descriptor}; echo said >&2`;
    const readable = [busybox!, ...neededFiles(busybox!).map((file) => file.path)];
    const program = { command: [busybox!, "sh", "-c", script], readable };
    const blob = { open: () => open(path, O_RDONLY) } as GrowingBlob;
    const feeding = { run: (stdin) => stdin.close(), [Symbol.dispose]: () => undefined } as Feeding;
    const source = descriptor === 0 ? { path } : { blob, feeding };
    expect(await failure(unpackLayer({ target, ...request }, { source, program }))).toMatch(
      /Read-only file system\n[\s\S]*Bad file descriptor\nsaid/,
    );
    expect(readFileSync(path)).toEqual(Buffer.from(layer));
  });

  test.skipIf(!busybox)("is not listened to without end", async () => {
    const path = join(base, "layer");
    writeFileSync(path, layer);
    const readable = [busybox!, ...neededFiles(busybox!).map((file) => file.path)];
    const script = `while ${busybox} head -c 100000000 /proc/self/exe /proc/1/exe | ${busybox} tr '\\000-\\377' x; do :; done`;
    const program = { command: [busybox!, "sh", "-c", script], readable };
    expect(await failure(unpackLayer({ target, ...request }, { source: { path }, program }))).toBe(
      "internal: unpacking child: it says more than 134217728 characters in one line",
    );
  });

  test("takes a layer that is written while it reads", async () => {
    const source = new Response(layer).body!;
    expect(await unpackLayer({ target, ...request }, { source, program: unpackProgram })).toMatchObject({ entries: 1 });
    expect(readFileSync(join(target, "f"), "utf8")).toBe("x");
  });

  test("that stops reading in the middle says why, and the writer ends", async () => {
    let pulled = 0;
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(100_000).fill(7));
      },
    });
    expect(await failure(unpackLayer({ target, ...request }, { source, program: unpackProgram }))).toMatch(
      /^corrupt: not a tar/,
    );
    expect(pulled).toBeLessThan(100);
  });

  test("that cannot be started is an error with its words", async () => {
    const path = join(base, "layer");
    writeFileSync(path, layer);
    const source = { path };
    const missing = join(base, "missing");
    expect(await failure(unpackLayer({ ...request, target: missing }, { source, program: unpackProgram }))).toMatch(
      /^internal: unpacking child: cannot be confined: open_tree .*missing: ENOENT/,
    );
    const program = { command: ["/nothing"], readable: [] };
    expect(await failure(unpackLayer({ target, ...request }, { source, program }))).toMatch(/execve \/nothing: ENOENT/);
    const dumb = { command: [Bun.which("true")!], readable: unpackProgram.readable.concat(Bun.which("true")!) };
    expect(await failure(unpackLayer({ target, ...request }, { source, program: dumb }))).toMatch(
      /ended without a word/,
    );
    const odd = { command: [Bun.which("echo")!, "{}"], readable: unpackProgram.readable.concat(Bun.which("echo")!) };
    expect(await failure(unpackLayer({ target, ...request }, { source, program: odd }))).toMatch(
      /^internal: unpacking child:/,
    );
  });

  test("ends with the pull that is cancelled", async () => {
    const controller = new AbortController();
    const source = new ReadableStream<Uint8Array>({});
    const work = failure(
      unpackLayer({ target, ...request }, { source, program: unpackProgram, signal: controller.signal }),
    );
    await Bun.sleep(50);
    controller.abort();
    expect(await work).toBe("cancelled: cancelled");
  });
});
