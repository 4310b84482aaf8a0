/** The flags of exec, in one container; looked at from inside, or in the kernel's files. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../../ffi/scm.ts";
import { command } from "../../harness/command.ts";
import { OciRuntime, type TestContainer } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
let container: TestContainer;
beforeAll(async () => {
  runtime = await OciRuntime.open();
  container = await runtime.running();
}, 120_000);
afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  await runtime?.[Symbol.asyncDispose]();
});

const exec = (args: string[], flags: string[] = []) => runtime.exec(container.id, args, flags);
const ok = (stdout: string) => ({ status: 0, stdout, stderr: "" });
const status = (name: string) => ["sh", "-c", `sed -n 's/^${name}:\\t//p' /proc/self/status`];

describe("a command", () => {
  const cases: [name: string, flags: string[], args: string[], stdout: string][] = [
    ["is at --cwd", ["--cwd", "/tmp"], ["pwd"], "/tmp\n"],
    [
      "has each --env, the last of a name",
      ["-e", "A=1", "-e", "B=x y", "-e", "A=2"],
      ["sh", "-c", 'echo "$A $B"'],
      "2 x y\n",
    ],
    ["keeps the container's environment", ["-e", "A=1"], ["sh", "-c", "echo $TERM"], "xterm\n"],
    ["is run by --user uid", ["--user", "1000"], ["sh", "-c", "id -u; id -g"], "1000\n0\n"],
    ["is run by -u uid:gid", ["-u", "1000:100"], ["sh", "-c", "id -u; id -g"], "1000\n100\n"],
    ["has the home of its user", ["-u", "1000"], ["sh", "-c", "echo $HOME"], "/home/alice\n"],
    ["has --additional-gids", ["-g", "29", "-g", "30"], ["id", "-G"], "0 29 30\n"],
    ["has --no-new-privs", ["--no-new-privs"], status("NoNewPrivs"), "1\n"],
    ["has --cap in its bounding set", ["--cap", "CAP_CHOWN"], status("CapBnd"), "0000000020000421\n"],
    ["has the container's capabilities without", [], status("CapBnd"), "0000000020000420\n"],
    ["keeps flags that follow the id to itself", [], ["echo", "-e", "--cwd", "-t"], "--cwd -t\n"],
  ];
  for (const [name, flags, args, stdout] of cases) {
    test(name, async () => {
      expect(await exec(args, flags)).toEqual(ok(stdout));
    });
  }

  test("has its own status, 128 and the signal that ended it, or 255 when it could not be started", async () => {
    expect((await exec(["sh", "-c", "exit 7"])).status).toBe(7);
    expect((await exec(["sh", "-c", "kill -9 $$"])).status).toBe(137);
    expect((await exec(["nosuch"])).status).toBe(255);
  });

  test("reads the caller's standard input, and writes to both its outputs", async () => {
    const result = await runtime.exec(container.id, ["sh", "-c", "cat; echo err >&2"], [], { stdin: "in\n" });
    expect(result).toEqual({ status: 0, stdout: "in\n", stderr: "err\n" });
  });

  test("gets --preserve-fds, and is not told of LISTEN_FDS", async () => {
    const script = 'exec 3<<<"third" 4<<<"fourth"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"';
    const inside = 'cat <&3; echo "[$LISTEN_FDS]"';
    const words = runtime.argv("exec", "--preserve-fds", "1", container.id, "sh", "-c", inside);
    expect(await command(["bash", "-c", script, "bash", ...words])).toEqual(ok("third\n[]\n"));
  });
});

describe("a terminal", () => {
  test("of --tty is relayed to the caller's streams", async () => {
    const { status: code, stdout } = await exec(["sh", "-c", "tty; test -t 0 && echo yes"], ["-t"]);
    // The caller has no terminal. tsd gives the command one all the same; runc refuses.
    const shown = isTsd ? expect.stringMatching(/^\/dev\/pts\/\d\r\nyes\r\n$/) : "";
    expect([code, stdout]).toEqual([isTsd ? 0 : 255, shown]);
  });

  test("of --tty and --detach goes to the --console-socket", async () => {
    const path = runtime.path("console");
    using listener = listenUnix(path);
    const words = ["exec", "-t", "-d", "--console-socket", path, container.id, "sleep", "1000"];
    const pidFile = runtime.path("pid");
    expect((await runtime.detached([...words.slice(0, 1), "--pid-file", pidFile, ...words.slice(1)])).status).toBe(0);
    using connection = acceptUnix(listener);
    const { descriptors } = receiveDescriptors(connection);
    using _master = descriptors[0]!;
    const pid = readFileSync(pidFile, "utf8");
    const terminal = await Array.fromAsync([0, 1, 2], (fd) => command(["readlink", `/proc/${pid}/fd/${fd}`]));
    expect(new Set(terminal.map(({ stdout }) => stdout)).size).toBe(1);
    expect(terminal[0]!.stdout).toMatch(/^\/dev\/pts\/\d\n$/);
    process.kill(Number(pid), "SIGKILL");
  });
});

describe("--detach", () => {
  test("returns at once, with the pid in --pid-file, and the process in the container", async () => {
    const pidFile = runtime.path("pid");
    const words = ["exec", "-d", "--pid-file", pidFile, container.id, "sleep", "998"];
    expect(await runtime.detached(words)).toEqual(ok(""));
    const pid = readFileSync(pidFile, "utf8");
    // runc may return before the process has become its program.
    await runtime.until("it sleeps", () => readFileSync(`/proc/${pid}/cmdline`, "utf8") === "sleep\x00998\x00");
    const { pid: first } = await runtime.state(container.id);
    for (const name of ["pid", "mnt", "net", "ipc", "uts"]) {
      const [own, its] = await Promise.all(
        [pid, first].map(async (id) => (await command(["readlink", `/proc/${id}/ns/${name}`])).stdout),
      );
      expect(its).toBe(own!);
    }
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(readFileSync(`/proc/${first}/cgroup`, "utf8"));
    process.kill(Number(pid), "SIGKILL");
  });

  test("with a terminal but no console socket, and a socket without either, are refused", async () => {
    const message = expect.stringContaining("will detach without setting console socket");
    expect(await runtime.fails("exec", "-d", "-t", container.id, "true")).toEqual({ status: 255, message });
    const words = ["exec", "--console-socket", runtime.path("none"), container.id, "true"];
    expect(await runtime.fails(...words)).toEqual({
      status: 255,
      message: expect.stringContaining("will not detach or allocate tty"),
    });
  });
});

describe("--process", () => {
  const processFile = async (value: object | string) => {
    const path = runtime.path("process");
    await Bun.write(path, typeof value === "string" ? value : JSON.stringify(value));
    return path;
  };

  test("says everything about the process, and nothing comes from the container's own", async () => {
    const path = await processFile({
      args: ["sh", "-c", "id -u; id -G; pwd; echo $A $TERM; ulimit -n; sed -n 's/^CapBnd:\\t//p' /proc/self/status"],
      env: ["A=b", "PATH=/bin"],
      cwd: "/etc",
      user: { uid: 1, gid: 2, additionalGids: [3] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 70, hard: 70 }],
      capabilities: { bounding: ["CAP_CHOWN"], effective: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"] },
    });
    const result = await runtime.verb(["exec", "-p", path, container.id]);
    expect(result).toEqual(ok("1\n2 3\n/etc\nb\n70\n0000000000000001\n"));
  });

  // runc 1.1.5 keeps the caller's.
  needs("tsd")("has the file's umask", async () => {
    const path = await processFile({
      args: ["sh", "-c", "umask"],
      env: ["PATH=/bin"],
      cwd: "/",
      user: { umask: 0o77 },
    });
    expect(await runtime.verb(["exec", "-p", path, container.id])).toEqual(ok("0077\n"));
  });

  for (const [what, content, message] of [
    ["is not JSON", "{", /JSON|unexpected E/i],
    ["has a wrong type", { args: "sh", cwd: "/" }, /args/],
    ["has a relative cwd", { args: ["pwd"], cwd: "etc" }, /absolute path/i],
    ["has no command", { cwd: "/" }, /args/],
  ] as const) {
    test(`that ${what} is refused`, async () => {
      const path = await processFile(content as object | string);
      const result = await runtime.fails("exec", "--process", path, container.id);
      expect(result).toEqual({ status: 255, message: expect.stringMatching(message) });
    });
  }

  test("that is not there is refused by its path", async () => {
    const result = await runtime.fails("exec", "-p", "/no/such/file", container.id);
    expect(result).toEqual({ status: 255, message: expect.stringContaining("/no/such/file") });
  });
});

describe("is refused", () => {
  const cases: [name: string, words: string[], message: RegExp][] = [
    ["a program that is not in $PATH", ["ID", "nosuch"], /"nosuch": executable file not found in \$PATH/],
    ["a path that is not there", ["ID", "/no/such"], /"\/no\/such".*no such file or directory/],
    ["a file that is not executable", ["ID", "/etc/not-executable"], /"\/etc\/not-executable": permission denied/],
    ["a relative --cwd", ["--cwd", "tmp", "ID", "pwd"], /absolute path/],
    ["a --cwd that is not there", ["--cwd", "/no/such", "ID", "pwd"], /\/no\/such/],
    ["a user by name", ["-u", "alice", "ID", "id"], /alice/],
    ["a user with half a group", ["-u", "1:", "ID", "id"], /1:|parsing/],
    ["no command", ["ID"], /process args cannot be empty|no command/],
    ["an unknown container", ["nosuch", "true"], /container.* does not exist/],
  ];
  for (const [name, words, message] of cases) {
    test(name, async () => {
      const result = await runtime.fails("exec", ...words.map((word) => (word === "ID" ? container.id : word)));
      expect(result).toEqual({ status: 255, message: expect.stringMatching(message) });
    });
  }

  test("a stopped container", async () => {
    await using stopped = await runtime.running(["true"]);
    await runtime.waitFor(stopped.id, "stopped");
    const result = await runtime.fails("exec", stopped.id, "true");
    expect(result).toEqual({ status: 255, message: expect.stringMatching(/cannot exec .*stopped/) });
  });

  // Looked for with AppArmor or SELinux in the kernel; without, both say that there is none.
  test("a profile or label on a kernel without the module", async () => {
    const modules = await Bun.file("/sys/kernel/security/lsm")
      .text()
      .catch(() => "");
    for (const [flag, module] of [
      ["--apparmor", "apparmor"],
      ["--process-label", "selinux"],
    ]) {
      if (modules.includes(module!)) continue;
      const result = await exec(["true"], [flag!, "nosuch"]);
      expect(result.status).toBe(255);
      expect(result.stderr.toLowerCase()).toMatch(new RegExp(`${module}|/attr/`));
    }
  });
});
