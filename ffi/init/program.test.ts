import { afterAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { interpreterCode, interpreterListing } from "../plan/interpreter.ts";
import { initEntryCode, initEntryListing } from "./entry.ts";
import { initExecutable } from "./program.ts";

const directory = mkdtempSync("/var/tmp/tsd-init-");
chmodSync(directory, 0o755);
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const asRoot = test.skipIf(process.getuid?.() !== 0);
const haveAssembler = Bun.which("as") !== null && Bun.which("objcopy") !== null;
const usualPath = "/usr/bin:/bin";

/** Writes the init of a program. @returns its path. */
let written = 0;
function initOf(name: string, path = usualPath): string {
  const file = join(directory, `init-${++written}`);
  writeFileSync(file, initExecutable({ name, path }), { mode: 0o755 });
  return file;
}

interface RunOptions {
  path?: string;
  env?: Record<string, string>;
  cwd?: string;
  /** A command that becomes the init. */
  through?: string[];
}

function run(command: string[], { path, env = { PATH: usualPath }, cwd = "/", through = [] }: RunOptions = {}) {
  const argv = [...through, initOf(command[0]!, path), "--", ...command];
  const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { env, cwd, timeout: 20_000, killSignal: "SIGKILL" });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** In the order in which they became its children. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

function stateOf(pid: number): string {
  return /^State:\t(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]!;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what}: not so in time`);
    await Bun.sleep(1);
  }
}

/** Collects what a process writes. */
function outputOf(stream: ReadableStream<Uint8Array>): { text: string } {
  const output = { text: "" };
  const decoder = new TextDecoder();
  const write = (bytes: Uint8Array) => {
    output.text += decoder.decode(bytes);
  };
  void stream.pipeTo(new WritableStream({ write }));
  return output;
}

function file(name: string, content: string, mode: number): void {
  writeFileSync(join(directory, name), content, { mode });
}

describe("the init's machine code", () => {
  test.skipIf(!haveAssembler)("is what the assembler makes of its listing", () => {
    const object = join(directory, "code.o");
    execFileSync("as", ["-o", object, "-"], { input: initEntryListing + interpreterListing });
    execFileSync("objcopy", ["-O", "binary", "-j", ".text", object, `${object}.bin`]);
    expect(readFileSync(`${object}.bin`).toString("hex")).toBe(initEntryCode + interpreterCode);
  });
});

describe("the init program", () => {
  test("ends with its program's status", () => {
    expect(run(["sh", "-c", "echo hi; exit 7"])).toEqual({ exitCode: 7, stdout: "hi\n", stderr: "" });
    expect(run(["true"]).exitCode).toBe(0);
    expect(run(["sh", "-c", "exit 255"]).exitCode).toBe(255);
  });

  test("ends with 128 + n after a signal, with or without a core", () => {
    for (const signal of [1, 9, 11, 15, 37, 64]) {
      expect(run(["bash", "-c", `kill -${signal} $$`]).exitCode).toBe(128 + signal);
    }
  });

  test("gives the program its arguments and its environment, with or without -- before them", () => {
    const env = { A: "1", EMPTY: "", PATH: "/nowhere" };
    const show = ["sh", "-c", 'printf "<%s>" "$0" "$@"; exec /usr/bin/env', "--", "", "--", "a b"];
    const shown = "<--><><--><a b>";
    const { stdout } = run(show, { env });
    expect(stdout.slice(0, shown.length)).toBe(shown);
    const lines = stdout.slice(shown.length).trim().split("\n");
    expect(lines.filter((line) => !/^(PWD|_|SHLVL|OLDPWD)=/.test(line)).sort()).toEqual([
      "A=1",
      "EMPTY=",
      "PATH=/nowhere",
    ]);
    expect(Bun.spawnSync([initOf("echo"), "echo", "-n", "x"]).stdout.toString()).toBe("x");
    // argv[0] is as it was given, wherever the program was found.
    expect(run(["sh", "-c", "tr '\\0' ' ' < /proc/$$/cmdline; :"]).stdout).toStartWith("sh -c ");
  });

  test("says when there is no command", () => {
    for (const args of [[], ["--"]]) {
      const { exitCode, stderr } = Bun.spawnSync([initOf("true"), ...args]);
      expect([exitCode, stderr.toString()]).toEqual([125, "tsd-init: no command\n"]);
    }
  });

  test("looks along PATH, past what is not there or may not be executed", () => {
    mkdirSync(join(directory, "refusing"));
    mkdirSync(join(directory, "holding/tool"), { recursive: true });
    mkdirSync(join(directory, "having"));
    file("refusing/tool", "#!/bin/sh\necho refused\n", 0o644);
    file("having/tool", '#!/bin/sh\necho "$0 $1"\n', 0o755);
    const inDirectory = (name: string) => join(directory, name);
    const names = ["nowhere", "refusing/tool", "refusing", "holding", "having"].map(inDirectory);
    const path = [`/${"x".repeat(5000)}`, ...names].join(":");
    expect(run(["tool", "found"], { path }).stdout).toBe(`${inDirectory("having/tool")} found\n`);
    expect(run(["tool"], { path: inDirectory("nowhere") })).toEqual({
      exitCode: 127,
      stdout: "",
      stderr: "tsd-init: cannot execute tool: not found\n",
    });
    for (const only of ["refusing", "holding"]) {
      expect(run(["tool"], { path: `${inDirectory(only)}:${inDirectory("nowhere")}` })).toEqual({
        exitCode: 126,
        stdout: "",
        stderr: "tsd-init: cannot execute tool: permission denied\n",
      });
    }
    // An empty directory of PATH is the working directory.
    expect(run(["tool", "here"], { path: "/nowhere:", cwd: inDirectory("having") }).stdout).toBe("./tool here\n");
    expect(run(["tool"], { path: "/nowhere", cwd: inDirectory("having") }).exitCode).toBe(127);
  });

  test("takes a name with a slash as it is, from the working directory", () => {
    file("script", '#!/bin/sh\necho "$0 $1 in $(pwd)"\n', 0o755);
    expect(run(["./script", "a"], { cwd: directory }).stdout).toBe(`./script a in ${directory}\n`);
    expect(run([join(directory, "script"), "b"], { path: "" }).stdout).toBe(`${directory}/script b in /\n`);
    expect(run(["./script"], { path: directory })).toMatchObject({
      exitCode: 127,
      stderr: "tsd-init: cannot execute ./script: not found\n",
    });
    expect(run(["/etc/passwd"]).exitCode).toBe(126);
  });

  test("says what the kernel cannot execute", () => {
    file("noise", "no program\n", 0o755);
    const refused = { exitCode: 126, stdout: "", stderr: "tsd-init: cannot execute ./noise\n" };
    expect(run(["./noise"], { cwd: directory })).toEqual(refused);
    file("lost", "#!/no/such/interpreter\n", 0o755);
    expect(run(["./lost"], { cwd: directory }).exitCode).toBe(127);
  });

  asRoot("says when it can make no process", () => {
    const through = ["prlimit", "--nproc=1", "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
    expect(run(["true"], { through })).toMatchObject({ exitCode: 125, stderr: "tsd-init: cannot make a process\n" });
  });

  test("hands every signal on that can be waited for, real-time ones too", async () => {
    const signals = Array.from({ length: 64 }, (_, index) => index + 1).filter(
      // ILL to FPE, SEGV and SYS are the init's own; KILL and STOP are nobody's; the shell keeps CHLD, 32 and 33.
      (number) => ![4, 5, 6, 7, 8, 9, 11, 17, 19, 31, 32, 33].includes(number),
    );
    const script = 'for n in "$@"; do trap "echo $n" $n; done; echo ready; while :; do read -t 0.01 <> <(:); done';
    const command = ["bash", "-c", script, "bash", ...signals.map(String)];
    const child = Bun.spawn([initOf("bash"), "--", ...command], { stdout: "pipe", stderr: "ignore" });
    try {
      const output = outputOf(child.stdout);
      let expected = "ready\n";
      for (const number of signals) {
        await until(`the output is ${expected}`, () => output.text === expected);
        // Bun's own kill knows no real-time signals.
        expect(Bun.spawnSync(["kill", `-${number}`, String(child.pid)]).success).toBe(true);
        expected += `${number}\n`;
      }
      await until(`the output is ${expected}`, () => output.text === expected);
    } finally {
      process.kill(childrenOf(child.pid)[0]!, "SIGKILL");
    }
    expect(await child.exited).toBe(137);
  });

  test("leaves the program's own mask as it was", () => {
    const show = ["grep", "SigBlk", "/proc/self/status"];
    expect(run(show).stdout).toBe("SigBlk:\t0000000000000000\n");
    const through = ["env", "--block-signal=USR1"];
    expect(run(show, { through }).stdout).toBe("SigBlk:\t0000000000000200\n");
  });

  test("has no memory that can be written and executed, and no descriptor but its own", () => {
    const maps = run(["sh", "-c", "cat /proc/$PPID/maps"]).stdout;
    expect(maps).toMatch(/^00400000-\S+ r-xp /m);
    expect(maps).toMatch(/^10000000-\S+ rw-p /m);
    expect(maps).toMatch(/^10400000-\S+ r--p /m);
    expect(maps).not.toContain("wx");
    expect(run(["sh", "-c", "ls /proc/$PPID/fd"]).stdout).toBe("0\n1\n2\n");
  });

  test("makes the program a process group of its own, which has the terminal", async () => {
    let shown = "";
    const child = Bun.spawn([initOf("cut"), "--", "cut", "-d", " ", "-f", "1,5,8", "/proc/self/stat"], {
      terminal: {
        data: (_, data) => {
          shown += Buffer.from(data).toString();
        },
      },
    });
    expect(await child.exited).toBe(0);
    await until("the group is shown", () => shown.includes("\n"));
    child.terminal?.close();
    const [pid, group, foreground] = shown.trim().split(" ");
    expect([group, foreground]).toEqual([pid, pid]);
    expect(Number(pid)).not.toBe(child.pid);
    const [own, ownGroup] = run(["cut", "-d", " ", "-f", "1,5", "/proc/self/stat"]).stdout.trim().split(" ");
    expect(ownGroup).toBe(own);
  });

  asRoot("reaps orphans, as process 1 must", () => {
    // Ends when the shell and the init are all that is there.
    const script =
      "for i in 1 2 3 4 5; do (sleep 0.01 &); done; while set -- /proc/[0-9]*; [ $# -gt 2 ]; do :; done; echo $*";
    const through = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const { exitCode, stdout } = run(["sh", "-c", script], { through });
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^\/proc\/1 \/proc\/2\n$/)]);
  });

  asRoot("reaps all that have ended when one signal stands for many", async () => {
    const script = "for i in 1 2 3 4 5; do (sleep 1000 &); done; echo ready; exec sleep 1000";
    const through = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const child = Bun.spawn([...through, initOf("sh"), "--", "sh", "-c", script], { stdout: "pipe", stderr: "ignore" });
    using _ended = { [Symbol.dispose]: () => child.kill("SIGKILL") };
    await child.stdout.getReader().read();
    const init = childrenOf(child.pid)[0]!;
    await until("all are the init's", () => childrenOf(init).length === 6);
    // The first is the program; SIGCHLD is pending once, however often it was sent.
    const [program, ...orphans] = childrenOf(init);
    process.kill(init, "SIGSTOP");
    await until("the init stands still", () => stateOf(init) === "T");
    for (const orphan of orphans) process.kill(orphan, "SIGKILL");
    await until("all have ended", () => orphans.every((orphan) => stateOf(orphan) === "Z"));
    process.kill(init, "SIGCONT");
    await until("all are reaped", () => childrenOf(init).length === 1);
    process.kill(program!, "SIGKILL");
    expect(await child.exited).toBe(137);
  });

  asRoot("ends when its program does, whatever else still runs", () => {
    const through = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    expect(run(["sh", "-c", "sleep 1000 & exit 3"], { through }).exitCode).toBe(3);
  });

  test("is refused for what no program can be called", () => {
    expect(() => initExecutable({ name: "a\0b", path: usualPath })).toThrow("contains a NUL");
  });
});
