/** Containers with a terminal: at the caller's own, and at one whose master goes to a console socket. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Fd } from "../../ffi/fd.ts";
import { read, write } from "../../ffi/files.ts";
import { POLLIN, waitReady } from "../../ffi/poll.ts";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../ffi/scm.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { Bundles, messageOf, type RuntimeName } from "./bundles.ts";

let bundles: Bundles;

beforeAll(async () => {
  bundles = await Bundles.open(["busybox"]);
}, 120_000);

afterAll(() => bundles?.[Symbol.asyncDispose]());

/** What a terminal shows of itself, the same under both runtimes. */
const look =
  "stty -a | head -n 1 | cut -d';' -f2,3; stty -g | cut -d: -f1-4; tty; ls -l /dev/console | cut -c1-10; stat -c '%t:%T %a %u' /dev/pts/0; ps -o pid,tty | tail -n +2 | head -n 1; readlink /proc/$$/fd/0; readlink /proc/$$/fd/2";

function terminalBundle(args: string[], consoleSize: { height: number; width: number } = { height: 11, width: 22 }) {
  return bundles.bundleOf(args, (config) => {
    config.process!.terminal = true;
    config.process!.consoleSize = consoleSize;
  });
}

/** Takes the master that a runtime sends: from a thread that stands still, so only once the runtime has ended. */
function receive(listener: Fd): Fd {
  if (!waitReady(listener, POLLIN, 2000)) throw new Error("no connection to the console socket");
  using connection = acceptUnix(listener);
  const { data, descriptors } = receiveDescriptors(connection);
  expect(descriptors.length).toBe(1);
  expect(data.length).toBeGreaterThan(0);
  return descriptors[0]!;
}

/** Reads a terminal's master until its last slave is closed. */
function readAll(master: Fd): string {
  let text = "";
  const buffer = new Uint8Array(4096);
  for (;;) {
    if (!waitReady(master, POLLIN, 5000)) throw new Error(`no more output: ${text}`);
    try {
      const length = read(master, buffer);
      text += Buffer.from(buffer.subarray(0, length)).toString();
    } catch (error) {
      if ((error as { errno?: string }).errno === "EIO") return text;
      throw error;
    }
  }
}

/** The size is the window's in the configuration too: runc 1.1.5 sets it when the program runs already. */
async function atTerminal(runtime: RuntimeName): Promise<string> {
  const { id, bundle } = await terminalBundle(["sh", "-c", `${look}; exit 4`], { height: 30, width: 90 });
  await using session = new TerminalSession(bundles.argv(runtime, ["run", "--bundle", bundle, id]), {
    rows: 30,
    columns: 90,
  });
  expect(await session.end()).toBe(4);
  expect(bundles.traces(runtime, id)).toEqual([]);
  // Of "\n" the caller's terminal makes a line end under runc, and the container's own under tsd: ONLCR, termios(3).
  return session.output.replace(/^500:[15]:/m, "500:*:");
}

async function atSocket(runtime: RuntimeName): Promise<string> {
  const { id, bundle } = await terminalBundle(["sh", "-c", `read line; echo "got $line"; ${look}`]);
  const path = bundles.workspace.path(`${id}.sock`);
  using listener = listenUnix(path);
  const words = ["run", "--detach", "--bundle", bundle, "--console-socket", path, id];
  expect(await bundles.detached(runtime, words)).toEqual({ status: 0, stdout: "", stderr: "" });
  using master = receive(listener);
  write(master, "typed\n");
  const output = readAll(master);
  await bundles.waitFor(runtime, id, "stopped");
  await bundles.remove(runtime, id);
  return output;
}

test("a container at the caller's terminal sees the same under runc and under tsd", async () => {
  const output = await atTerminal("tsd");
  expect(output).toBe(await atTerminal("runc"));
  expect(output).toContain("rows 30; columns 90");
});

test("a container at a console socket sees the same under runc and under tsd", async () => {
  const output = await atSocket("tsd");
  expect(output).toBe(await atSocket("runc"));
  expect(output).toContain("got typed");
  expect(output).toContain("rows 11; columns 22");
});

describe.each(["runc", "tsd"] as const)("under %s", (runtime) => {
  test("keys, Ctrl-C and the window's size reach the container", async () => {
    const script = "trap 'echo interrupted' INT; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
    const { id, bundle } = await terminalBundle(["sh", "-c", script]);
    await using session = new TerminalSession(bundles.argv(runtime, ["run", "--bundle", bundle, id]), {
      rows: 30,
      columns: 90,
    });
    await session.expect("ready");
    expect(session.isRaw).toBe(true);
    session.resize({ rows: 41, columns: 101 });
    await session.expect("41 101");
    session.type("\u0003");
    await session.expect("interrupted");
    expect((await bundles.verb(runtime, ["kill", id, "KILL"])).status).toBe(0);
    expect(await session.end()).toBe(137);
  });

  test("exec -t has a terminal of its own", async () => {
    await using container = await bundles.running(runtime);
    const words = ["exec", "-t", container.id, "sh", "-c", "tty; stty size; exit 6"];
    await using session = new TerminalSession(bundles.argv(runtime, words), { rows: 30, columns: 90 });
    await session.expect(/\/dev\/pts\/\d+\r\n/);
    // runc 1.1.5 sets the size at some time after the start.
    await session.expect(runtime === "tsd" ? "30 90\r\n" : /\d+ \d+\r\n/);
    expect(await session.end()).toBe(6);
  });

  test("exec -t -d sends its terminal to a console socket", async () => {
    await using container = await bundles.running(runtime);
    const path = bundles.workspace.path(`${container.id}.sock`);
    using listener = listenUnix(path);
    const words = ["exec", "-t", "-d", "--console-socket", path, container.id, "sh", "-c", "echo at the terminal"];
    expect((await bundles.detached(runtime, words)).status).toBe(0);
    using master = receive(listener);
    expect(readAll(master)).toBe("at the terminal\r\n");
  });

  test("a terminal without anywhere to send it, and a socket without a terminal, are refused", async () => {
    const { id, bundle } = await terminalBundle(["true"]);
    const none = await bundles.verb(runtime, ["create", "--bundle", bundle, id]);
    expect([none.status, messageOf(none.stderr)]).toEqual([
      1,
      expect.stringMatching(/cannot allocate tty if .* will detach without setting console socket$/),
    ]);
    const plain = await bundles.bundleOf(["true"]);
    const unused = await bundles.verb(runtime, [
      "create",
      "--bundle",
      plain.bundle,
      "--console-socket",
      "/x",
      plain.id,
    ]);
    expect([unused.status, messageOf(unused.stderr)]).toEqual([
      1,
      expect.stringMatching(/cannot use console socket if .* will not detach or allocate tty$/),
    ]);
    const missing = await bundles.verb(runtime, ["create", "--bundle", bundle, "--console-socket", "/no/socket", id]);
    expect([missing.status, messageOf(missing.stderr)]).toEqual([
      1,
      expect.stringMatching(/\/no\/socket.*no such file/i),
    ]);
    expect(bundles.traces(runtime, id)).toEqual([]);
  });
});
