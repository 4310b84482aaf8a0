import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openTreeFlags } from "../constants/mount.ts";
import { CLONE_NEWPID, CLONE_NEWUTS } from "../constants/namespace.ts";
import { AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR, openFlags } from "../constants/open.ts";
import { closeRangeFlags, prctlOptions } from "../constants/process.ts";
import { SYS } from "../constants/syscalls.ts";
import { errnoNumber } from "../errno.ts";
import { openat, read, write } from "../files.ts";
import { waitForChild } from "../process.ts";
import { assemble, copyPlan } from "./assemble.ts";
import { PlanBuilder } from "./builder.ts";
import { capsuleImage, onPrivateFileSystem, openCapsule } from "./capsule.ts";
import { explainAsText, explainPlan } from "./explain.ts";
import {
  cloneCode,
  cloneListing,
  entryCode,
  entryListing,
  interpreterCode,
  interpreterListing,
} from "./interpreter.ts";
import { field, notRun, planBase, recordSize } from "./records.ts";
import { spawnPlan } from "./spawn.ts";
import { answer, at, bytes, constant, flags, memory, octal, str, strings, struct } from "./values.ts";

const asRoot = test.skipIf(process.getuid?.() !== 0);
const haveAssembler = Bun.which("as") !== null && Bun.which("objcopy") !== null;

/** Adds the exec of a shell command with the descriptor `out` as its output. */
function execShell(plan: PlanBuilder, command: string) {
  plan.call("dup3", [plan.descriptor("out"), 1, 0]);
  plan.finish();
  const environment = strings(["PATH=/bin:/usr/bin"]);
  plan.call("execve", [str("/bin/sh"), strings(["sh", "-c", command]), environment], { what: "/bin/sh" });
}

function scratchFile() {
  const directory = mkdtempSync("/var/tmp/tsd-plan-");
  const path = join(directory, "out");
  const fd = openat(AT_FDCWD, path, O_RDWR | O_CREAT, 0o600);
  return {
    fd,
    text: () => readFileSync(path, "utf8"),
    [Symbol.dispose]() {
      fd.close();
      rmSync(directory, { recursive: true });
    },
  };
}

describe("the machine code", () => {
  test.skipIf(!haveAssembler)("is what the assembler makes of its listings", () => {
    const directory = mkdtempSync("/var/tmp/tsd-plan-");
    const assembleText = (listing: string) => {
      const object = join(directory, "code.o");
      execFileSync("as", ["-o", object, "-"], { input: listing });
      execFileSync("objcopy", ["-O", "binary", "-j", ".text", object, `${object}.bin`]);
      return readFileSync(`${object}.bin`).toString("hex");
    };
    expect(assembleText(entryListing + interpreterListing)).toBe(entryCode + interpreterCode);
    expect(assembleText(cloneListing + interpreterListing)).toBe(cloneCode + interpreterCode);
    rmSync(directory, { recursive: true });
  });

  test("is packed into a small ELF executable", () => {
    const image = capsuleImage();
    expect(image.length).toBeLessThan(512);
    expect(new TextDecoder().decode(image.subarray(1, 4))).toBe("ELF");
  });
});

describe("assembling", () => {
  test("lays out numbers, texts, structures and copies of results", () => {
    const plan = new PlanBuilder();
    const opened = plan.call("openat", [AT_FDCWD, str("/a"), 2 ** 40 + 1, octal(0o644)], { ignore: ["ENOENT"] });
    plan.call("read", [opened, struct({ first: 1, second: opened, text: str("/a") }), -1n, null, plan.descriptor("x")]);
    const built = plan.build();
    const assembled = assemble(built, { x: 9 });
    const image = new Uint8Array(assembled.size);
    copyPlan(assembled, image);
    const view = new DataView(image.buffer);
    const word = (record: number, index: number) =>
      view.getBigUint64(record * recordSize + field.arguments + index * 8, true);
    expect(BigInt.asIntN(64, word(0, 0))).toBe(-100n);
    expect([word(0, 2), word(0, 3), word(0, 4)]).toEqual([2n ** 40n + 1n, 0o644n, 0n]);
    expect([word(1, 2), word(1, 3), word(1, 4)]).toEqual([2n ** 64n - 1n, 0n, 9n]);
    const text = Number(word(0, 1)) - planBase;
    expect([...image.subarray(text, text + 3)]).toEqual([0x2f, 0x61, 0]);
    expect(view.getInt16(field.ignored, true)).toBe(2);
    expect(view.getBigInt64(field.result, true)).toBe(notRun);
    // The result goes to the first argument and into the structure, in which the text is the same one again.
    const copies = Number(view.getBigUint64(field.copies, true)) - planBase;
    const structure = Number(word(1, 1));
    const first = planBase + recordSize + field.arguments;
    expect(view.getBigUint64(copies, true)).toBe(BigInt(first | 1));
    expect(view.getBigUint64(copies + 8, true)).toBe(BigInt((structure + 8) | 1));
    expect(view.getBigUint64(copies + 16, true)).toBe(0n);
    expect(view.getBigUint64(structure - planBase + 16, true)).toBe(word(0, 1));
  });

  test("refuses what it cannot lay out", () => {
    expect(() => str("a\0b")).toThrow("contains a NUL");
    const missing = new PlanBuilder();
    missing.call("close", [missing.descriptor("x")]);
    expect(() => assemble(missing.build(), {})).toThrow("uses the descriptor x, which was not given");
    const unplaced = new PlanBuilder();
    unplaced.jump(unplaced.label("nowhere"));
    expect(() => unplaced.build()).toThrow("label nowhere is jumped to and never placed");
    const large = new PlanBuilder();
    large.call("write", [1, bytes(new Uint8Array(17 << 20), "much"), 1]);
    expect(() => assemble(large.build(), {})).toThrow("is too large");
    const many = new PlanBuilder();
    expect(() => many.call("close", [], { ignore: ["E1", "E2", "E3", "E4", "E5"] })).toThrow("ignores 5 errnos");
  });

  test("grows for many and for large values", () => {
    const plan = new PlanBuilder();
    const large = "x".repeat(100000);
    for (let i = 0; i < 500; i++) plan.call("write", [1, str(`${large.slice(0, i * 20)}é`), 3]);
    const { texts } = assemble(plan.build(), {});
    expect(Buffer.from(texts).includes(Buffer.from(`${large.slice(0, 499 * 20)}é\0`))).toBe(true);
  });
});

describe("explaining", () => {
  const plan = new PlanBuilder();
  const skip = plan.label("skip");
  plan.because("process.noNewPrivileges", () => {
    plan.call("prctl", [constant(38, prctlOptions), 1, 0, 0, 0]);
  });
  const tree = plan.call("open_tree", [AT_FDCWD, str("/x"), flags(0x80001, openTreeFlags)], {
    name: "tree",
    ignore: ["ENOENT"],
    onError: skip,
  });
  plan.call("write", [plan.descriptor("out"), tree, 1], { onZero: skip });
  plan.place(skip);
  plan.call("execve", [str("/a"), strings(["a"]), strings([])]);
  const built = plan.build(CLONE_NEWPID);

  test("prints every call with its words, its reason and its jumps", () => {
    expect(explainAsText(built)).toBe(
      [
        "clone      CLONE_NEWPID",
        "inherits   @out",
        "",
        "# process.noNewPrivileges",
        "   0 prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)",
        '   1 $tree = open_tree(-100, "/x", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC), or ENOENT, else → skip',
        "   2 write(@out, $tree, 1), 0 → skip",
        "     skip:",
        '   3 execve("/a", ["a"], [])',
        "",
        "# a call failed",
        "   4 exit_group(255)",
        "",
      ].join("\n"),
    );
  });
  test("gives the same as data", () => {
    const explained = explainPlan(built);
    expect(explained).toMatchObject({ clone: "CLONE_NEWPID", descriptors: ["out"], checkpoints: [] });
    expect(explained.records[1]).toEqual({
      index: 1,
      call: "open_tree",
      arguments: ["-100", '"/x"', "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC"],
      text: 'open_tree(-100, "/x", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC)',
      result: "tree",
      ignore: ["ENOENT"],
      onError: 3,
    });
  });
});

describe("a running plan", () => {
  test("passes results on, ends by execve, and its status arrives", () => {
    using out = scratchFile();
    const plan = new PlanBuilder();
    const hosts = plan.call("openat", [AT_FDCWD, str("/etc/passwd"), flags(O_RDONLY, openFlags)]);
    plan.call("dup3", [hosts, 0, 0]);
    execShell(plan, "read line; echo $line; exit 7");
    using process = spawnPlan(plan.build(), { descriptors: { out: out.fd } });
    expect(process.next()).toBeUndefined();
    expect(process.failure()).toBeUndefined();
    expect(process.result(hosts)).toBeGreaterThan(2);
    expect(process.reap()).toEqual({ status: 7 });
    expect(out.text()).toBe(`${readFileSync("/etc/passwd", "utf8").split("\n")[0]}\n`);
  });

  test("tells which call failed, with its object and reason", () => {
    const plan = new PlanBuilder();
    plan.because("mounts[3]", () => plan.call("chdir", [str("/nonexistent")], { what: "/nonexistent" }));
    using process = spawnPlan(plan.build());
    expect(process.next()).toBeUndefined();
    const failure = process.failure();
    expect(failure).toMatchObject({ record: 0, call: "chdir", errno: "ENOENT", why: "mounts[3]" });
    expect(failure?.text).toBe('chdir("/nonexistent")');
    expect(failure?.error.message).toBe("chdir /nonexistent: ENOENT (no such file or directory)");
    expect(process.reap()).toEqual({ status: 255 });
  });

  test("says when it was killed in between", () => {
    const plan = new PlanBuilder();
    plan.call("getpid", []);
    plan.call("tgkill", [plan.call("getpid", []), plan.call("gettid", []), 9]);
    plan.call("getpid", []);
    using process = spawnPlan(plan.build());
    expect(process.next()).toBeUndefined();
    expect(process.failure()).toMatchObject({ errno: undefined, record: 2 });
    expect(process.failure()?.error.message).toBe("the process was killed while it was set up, after gettid()");
    expect(process.reap()).toEqual({ signal: 9 });
  });

  test("ignores the listed errnos, jumps on others and on zero, retries a bounded number of times", () => {
    const plan = new PlanBuilder();
    const [missing, done] = [plan.label("missing"), plan.label("done")];
    const path = str("/nonexistent");
    const ignored = plan.call("chdir", [path], { ignore: ["EIO", "EPERM", "EINTR", "ENOENT"] });
    plan.call("chdir", [path], { onError: missing });
    plan.call("exit_group", [1]);
    plan.place(missing);
    plan.call("umask", [0], { next: done });
    plan.call("exit_group", [2]);
    plan.place(done);
    const second = plan.label("second");
    plan.call("umask", [0o22], { onZero: second });
    plan.call("exit_group", [3]);
    plan.place(second);
    const gaveUp = plan.label("gave up");
    plan.call("chdir", [path], { retry: { errnos: ["EAGAIN", "ENOENT"], times: 1000 }, onError: gaveUp });
    plan.call("exit_group", [4]);
    plan.place(gaveUp);
    plan.call("exit_group", [42]);
    using process = spawnPlan(plan.build());
    process.next();
    expect(process.reap()).toEqual({ status: 42 });
    expect(process.result(ignored)).toBe(-errnoNumber("ENOENT"));
  });

  test("compares and loads memory that its calls wrote", () => {
    const plan = new PlanBuilder();
    const status = memory(256, "status");
    const wrong = plan.label("wrong");
    plan.call("statx", [AT_FDCWD, str("/dev/null"), 0, 0x7ff, status]);
    // stx_rdev_major and stx_rdev_minor are one word: 1 and 3.
    plan.select(at(status, 128), { expected: (3n << 32n) | 1n, equal: 0, different: -1 }, { onError: wrong });
    const mode = plan.load(at(status, 28), { mask: 0o7777n }, { name: "mode" });
    const compared = plan.select(at(status, 128), { mask: 0xffffffffn, expected: 1n, equal: 5, different: 6 });
    const other = plan.select(at(status, 128), { expected: 0n, equal: 5, different: 6 });
    plan.call("exit_group", [mode]);
    plan.place(wrong);
    plan.call("exit_group", [1]);
    using process = spawnPlan(plan.build());
    process.next();
    expect(process.reap()).toEqual({ status: 0o666 & 0xff });
    expect(process.result(mode)).toBe(0o666);
    expect([process.result(compared), process.result(other)]).toEqual([5, 6]);
    expect(new DataView(process.memory(status).buffer).getUint32(128, true)).toBe(1);
  });

  test("adds to what it loads, follows addresses, and looks at its own answers, those below zero too", () => {
    const plan = new PlanBuilder();
    const words = struct({ value: 0x1_2345_6789n, address: bytes(Uint8Array.of(40, 0, 0, 0, 0, 0, 0, 0), "40") });
    const start = plan.load(struct({ start: words }));
    const sums = [
      plan.load(start, { plus: 1 }),
      plan.load(start, { mask: 0xffn, plus: 0x80 }),
      plan.load(start, { mask: 0xffn, plus: -0x80 }),
    ];
    const address = plan.load(plan.load(struct({ start: words }), { plus: 8 }));
    const followed = plan.load(address, { plus: 2 });
    const missing = plan.call("chdir", [str("/nonexistent")], { ignore: ["ENOENT"] });
    const answers = [
      plan.select(answer(missing), { expected: -2n, equal: 7, different: 8 }),
      plan.select(answer(followed), { expected: followed, equal: 7, different: 8 }),
      plan.select(answer(followed), { expected: start, equal: 7, different: 8 }),
    ];
    plan.call("exit_group", [followed]);
    const built = plan.build();
    expect(explainAsText(built)).toContain("load ($0 & 255) + 128\n");
    expect(explainAsText(built)).toContain("load $0 + 1\n");
    expect(explainAsText(built)).toContain("verify &$7 == -2 ? 7 : 8\n");
    using process = spawnPlan(built);
    process.next();
    expect(process.reap()).toEqual({ status: 42 });
    expect(sums.map((ref) => process.result(ref))).toEqual([0x1_2345_678a, 0x109, 9]);
    expect(answers.map((ref) => process.result(ref))).toEqual([7, 7, 8]);
  });

  test("waits at a checkpoint until it is answered, and ends when the parent goes away", () => {
    using out = scratchFile();
    const make = () => {
      const plan = new PlanBuilder();
      plan.checkpoint("maps", true);
      plan.checkpoint("ready");
      execShell(plan, "echo ran");
      return plan.build();
    };
    {
      using process = spawnPlan(make(), { descriptors: { out: out.fd } });
      expect(process.next()).toBe("maps");
      expect(out.text()).toBe("");
      process.proceed();
      expect([process.next(), process.next()]).toEqual(["ready", undefined]);
      expect(process.reap()).toEqual({ status: 0 });
      expect(out.text()).toBe("ran\n");
    }
    const abandoned = spawnPlan(make(), { descriptors: { out: out.fd } });
    expect(abandoned.next()).toBe("maps");
    abandoned[Symbol.dispose]();
    // Ends by itself: nobody answers any more.
    expect(waitForChild(abandoned.pid)).toMatchObject({ kind: "exited", code: 255 });
    expect(out.text()).toBe("ran\n");
  });

  test("runs in a program of its own, which cannot be written to, with no descriptor but its own", () => {
    using out = scratchFile();
    using secret = openat(AT_FDCWD, "/etc/hostname", O_RDONLY);
    const plan = new PlanBuilder();
    plan.checkpoint("here", true);
    plan.call("close_range", [3, 0xffffffff, flags(4, closeRangeFlags)]);
    execShell(plan, "ls -l /proc/$$/fd");
    using process = spawnPlan(plan.build(), { descriptors: { out: out.fd } });
    expect(process.next()).toBe("here");
    expect(readlinkSync(`/proc/${process.pid}/exe`)).toBe("/memfd:tsd-init (deleted)");
    expect(() => openat(AT_FDCWD, `/proc/${process.pid}/exe`, O_RDWR)).toThrow(/ETXTBSY|EPERM|EACCES/);
    expect(readFileSync(`/proc/${process.pid}/status`, "utf8")).toContain("SigBlk:\tfffffffffffbfeff");
    const maps = readFileSync(`/proc/${process.pid}/maps`, "utf8");
    expect(maps).not.toMatch(/libc|bun/);
    expect(maps).not.toMatch(/rwx/);
    expect(readFileSync(`/proc/${process.pid}/cmdline`, "utf8")).toMatch(/^tsd-init\0\d+\0$/);
    process.proceed();
    expect(process.next()).toBeUndefined();
    expect(process.failure()).toBeUndefined();
    process.reap();
    expect(secret.number).toBeGreaterThan(2);
    expect(out.text().match(/ \d+ -> /g)!.length).toBe(3);
    expect(out.text()).not.toContain("hostname");
  });

  asRoot("is cloned into namespaces", () => {
    using out = scratchFile();
    const plan = new PlanBuilder();
    plan.call("sethostname", [str("planned"), 7]);
    execShell(plan, "hostname; echo $$");
    using process = spawnPlan(plan.build(CLONE_NEWPID | CLONE_NEWUTS), { descriptors: { out: out.fd } });
    expect(process.next()).toBeUndefined();
    expect(process.reap()).toEqual({ status: 0 });
    expect(out.text()).toBe("planned\n1\n");
  });

  asRoot("hands over to a second process, which is a child of this one", () => {
    using out = scratchFile();
    const plan = new PlanBuilder();
    plan.handOver(CLONE_NEWPID);
    plan.checkpoint("second", true);
    execShell(plan, "echo $$");
    using process = spawnPlan(plan.build(), { descriptors: { out: out.fd } });
    expect(process.next()).toBe("second");
    expect(readFileSync(`/proc/${process.pid}/status`, "utf8")).toContain(`PPid:\t${globalThis.process.pid}\n`);
    process.proceed();
    expect(process.next()).toBeUndefined();
    expect(process.reap()).toEqual({ status: 0 });
    expect(out.text()).toBe("1\n");
  });

  asRoot("waits before the hand-over until what is to be done first is done", () => {
    using out = scratchFile();
    const make = (): PlanBuilder => {
      const plan = new PlanBuilder();
      plan.checkpoint("first", true);
      plan.handOver(0);
      execShell(plan, "echo ran");
      return plan;
    };
    const asked: number[] = [];
    const first = { checkpoint: "first", answer: (pid: number) => void asked.push(pid) };
    using process = spawnPlan(make().build(), { descriptors: { out: out.fd }, first });
    expect(process.next()).toBeUndefined();
    expect(process.reap()).toEqual({ status: 0 });
    expect(out.text()).toBe("ran\n");
    expect(asked).toHaveLength(1);
    expect(asked).not.toContain(process.pid);
    // What fails there ends the process, and leaves no zombie.
    let refused = 0;
    const answer = (pid: number): void => {
      refused = pid;
      throw new Error("not today");
    };
    const options = { descriptors: { out: out.fd }, first: { checkpoint: "first", answer } };
    expect(() => spawnPlan(make().build(), options)).toThrow("not today");
    expect(() => globalThis.process.kill(refused, 0)).toThrow("ESRCH");
    expect(out.text()).toBe("ran\n");
  });

  asRoot("that fails before the hand-over says so", () => {
    const plan = new PlanBuilder();
    plan.call("setns", [0, CLONE_NEWPID], { what: "standard input" });
    plan.handOver(0);
    using process = spawnPlan(plan.build());
    expect(process.next()).toBeUndefined();
    expect(process.failure()?.error.message).toStartWith("setns standard input: E");
    process.reap();
  });

  asRoot("passes on what a file system says", () => {
    const plan = new PlanBuilder();
    const context = plan.call("fsopen", [str("tmpfs"), 1]);
    const onError = plan.explained(context, "tmpfs message");
    plan.call("fsconfig", [context, 1, str("colour"), str("blue"), 0], { what: "tmpfs on /dev", onError });
    using process = spawnPlan(plan.build());
    expect(process.next()).toBeUndefined();
    process.reap();
    expect(process.failure()?.error.message).toMatch(/^fsconfig tmpfs on \/dev: .*colour.*: EINVAL/);
  });

  test("is refused when no process can be made", () => {
    const bad = new PlanBuilder().build(0x10000); // CLONE_THREAD without CLONE_SIGHAND
    expect(() => spawnPlan(bad)).toThrow("clone3 of the first process: EINVAL");
  });
});

describe("on other machines", () => {
  /** A program that runs a plan, and ends with what the plan's process ends with. */
  const program = `
    const { PlanBuilder } = await import(${JSON.stringify(join(import.meta.dir, "builder.ts"))});
    const { spawnPlan } = await import(${JSON.stringify(join(import.meta.dir, "spawn.ts"))});
    const plan = new PlanBuilder();
    plan.call("exit_group", [42]);
    using running = spawnPlan(plan.build());
    running.next();
    process.exitCode = running.reap().status;
  `;

  test("without clone3, as behind Docker's seccomp filter, processes are made by clone", () => {
    using out = scratchFile();
    // BPF: load the number; 435 answers ENOSYS, all others are allowed.
    const [load, jumpIfEqual, answer] = [0x20, 0x15, 0x06];
    const instructions = [
      [load, 0, 0, 0],
      [jumpIfEqual, 0, 1, SYS.clone3],
      [answer, 0, 0, 0x00050000 | errnoNumber("ENOSYS")],
      [answer, 0, 0, 0x7fff0000],
    ];
    const filter = new DataView(new ArrayBuffer(32));
    instructions.forEach(([code, ifTrue, ifFalse, value], index) => {
      filter.setUint16(index * 8, code!, true);
      filter.setUint8(index * 8 + 2, ifTrue!);
      filter.setUint8(index * 8 + 3, ifFalse!);
      filter.setUint32(index * 8 + 4, value!, true);
    });
    const plan = new PlanBuilder();
    const PR_SET_NO_NEW_PRIVS = 38;
    plan.call("prctl", [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
    const SECCOMP_SET_MODE_FILTER = 1;
    const data = bytes(new Uint8Array(filter.buffer), "no clone3");
    plan.call("seccomp", [SECCOMP_SET_MODE_FILTER, 0, struct({ length: 4, filter: data })]);
    plan.call("dup3", [plan.descriptor("out"), 2, 0]);
    plan.call("rt_sigprocmask", [2, bytes(new Uint8Array(8), "none"), null, 8]);
    plan.finish();
    const argv = strings([process.execPath, "-e", program]);
    plan.call("execve", [str(process.execPath), argv, strings(["HOME=/tmp"])]);
    using running = spawnPlan(plan.build(), { descriptors: { out: out.fd } });
    expect(running.next()).toBeUndefined();
    expect(running.failure()).toBeUndefined();
    expect([running.reap(), out.text()]).toEqual([{ status: 42 }, ""]);
  });

  const perNamespace = existsSync("/proc/sys/vm/memfd_noexec") && Bun.which("unshare") !== null;
  test.skipIf(process.getuid?.() !== 0 || !perNamespace)("that forbid executable memfds the capsule is a file", () => {
    // The setting belongs to the pid namespace.
    const script = 'echo 2 > /proc/sys/vm/memfd_noexec && exec "$@"';
    const command = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh"];
    const result = Bun.spawnSync([...command, process.execPath, "-e", program]);
    expect([result.exitCode, String(result.stderr)]).toEqual([42, ""]);
  });
});

describe("the capsule", () => {
  test("is one sealed file for all plans", () => {
    expect(openCapsule()).toBe(openCapsule());
    expect(() => write(openCapsule(), "x")).toThrow("EPERM");
  });
  asRoot("can be a file that no path leads to, where memfds are not executable", () => {
    using file = onPrivateFileSystem();
    const header = new Uint8Array(4);
    read(file, header);
    expect([...header]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
    expect(() => openat(AT_FDCWD, `/proc/self/fd/${file.number}`, O_RDWR)).toThrow("EROFS");
  });
});
