import { afterAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MFD_ALLOW_SEALING, MFD_CLOEXEC } from "./constants/memory.ts";
import { MS_NODEV, MS_NOSUID, mountFlags } from "./constants/mount.ts";
import { formatConstant, formatFlags } from "./constants/names.ts";
import {
  AT_FDCWD,
  F_SEAL_WRITE,
  O_CREAT,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
} from "./constants/open.ts";
import { S_IFIFO, S_IFMT } from "./constants/stat.ts";
import { SYS } from "./constants/syscalls.ts";
import { errnoName, errnoNumber, errnoText, SyscallError } from "./errno.ts";
import { Fd } from "./fd.ts";
import * as files from "./files.ts";
import { thunkX64 } from "./machine-code.ts";
import { addSeals, memfd_create, SharedMapping } from "./memory.ts";
import { fsconfig, fsmount, fsopen, mount_setattr } from "./mount.ts";
import { inNetworkNamespace } from "./namespace.ts";
import { fstatfs, getXattr, isSymlink, listXattr, setXattr, statx } from "./stat.ts";
import { check, cString, syscall } from "./syscall.ts";

const scratch = mkdtempSync("/var/tmp/tsd-ffi-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const asRoot = test.skipIf(process.getuid?.() !== 0);
const haveAssembler = Bun.which("as") !== null && Bun.which("objcopy") !== null;

describe("errno", () => {
  test("is known by number, name and text", () => {
    expect([errnoName(2), errnoText(2), errnoNumber("ENOENT")]).toEqual(["ENOENT", "no such file or directory", 2]);
    expect(errnoName(4095)).toBe("errno 4095");
    expect(() => errnoNumber("ENOTHING")).toThrow("no errno is named ENOTHING");
  });
});

describe("the system call thunk", () => {
  test.skipIf(!haveAssembler)("is what the assembler makes of its listing", () => {
    const source = ["mov %rdi,%rax", "mov %rsi,%rdi", "mov %rdx,%rsi", "mov %rcx,%rdx", "mov %r8,%r10"];
    source.push("mov %r9,%r8", "mov 8(%rsp),%r9", "syscall", "ret", "");
    const object = join(scratch, "thunk.o");
    execFileSync("as", ["-o", object, "-"], { input: source.join("\n") });
    execFileSync("objcopy", ["-O", "binary", "-j", ".text", object, `${object}.bin`]);
    expect(readFileSync(`${object}.bin`).toString("hex")).toStartWith(thunkX64);
  });
  test("answers with the kernel's raw result, and all six arguments arrive", () => {
    expect(syscall(SYS.getpid)).toBe(process.pid);
    expect(syscall(SYS.close, -1)).toBe(-errnoNumber("EBADF"));
    // mmap has six arguments; the last, an offset that is no multiple of the page, is refused.
    expect(syscall(SYS.mmap, 0, 4096, 1, 2, -1, 1)).toBe(-errnoNumber("EINVAL"));
  });
  test("a failure becomes an error that names call, errno and path", () => {
    try {
      check("openat2", -2, "/x/y");
      throw new Error("not reached");
    } catch (error) {
      expect(error).toBeInstanceOf(SyscallError);
      expect(error).toMatchObject({ syscall: "openat2", errno: "ENOENT", code: "ENOENT", number: 2, path: "/x/y" });
      expect(String(error)).toBe("SyscallError: openat2 /x/y: ENOENT (no such file or directory)");
    }
  });
  test("a NUL in a path is refused, not cut off", () => {
    expect(() => cString("/etc/passwd\0.txt")).toThrow("contains a NUL");
  });
});

describe("names of constants", () => {
  test("print bits, what has no name, and nothing", () => {
    expect(formatFlags(MS_NOSUID | MS_NODEV | 0x40000000, mountFlags)).toBe("MS_NOSUID|MS_NODEV|0x40000000");
    expect(formatFlags(0, mountFlags)).toBe("0");
    expect(formatConstant(5, { A: 4, B: 5 })).toBe("B");
  });
});

describe("a file descriptor", () => {
  test("is closed once, and cannot be used or closed by a former owner", () => {
    const first = files.open("/", O_RDONLY | O_DIRECTORY);
    const number = first.number;
    const second = first.move();
    first.close();
    expect(second.number).toBe(number);
    expect(() => first.number).toThrow("closed");
    second.close();
    second.close();
    expect(syscall(SYS.fcntl, number, 1, 0)).toBe(-errnoNumber("EBADF"));
    expect(() => new Fd(-1)).toThrow("-1 is not a file descriptor");
  });
});

describe("files", () => {
  test("openat2 keeps a hostile symlink inside the root", () => {
    const root = join(scratch, "root");
    mkdirSync(join(root, "etc"), { recursive: true });
    writeFileSync(join(root, "etc/passwd"), "inside");
    symlinkSync("/../../../etc/passwd", join(root, "link"));
    symlinkSync("/proc/self/exe", join(root, "magic"));
    using directory = files.open(root, O_PATH | O_DIRECTORY);
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    using inside = files.openat2(directory, "link", { flags: O_RDONLY, resolve });
    const buffer = new Uint8Array(16);
    expect(Buffer.from(buffer.subarray(0, files.read(inside, buffer))).toString()).toBe("inside");
    const beneath = () => files.openat2(directory, "link", { flags: O_RDONLY, resolve: RESOLVE_BENEATH });
    expect(beneath).toThrow("openat2 link: EXDEV");
    expect(() => files.openat2(directory, "missing", { flags: O_RDONLY, resolve })).toThrow("openat2 missing: ENOENT");
  });

  test("are made, renamed, linked, listed and removed by descriptor", () => {
    using directory = files.open(scratch, O_RDONLY | O_DIRECTORY);
    files.mkdirat(directory, "tree", 0o755);
    using tree = files.openat(directory, "tree", O_RDONLY | O_DIRECTORY);
    files.mkdirat(tree, "sub", 0o755);
    files.mknodat(tree, "pipe", S_IFIFO | 0o600);
    files.symlinkat("nowhere", tree, "symlink");
    const odd = new Uint8Array([0xff, 0x41]);
    using file = files.openat(tree, odd, O_RDWR | O_CREAT, 0o640);
    files.write(file, "abc");
    files.linkat(tree, odd, tree, "hard");
    files.renameat2(tree, "hard", tree, "moved");
    files.utimensat(tree, "symlink", { seconds: 1, nanoseconds: 2 }, { seconds: 3, nanoseconds: 4 });
    expect(statx(tree, "symlink").modified).toEqual({ seconds: 3, nanoseconds: 4 });
    expect(isSymlink(statx(tree, "symlink"))).toBe(true);
    expect(statx(tree, "pipe").mode & S_IFMT).toBe(S_IFIFO);
    expect(statx(file)).toMatchObject({ size: 3, links: 2, mode: 0o100640 });
    expect(files.readlinkat(tree, "symlink")).toBe("nowhere");
    const names = files.readDirectory(files.openat(tree, ".", O_RDONLY)).map((entry) => entry.name);
    expect(names.sort()).toEqual(["moved", "pipe", "sub", "symlink", "\ufffdA"].sort());
    files.removeTree(directory, "tree");
    expect(() => files.openat(directory, "tree", O_RDONLY)).toThrow("openat tree: ENOENT");
  });

  test("have extended attributes, or are told to have none", () => {
    using file = files.open(join(scratch, "attributes"), O_RDWR | O_CREAT, 0o600);
    expect(getXattr(file, "user.none")).toBeUndefined();
    expect(listXattr(file)).toEqual([]);
    const value = new Uint8Array(3000).fill(7);
    setXattr(file, "user.tsd", value);
    expect(getXattr({ path: join(scratch, "attributes") }, "user.tsd")).toEqual(value);
    expect(listXattr(file)).toEqual(["user.tsd"]);
    expect(() => setXattr(file, "nonsense", value)).toThrow("fsetxattr nonsense: EOPNOTSUPP");
  });

  test("file systems are told apart", () => {
    using proc = files.open("/proc", O_PATH);
    expect(fstatfs(proc).type).toBe(0x9fa0);
  });

  test("device numbers are encoded as the kernel's", () => {
    expect(files.makeDevice(1, 3)).toBe(0x103);
    expect(files.makeDevice(259, 0x12345)).toBe(0x12300000 | (259 << 8) | 0x45);
  });
});

describe("memory", () => {
  test("of a memfd is shared with its file until it is unmapped, and seals hold", () => {
    using fd = memfd_create("tsd-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    files.ftruncate(fd, 4096);
    {
      using mapping = new SharedMapping(fd, 4096);
      mapping.bytes.set([1, 2, 3]);
      const seen = new Uint8Array(3);
      files.read(fd, seen);
      expect([...seen]).toEqual([1, 2, 3]);
    }
    addSeals(fd, F_SEAL_WRITE);
    expect(() => files.write(fd, "x")).toThrow("write: EPERM");
  });
});

describe("mounts and namespaces", () => {
  asRoot("a file system is configured by descriptor, and a refusal carries what it says", () => {
    using context = fsopen("tmpfs");
    fsconfig(context, "size", "64k");
    expect(() => fsconfig(context, "colour", "blue")).toThrow(/^fsconfig colour: .*colour.*: EINVAL/);
    using mounted = fsmount(context);
    mount_setattr(mounted, { set: 1 });
    const write = () => files.openat(mounted, "file", O_RDWR | O_CREAT, 0o600);
    expect(write).toThrow("openat file: EROFS");
    expect(() => fsopen("nofs")).toThrow("fsopen nofs: ENODEV");
  });

  asRoot("another network namespace is left again, whatever happens in it", () => {
    using own = files.openat(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
    const inside = () =>
      inNetworkNamespace(own, () => {
        throw new Error("inside");
      });
    expect(inside).toThrow("inside");
  });

  asRoot(
    "private mounts are left again, also when the engine started threads among them, and show nowhere else",
    () => {
      // In a process that has collected no garbage yet.
      const script = `
      import { readlinkSync, readdirSync, writeFileSync, existsSync, statSync } from "node:fs";
      import { mount } from "${import.meta.dir}/mount.ts";
      import { inPrivateMounts } from "${import.meta.dir}/namespace.ts";
      process.chdir("${scratch}");
      const own = () => [readlinkSync("/proc/thread-self/ns/mnt"), process.cwd(), statSync("/").ino];
      const before = own();
      const threads = () => readdirSync("/proc/self/task");
      let started = 0;
      for (const fails of [false, true]) {
        try {
          inPrivateMounts(() => {
            mount("none", "${scratch}", "tmpfs", 0);
            writeFileSync("${scratch}/hidden", "");
            const there = threads();
            // It starts helpers when it thinks that they are of use.
            for (let round = 0; round < 100 && started === 0; round++) {
              globalThis.kept = Array.from({ length: 30_000 }, (_, i) => ({ i, text: String(i) }));
              Bun.gc(true);
              started = threads().filter((thread) => !there.includes(thread)).length;
            }
            if (fails) throw new Error("inside");
          });
        } catch (error) {
          if (!fails) throw error;
        }
      }
      const same = JSON.stringify(own()) === JSON.stringify(before);
      console.log(JSON.stringify({ same, hidden: !existsSync("${scratch}/hidden"), started: started > 0 }));`;
      const said = execFileSync(process.execPath, ["-e", script], { encoding: "utf8" });
      expect(JSON.parse(said)).toEqual({ same: true, hidden: true, started: true });
    },
  );
});
