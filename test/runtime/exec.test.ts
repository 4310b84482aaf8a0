/** `exec`, the same table for runc and for tsd. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { command, until } from "../harness/command.ts";
import { Bundles, messageOf, type RuntimeName } from "./bundles.ts";

let bundles: Bundles;
/** One container for each runtime that all commands run in. */
const containers = new Map<RuntimeName, { id: string } & AsyncDisposable>();

beforeAll(async () => {
  bundles = await Bundles.open(["busybox"]);
  for (const runtime of ["runc", "tsd"] as const) containers.set(runtime, await bundles.running(runtime));
}, 120_000);

afterAll(async () => {
  for (const container of containers.values()) await container[Symbol.asyncDispose]();
  await bundles?.[Symbol.asyncDispose]();
});

const grepCapabilities = ["grep", "^Cap", "/proc/self/status"];

interface Case {
  name: string;
  flags?: string[];
  args: string[];
  stdin?: string;
  expected: { status: number; stdout: string; stderr: string };
}

const ok = (stdout: string) => ({ status: 0, stdout, stderr: "" });

const cases: Case[] = [
  {
    name: "has streams and a status of its own",
    args: ["sh", "-c", "cat; echo err >&2; exit 5"],
    stdin: "in\n",
    expected: { status: 5, stdout: "in\n", stderr: "err\n" },
  },
  {
    name: "ends with 128 and the signal that ended it",
    args: ["sh", "-c", "kill -9 $$"],
    expected: { status: 137, stdout: "", stderr: "" },
  },
  {
    name: "takes flags of the command as the command's",
    args: ["echo", "-n", "-e", "--cwd"],
    expected: ok("--cwd"),
  },
  { name: "--cwd", flags: ["--cwd", "/tmp"], args: ["pwd"], expected: ok("/tmp\n") },
  {
    name: "-e, more than once, and a later one wins",
    flags: ["-e", "A=first", "-e", "B=two words", "-e", "A=second"],
    args: ["sh", "-c", 'echo "$A, $B"'],
    expected: ok("second, two words\n"),
  },
  {
    name: "-u with a group",
    flags: ["-u", "1000:100"],
    args: ["id"],
    expected: ok("uid=1000(alice) gid=100(users) groups=0(root)\n"),
  },
  {
    name: "-u with additional groups",
    flags: ["-u", "1000", "-g", "29", "-g", "30"],
    args: ["id"],
    expected: ok("uid=1000(alice) gid=0(root) groups=0(root),29(audio),30\n"),
  },
  {
    name: "--cap adds a capability",
    flags: ["--cap", "CAP_SYS_ADMIN"],
    args: grepCapabilities,
    expected: ok(
      "CapInh:\t0000000000000000\nCapPrm:\t00000000a82425fb\nCapEff:\t00000000a82425fb\nCapBnd:\t00000000a82425fb\nCapAmb:\t0000000000000000\n",
    ),
  },
  {
    name: "--cap gives a user nothing but the chance",
    flags: ["--cap", "CAP_SYS_ADMIN", "-u", "1000"],
    args: grepCapabilities,
    expected: ok(
      "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a82425fb\nCapAmb:\t0000000000000000\n",
    ),
  },
  {
    name: "--cap of a capability that nobody knows is told and left out",
    flags: ["--cap", "CAP_NOPE"],
    args: ["true"],
    expected: { status: 0, stdout: "", stderr: expect.stringMatching(/warning.*capabilities: \[CAP_NOPE\]/) },
  },
  {
    name: "--no-new-privs",
    flags: ["--no-new-privs"],
    args: ["grep", "NoNewPrivs", "/proc/self/status"],
    expected: ok("NoNewPrivs:\t1\n"),
  },
  {
    name: "is below the container's seccomp filter",
    args: ["grep", "^Seccomp", "/proc/self/status"],
    expected: ok("Seccomp:\t2\nSeccomp_filters:\t1\n"),
  },
];

interface Refusal {
  name: string;
  words: string[];
  status: number;
  /** Words that the messages of both have in common. */
  message: RegExp;
}

const refusals: Refusal[] = [
  { name: "an unknown container", words: ["no-such", "true"], status: 255, message: /does not exist/ },
  { name: "no command", words: ["ID"], status: 255, message: /process args cannot be empty|no command/ },
  {
    name: "a command that is not there",
    words: ["ID", "nope"],
    status: 255,
    message: /exec: "nope": .*not found in \$PATH/,
  },
  {
    name: "a path that is not there",
    words: ["ID", "/bin/nope"],
    status: 255,
    message: /"\/bin\/nope": .*no such file/,
  },
  {
    name: "a command that is not executable",
    words: ["ID", "/etc/not-executable"],
    status: 255,
    message: /exec: "\/etc\/not-executable": permission denied/,
  },
  { name: "a directory", words: ["ID", "/etc"], status: 255, message: /exec: "\/etc": .*permission denied/ },
  { name: "a relative --cwd", words: ["--cwd", "tmp", "ID", "pwd"], status: 255, message: /absolute path/ },
  { name: "a --cwd that is not there", words: ["--cwd", "/nope", "ID", "pwd"], status: 255, message: /cwd.*\/nope/ },
  { name: "a user by name", words: ["-u", "alice", "ID", "id"], status: 255, message: /alice/ },
  { name: "a process file that is not there", words: ["-p", "/no/file", "ID"], status: 255, message: /\/no\/file/ },
  {
    name: "a terminal without a console socket when it detaches",
    words: ["-d", "-t", "ID", "tty"],
    status: 255,
    message: /cannot allocate tty if .* will detach without setting console socket/,
  },
  { name: "an unknown flag", words: ["--nope", "ID", "true"], status: 1, message: /not defined: -nope/ },
  { name: "no container", words: [], status: 1, message: /requires a minimum of 1 argument/ },
];

describe.each(["runc", "tsd"] as const)("exec of %s", (runtime) => {
  const exec = (words: string[], stdin?: string) =>
    bundles.verb(runtime, ["exec", ...words], stdin === undefined ? {} : { stdin });
  const id = () => containers.get(runtime)!.id;

  for (const { name, flags = [], args, stdin, expected } of cases) {
    test(name, async () => {
      expect(await exec([...flags, id(), ...args], stdin)).toEqual(expected);
    });
  }

  for (const { name, words, status, message } of refusals) {
    test(`refuses ${name}`, async () => {
      const result = await exec(words.map((word) => (word === "ID" ? id() : word)));
      expect(result.status).toBe(status);
      expect(messageOf(result.stderr)).toMatch(message);
      expect((await exec([id(), "ps", "-o", "args"])).stdout.split("\n")).toEqual([
        "COMMAND",
        "sleep 1000",
        "ps -o args",
        "",
      ]);
    });
  }

  test("-d returns at once, and --pid-file has the process", async () => {
    const pidFile = bundles.workspace.path(`pid-${runtime}`);
    const words = ["exec", "-d", "--pid-file", pidFile, id(), "sleep", "999"];
    expect(await bundles.detached(runtime, words)).toEqual({ status: 0, stdout: "", stderr: "" });
    const pid = Number(readFileSync(pidFile, "utf8"));
    // runc 1.1.5 returns before the process has become its program.
    await until("it is the command", () => readFileSync(`/proc/${pid}/cmdline`, "utf8") === "sleep\x00999\x00");
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(id());
    process.kill(pid, "SIGKILL");
    await until("it has ended", async () => !(await exec([id(), "ps"])).stdout.includes("sleep 999"));
  });

  test("-p takes everything from a file", async () => {
    const file = bundles.workspace.path(`process-${runtime}.json`);
    const capabilities = ["CAP_CHOWN"];
    await Bun.write(
      file,
      JSON.stringify({
        terminal: false,
        user: { uid: 1, gid: 2 },
        args: ["sh", "-c", 'id; pwd; echo "$X $HOME"; ulimit -n; grep CapBnd /proc/self/status'],
        env: ["X=y", "PATH=/bin"],
        cwd: "/etc",
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 77, hard: 77 }],
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        oomScoreAdj: 123,
      }),
    );
    expect(await exec(["-p", file, id()])).toEqual(
      ok("uid=1(daemon) gid=2\n/etc\ny /usr/sbin\n77\nCapBnd:\t0000000000000001\n"),
    );
  });

  test("--preserve-fds passes descriptors on", async () => {
    const argv = bundles.argv(runtime, ["exec", "--preserve-fds", "1", id(), "sh", "-c", "cat <&3"]);
    const result = await command(["bash", "-c", 'exec 3<<<"of three"; exec "$@"', "bash", ...argv]);
    expect(result).toEqual(ok("of three\n"));
  });

  test("sees the container and not the host", async () => {
    const script =
      "readlink /proc/self/ns/net; readlink /proc/1/ns/net; hostname; cat /proc/1/comm; echo $(ls /proc/self/fd)";
    const [own, first, hostname, name, open] = (await exec([id(), "sh", "-c", script])).stdout.split("\n");
    expect(own).toBe(first!);
    // 3 is the directory that ls reads.
    expect([hostname, name, open]).toEqual(["tsd", "sleep", "0 1 2 3"]);
  });
});
