/** The flags of create and run: what the container is given, and what the caller gets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../../ffi/scm.ts";
import { isErrno } from "../../../src/core/errors.ts";
import { command } from "../../harness/command.ts";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

/** Runs words below a bash script that opens descriptors for them. */
function below(script: string, words: string[]) {
  return command(["bash", "-c", `${script}; exec "$@"`, "bash", ...runtime.argv(...words)]);
}

/** With a blank after each word; nothing of a process that has ended meanwhile. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}

describe("exit statuses of run", () => {
  for (const [what, script, expected] of [
    ["the program's own", "exit 42", 42],
    ["128 and the signal that ended it", "(kill -9 $$) & wait; sleep 10", 137],
    ["0", "true", 0],
  ] as const) {
    test(`are ${what}`, async () => {
      // Without a pid namespace: the first process of one ignores its own signals.
      const { status } = await runtime.run(["sh", "-c", script], (config) => {
        config.linux.namespaces = config.linux.namespaces!.filter(({ type }) => type !== "pid");
      });
      expect(status).toBe(expected);
    });
  }

  for (const [what, program, message] of [
    ["a program that is not in $PATH", "nosuch", /"nosuch": executable file not found in \$PATH/],
    ["a path that is not there", "/no/such", /"\/no\/such".*no such file or directory/],
    ["a file that is not executable", "/etc/not-executable", /"\/etc\/not-executable": permission denied/],
    ["a directory", "/etc", /"\/etc": (permission denied|is a directory)/],
  ] as const) {
    test(`are 1 for ${what}, which the log names`, async () => {
      const { id, status, stderr } = await runtime.run([program]);
      expect(status).toBe(1);
      expect(stderr.replaceAll('\\"', '"')).toMatch(message);
      expect(runtime.traces(id)).toEqual([]);
    });
  }
});

describe("create and run", () => {
  test("take the current directory without --bundle", async () => {
    await using container = runtime.bundle(["echo", "here"]);
    expect(await runtime.verb(["run", container.id], { cwd: container.bundle })).toMatchObject({ stdout: "here\n" });
  });

  for (const verb of ["create", "run --detach"]) {
    test(`${verb} --pid-file holds the first process' pid, and nothing else`, async () => {
      const file = runtime.path("pid");
      const flags = ["--pid-file", file];
      await using container = await (verb === "create"
        ? runtime.created(undefined, undefined, flags)
        : runtime.running(undefined, undefined, flags));
      const { pid } = await runtime.state(container.id);
      expect(readFileSync(file, "utf8")).toBe(String(pid));
    });

    test(`${verb} --console-socket sends the terminal's other end`, async () => {
      const path = runtime.path("console");
      using listener = listenUnix(path);
      await using container = runtime.bundle(["sh", "-c", "tty; test -t 0 && test -t 2 && echo terminal"], (config) => {
        config.process.terminal = true;
      });
      const words = [...verb.split(" "), "--console-socket", path, "-b", container.bundle, container.id];
      const made = runtime.detached(words);
      expect((await made).status).toBe(0);
      using connection = acceptUnix(listener);
      const { descriptors } = receiveDescriptors(connection);
      expect(descriptors).toHaveLength(1);
      using master = descriptors[0]!;
      if (verb === "create") await runtime.ok("start", container.id);
      await runtime.waitFor(container.id, "stopped");
      const bytes = Buffer.alloc(4096);
      // The slave is closed: what is left of its output can be read, and then EIO.
      const { readSync } = await import("node:fs");
      const text = bytes.toString("utf8", 0, readSync(master.number, bytes));
      expect(text).toMatch(/^\/dev\/(pts\/0|console)\r\nterminal\r\n$/);
    });
  }

  test("--no-pivot moves the root in place of pivot_root", async () => {
    const script = "cat /proc/self/mountinfo | wc -l; ls /; hostname";
    const pivoted = await runtime.run(["sh", "-c", script]);
    const moved = await runtime.run(["sh", "-c", script], undefined, ["--no-pivot"]);
    expect([moved.status, moved.stdout.split("\n").slice(1)]).toEqual([0, pivoted.stdout.split("\n").slice(1)]);
  });

  test("--no-new-keyring leaves the caller's session keyring", async () => {
    // The container's own is called `_ses.ID`: the last column but one of /proc/keys (keyrings(7)).
    for (const [flags, count] of [
      [[], 1],
      [["--no-new-keyring"], 0],
    ] as const) {
      const container = runtime.bundle(["cat", "/proc/keys"], (config) => {
        config.linux.maskedPaths = [];
      });
      const keys = await runtime.ok("run", ...flags, "-b", container.bundle, container.id);
      expect(keys.split("\n").filter((line) => line.includes(`_ses.${container.id}:`))).toHaveLength(count);
    }
  });

  test("--preserve-fds passes that many descriptors on, from 3", async () => {
    const script = "cat <&3; cat <&4; ls /proc/self/fd | wc -l";
    const { id, bundle } = runtime.bundle(["sh", "-c", script]);
    const { status, stdout } = await below('exec 3<<<"third" 4<<<"fourth" 5<<<"fifth"', [
      ...["run", "--preserve-fds", "2", "-b", bundle, id],
    ]);
    // ls has its directory open.
    expect([status, stdout.split("\n").slice(0, 2)]).toEqual([0, ["third", "fourth"]]);
    // runc 1.1.5 leaks one of its own.
    if (isTsd) expect(stdout.split("\n")[2]).toBe("6");
  });
});

describe("LISTEN_FDS", () => {
  const script = 'echo "$LISTEN_FDS $LISTEN_PID"; cat <&3; test -e /proc/self/fd/4 && cat <&4; true';
  const sockets = 'exec 3<<<"third" 4<<<"fourth" 5<<<"fifth"; export LISTEN_FDS=1 LISTEN_PID=$$';

  test("that were meant for the runtime reach the first process of run", async () => {
    const { id, bundle } = runtime.bundle(["sh", "-c", script]);
    expect(await below(sockets, ["run", "-b", bundle, id])).toMatchObject({ status: 0, stdout: "1 1\nthird\n" });
  });

  test("come before those of --preserve-fds", async () => {
    const { id, bundle } = runtime.bundle(["sh", "-c", script]);
    const words = ["run", "--preserve-fds", "1", "-b", bundle, id];
    expect(await below(sockets, words)).toMatchObject({ status: 0, stdout: "1 1\nthird\nfourth\n" });
  });

  test("reach the first process of create", async () => {
    const out = runtime.path("out");
    await using container = runtime.bundle(["sh", "-c", script]);
    const created = await below(`${sockets}; exec </dev/null >${out} 2>&1`, [
      ...["create", "-b", container.bundle, container.id],
    ]);
    expect(created.status).toBe(0);
    await runtime.ok("start", container.id);
    await runtime.waitFor(container.id, "stopped");
    expect(readFileSync(out, "utf8")).toBe("1 1\nthird\n");
  });

  test("that were meant for another process stay where they are", async () => {
    const { id, bundle } = runtime.bundle(["sh", "-c", 'echo "[$LISTEN_FDS]"; ls -l /proc/self/fd/3 | grep -c pipe']);
    const { stdout } = await below('exec 3<<<"third"; export LISTEN_FDS=1 LISTEN_PID=1', ["run", "-b", bundle, id]);
    expect(stdout).toBe("[]\n0\n");
  });
});

describe("run", () => {
  test("--keep leaves the container to be looked at and deleted", async () => {
    await using container = runtime.bundle(["sh", "-c", "exit 3"]);
    const { status } = await runtime.verb(["run", "--keep", "-b", container.bundle, container.id]);
    expect(status).toBe(3);
    expect(await runtime.state(container.id)).toMatchObject({ status: "stopped", pid: 0 });
    expect(await runtime.verb(["delete", container.id])).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(existsSync(join(runtime.stateRoot, container.id))).toBe(false);
  });

  for (const [flags, isReaped] of [
    [[], true],
    [["--no-subreaper"], false],
  ] as const) {
    test(`${flags.join(" ")} ${isReaped ? "becomes" : "does not become"} the parent of orphans`.trim(), async () => {
      // Without a pid namespace orphans go to the next subreaper above, or to the init of the machine.
      const script = "sh -c 'sleep 1000 & exit'; exec sleep 999";
      await using container = runtime.bundle(["sh", "-c", script], (config) => {
        config.linux.namespaces = config.linux.namespaces!.filter(({ type }) => type !== "pid");
      });
      await using run = runtime.live(["run", ...flags, "-b", container.bundle, container.id]);
      const withCommand = (words: string) =>
        runtime.cgroups(container.id).flatMap((path) => {
          const pids = readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
          return pids.filter((pid) => commandLine(pid) === words);
        })[0];
      await runtime.until("the first process has lost its child", () => withCommand("sleep 999 "));
      const orphan = await runtime.until("there is an orphan", () => withCommand("sleep 1000 "));
      const parent = /^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${orphan}/status`, "utf8"))![1];
      expect(Number(parent) === run.pid).toBe(isReaped);
      await runtime.ok("kill", "--all", container.id, "KILL");
      expect(await run.end()).toBe(137);
    });
  }

  for (const [words, terminal, message] of [
    [["run", "--detach"], true, "will detach without setting console socket"],
    [["create"], true, "will detach without setting console socket"],
    [["run", "--detach", "--console-socket", "SOCKET"], false, "will not detach or allocate tty"],
    [["create", "--console-socket", "SOCKET"], false, "will not detach or allocate tty"],
  ] as const) {
    test(`${words.join(" ")} ${terminal ? "with" : "without"} a terminal is refused`, async () => {
      const { id, bundle } = runtime.bundle(["true"], (config) => {
        config.process.terminal = terminal;
      });
      const result = await runtime.fails(...words, "-b", bundle, id);
      expect(result).toEqual({ status: 1, message: expect.stringContaining(message) });
      expect(runtime.traces(id)).toEqual([]);
    });
  }

  test("--console-socket that nobody listens at is refused by its path, and nothing is left", async () => {
    const { id, bundle } = runtime.bundle(["true"], (config) => {
      config.process.terminal = true;
    });
    const path = runtime.path("nobody");
    expect((await runtime.fails("run", "-d", "--console-socket", path, "-b", bundle, id)).message).toContain(path);
    expect(runtime.traces(id)).toEqual([]);
  });

  test("--preserve-fds of descriptors that are not open is refused, and nothing is left", async () => {
    const { id, bundle } = runtime.bundle(["true"]);
    const { message } = await runtime.fails("run", "--preserve-fds", "9", "-b", bundle, id);
    expect(message).toMatch(/preserved.*(is not open|no such file)/);
    expect(runtime.traces(id)).toEqual([]);
  });

  needs("tsd")("a pid file that cannot be written is refused by its path, and nothing is left", async () => {
    // runc too, but it may leave the process to end by itself.
    const { id, bundle } = runtime.bundle(["sleep", "1000"]);
    const path = join(runtime.path("no"), "such", "pid");
    expect((await runtime.fails("run", "--pid-file", path, "-b", bundle, id)).message).toContain(path);
    expect(runtime.traces(id)).toEqual([]);
  });
});
