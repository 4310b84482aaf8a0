import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { F_SETFL, O_NONBLOCK, O_RDWR } from "../../ffi/constants/open.ts";
import type { Fd } from "../../ffi/fd.ts";
import { fcntl, read, write } from "../../ffi/files.ts";
import { POLLIN, waitReady } from "../../ffi/poll.ts";
import { openTerminal, setWindowSize, terminalAttributes } from "../../ffi/pty.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

/**
 * A runtime that is all Foreground: it runs a shell script as its process, on a pseudo-terminal with "-t", and ends
 * with its status. The script's process is reaped by Foreground, for Bun's event loop does not run meanwhile.
 */
const runtime = `
  import { pidfd_open } from ${JSON.stringify(`${import.meta.dir}/../../ffi/process.ts`)};
  import { openTerminal } from ${JSON.stringify(`${import.meta.dir}/../../ffi/pty.ts`)};
  import { Foreground } from ${JSON.stringify(`${import.meta.dir}/foreground.ts`)};
  const [kind, script] = process.argv.slice(-2);
  const terminal = kind === "terminal";
  let status;
  let child;
  {
    using foreground = new Foreground({ terminal, subreaper: false });
    let stdio = [0, 1, 2];
    let console;
    if (terminal) {
      const { master, slave } = openTerminal();
      foreground.stdio.onConsole(master);
      stdio = [slave.number, slave.number, slave.number];
      console = slave;
    }
    child = Bun.spawn(["setsid", ...(terminal ? ["-c"] : []), "sh", "-c", script], { stdio });
    console?.close();
    const process = { pid: child.pid, pidfd: pidfd_open(child.pid) };
    status = foreground.wait(process);
  }
  child.unref();
  process.exitCode = status;
`;

function start(kind: "terminal" | "streams", script: string, stdio: [number | "pipe", number | "pipe", number]) {
  return Bun.spawn([process.execPath, "-e", runtime, "--", kind, script], { stdio });
}

/** Reads until the text is there; the rest of a terminal's output stays in it. */
function expectText(master: Fd, text: string): string {
  let seen = "";
  const buffer = new Uint8Array(4096);
  const deadline = performance.now() + 5000;
  while (!seen.includes(text)) {
    if (!waitReady(master, POLLIN, deadline - performance.now())) throw new Error(`no ${text} in ${seen}`);
    seen += Buffer.from(buffer.subarray(0, read(master, buffer))).toString();
  }
  return seen;
}

function outerTerminal(): { master: Fd; slave: Fd } {
  const pair = openTerminal();
  fcntl(pair.master, F_SETFL, O_RDWR | O_NONBLOCK);
  return pair;
}

describe("a process in the foreground", () => {
  test("gives its exit status, or 128 and the signal that ended it", async () => {
    for (const [script, status] of [
      ["exit 7", 7],
      ["kill -9 $$", 137],
    ] as const) {
      expect(await start("streams", script, [0, 1, 2]).exited).toBe(status);
    }
  });
  test("gets the signals that the runtime gets, real-time ones too", async () => {
    const script =
      "trap 'echo hup' HUP; trap 'echo rt' 35; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    const child = start("streams", script, ["pipe", "pipe", 2]);
    let seen = "";
    const wanted: [string, string][] = [
      ["ready", "HUP"],
      ["hup", "35"],
      ["rt", "TERM"],
    ];
    for await (const chunk of child.stdout as ReadableStream<Uint8Array>) {
      seen += Buffer.from(chunk).toString();
      const [text, signal] = wanted[0] ?? ["never", ""];
      if (!seen.includes(text)) continue;
      wanted.shift();
      Bun.spawnSync(["kill", `-${signal}`, String(child.pid)]);
    }
    expect(seen).toBe("ready\nhup\nrt\nterm\n");
    expect(await child.exited).toBe(3);
  });
});

describe("a terminal in the foreground", () => {
  test("is passed through in both directions, with its size and size changes, and is as before afterwards", async () => {
    const { master, slave } = outerTerminal();
    using _master = master;
    using outer = slave;
    setWindowSize(master, { rows: 20, columns: 70 });
    const before = terminalAttributes(outer);
    const script =
      "stty size; trap 'stty size' WINCH; while :; do read line || continue; echo got $line; [ $line = end ] && exit 5; done";
    const child = start("terminal", script, [outer.number, outer.number, 2]);
    expectText(master, "20 70");
    write(master, "hello\r");
    expectText(master, "got hello");
    setWindowSize(master, { rows: 30, columns: 80 });
    // The outer terminal is not this test's controlling one: the kernel tells nobody.
    process.kill(child.pid, "SIGWINCH");
    expectText(master, "30 80");
    write(master, "end\r");
    expectText(master, "got end");
    expect(await child.exited).toBe(5);
    expect(terminalAttributes(outer)).toEqual(before);
  });
  test("passes control characters on: they act in the terminal behind", async () => {
    const { master, slave } = outerTerminal();
    using _master = master;
    using outer = slave;
    const child = start("terminal", "trap 'echo interrupted; exit 4' INT; echo ready; read x", [
      outer.number,
      outer.number,
      2,
    ]);
    expectText(master, "ready");
    write(master, "\x03");
    expectText(master, "interrupted");
    expect(await child.exited).toBe(4);
  });
  test("loses nothing that is written just before the end, and keeps order under back-pressure", async () => {
    const child = start("terminal", "seq 1 20000", ["pipe", "pipe", 2]);
    await Bun.sleep(100);
    const text = await new Response(child.stdout as ReadableStream).text();
    expect(text.replaceAll("\r", "").trim().split("\n").map(Number)).toEqual(
      Array.from({ length: 20000 }, (_, index) => index + 1),
    );
    expect(await child.exited).toBe(0);
  });
  test("goes on when nobody reads its output any more", async () => {
    const script = 'set -o pipefail; "$0" "$@" | true';
    const words = [process.execPath, "-e", runtime, "--", "terminal", "seq 1 50000; exit 6"];
    const child = Bun.spawn(["bash", "-c", script, ...words], { stdio: ["pipe", 1, 2] });
    expect(await child.exited).toBe(6);
  });
});
