import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { explainPlan } from "../../../ffi/plan/explain.ts";
import type { OciMount, RuntimeConfig } from "../../oci/runtime.ts";
import { canRunPlans, dockerLikeConfig, makeBundle, runConfig } from "./fixture.ts";
import { compileInit } from "./init.ts";

const asRoot = test.skipIf(!canRunPlans);
const context = { id: "c", bundle: "/b", start: "now", cgroupProcs: 0 } as const;

function withMount(command: string, ...mounts: OciMount[]): RuntimeConfig {
  const config = dockerLikeConfig(command);
  return { ...config, mounts: [...config.mounts!, ...mounts] };
}

function texts(config: RuntimeConfig): string[] {
  return explainPlan(compileInit(config, context).plan).records.map((record) => record.text);
}

describe("the plan of a container", () => {
  test("depends on nothing but its configuration", () => {
    expect(texts(dockerLikeConfig("true"))).toEqual(texts(dockerLikeConfig("true")));
  });

  test("names the field of config.json for nearly all that it does", () => {
    const { records } = explainPlan(compileInit(dockerLikeConfig("true"), context).plan);
    const reasons = new Set(records.map((record) => record.why));
    for (const why of ["mounts[0]", "root.path", "linux.maskedPaths[1]", "process.capabilities.bounding", "hostname"]) {
      expect(reasons).toContain(why);
    }
  });

  test("hides the process before anything else, and finds its program last", () => {
    const calls = texts(dockerLikeConfig("true"));
    expect(calls[0]).toBe("prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)");
    const program = calls.findIndex((text) => text.startsWith("execve("));
    expect(calls[program - 1]).toStartWith("rt_sigprocmask(");
    expect(calls[program]).toBe('execve("/bin/sh", ["/bin/sh", "-c", "true"], [PATH=…, A=…])');
  });

  test("walks no path of the root but by openat2 with RESOLVE_IN_ROOT", () => {
    const config = withMount("true", { destination: "/data/x", source: "/tmp", type: "bind", options: ["rbind"] });
    const { records } = explainPlan(compileInit(config, context).plan);
    const inside = records.filter((record) => record.text.includes('"/data'));
    expect(inside.length).toBe(4);
    for (const record of inside) {
      expect(record.text).toMatch(/^openat2\(\$root, .*RESOLVE_NO_MAGICLINKS\|RESOLVE_IN_ROOT/);
    }
  });

  test("takes no name of JavaScript's own objects for an option that it knows", () => {
    const mount = { destination: "/x", type: "tmpfs", options: ["constructor", "rtoString"] };
    const calls = texts(withMount("true", mount)).filter((text) => text.includes("FSCONFIG_SET_FLAG"));
    expect(calls.map((text) => /"(\w+)", NULL/.exec(text)?.[1])).toContain("constructor");
    expect(calls.map((text) => /"(\w+)", NULL/.exec(text)?.[1])).toContain("rtoString");
  });

  test("refuses what it cannot do, with the field", () => {
    const base = dockerLikeConfig("true");
    const cases: [Partial<RuntimeConfig>, string][] = [
      [{ process: { ...base.process!, args: [] } }, "process.args: missing"],
      [{ process: { ...base.process!, env: ["A=\0"] } }, "process.env[0]: contains a NUL"],
      [{ linux: { namespaces: [] } }, "linux.namespaces: a container without a mount namespace"],
      [{ linux: { namespaces: [{ type: "mount" }] } }, "hostname: not allowed without a uts namespace"],
      [
        { linux: { ...base.linux, sysctl: { "kernel.panic": "1" } } },
        'linux.sysctl["kernel.panic"]: belongs to no namespace',
      ],
      [{ linux: { ...base.linux, sysctl: { "net/../../x": "1" } } }, "not a sysctl's name"],
      [{ linux: { ...base.linux, uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] } }, "needs a user namespace"],
      [{ linux: { namespaces: [{ type: "mount" }, { type: "user" }] } }, "linux.uidMappings: missing"],
      [
        { linux: { ...base.linux, devices: [{ path: "/dev/x", type: "c", minor: 1 }] } },
        "linux.devices[0].major: missing",
      ],
      [
        { linux: { ...base.linux, devices: [{ path: "/dev/x", type: "c", major: 4097, minor: 3 }] } },
        "linux.devices[0].major: 4097 is not between 0 and 4095",
      ],
      [{ linux: { ...base.linux, intelRdt: {} } }, "linux.intelRdt: is not built"],
      [{ mounts: [{ destination: "/proc/self", type: "tmpfs" }] }, "mounts[0].destination: /proc/self is inside /proc"],
      [{ mounts: [{ destination: "/x/../proc", type: "tmpfs" }] }, "mounts[0].type: /proc can be a proc file system"],
      [{ mounts: [{ destination: "/", type: "tmpfs" }] }, "mounts[0].destination: the root itself"],
      [{ mounts: [{ destination: "/x", type: "bind" }] }, "mounts[0].source: missing"],
      [{ mounts: [{ destination: "/x" }] }, "mounts[0].type: missing"],
      [
        { mounts: [{ destination: "/x", type: "mqueue", options: ["tmpcopyup"] }] },
        "mounts[0].options: tmpcopyup is for a new tmpfs only",
      ],
      [{ root: undefined as never }, "root: missing"],
    ];
    for (const [change, message] of cases) {
      const config = { ...base, ...change };
      expect(() => compileInit(config, context)).toThrow(message);
    }
  });
});

describe("a container like Docker's", () => {
  asRoot("has its namespaces, mounts and devices, and nothing of the host", () => {
    using bundle = makeBundle();
    const script = "hostname; echo $$; ls /dev; echo; mount; ls /proc/self/fd; echo $A; ip -o link";
    const { output, error, ending, checkpoints } = runConfig(bundle, dockerLikeConfig(script));
    expect(error).toBeUndefined();
    expect(ending).toEqual({ status: 0 });
    expect(checkpoints).toEqual(["recorded", "ready"]);
    expect(output).toStartWith("planned\n1\n");
    expect(output).toContain(
      "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\n",
    );
    expect(output).toContain("tmpfs on /dev type tmpfs (rw,nosuid,size=65536k,mode=755");
    expect(output).toMatch(/sysfs on \/sys type sysfs \(ro,nosuid,nodev,noexec,relatime\)/);
    expect(output).toMatch(/proc on \/proc\/sys type proc \(ro,nosuid,nodev,noexec,relatime\)/);
    expect(output).toMatch(/tmpfs on \/sys\/firmware type tmpfs \(ro,/);
    expect(output).toContain("0\n1\n2\n3\nb\n");
    expect(output).toMatch(/lo: <LOOPBACK,UP/);
  });

  asRoot("has its user, groups, capabilities, limits and umask", () => {
    using bundle = makeBundle();
    const config = dockerLikeConfig(
      "id; umask; ulimit -n; ulimit -Hn; grep -E 'Cap|NoNew|Sig|Seccomp:' /proc/self/status; pwd",
    );
    config.process!.user = { uid: 1000, gid: 100, additionalGids: [7, 8], umask: 0o27 };
    config.process!.cwd = "/made/here";
    config.process!.noNewPrivileges = true;
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    expect(output).toContain("uid=1000 gid=100 groups=7,8\n0027\n512\n512\n");
    expect(output).toContain(
      "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000000004e3",
    );
    expect(output).toContain("NoNewPrivs:\t1");
    expect(output).toContain("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
    expect(output).toEndWith("/made/here\n");
  });

  asRoot("keeps capabilities for a user by way of the ambient set", () => {
    using bundle = makeBundle();
    const config = dockerLikeConfig("grep Cap /proc/self/status");
    const all = ["CAP_NET_BIND_SERVICE"];
    config.process!.user = { uid: 5, gid: 5 };
    config.process!.capabilities = { bounding: all, effective: all, permitted: all, inheritable: all, ambient: all };
    expect(runConfig(bundle, config).output).toContain(
      "CapEff:\t0000000000000400\nCapBnd:\t0000000000000400\nCapAmb:\t0000000000000400",
    );
  });

  asRoot("can have a read-only root, with mounts and a working directory made in it all the same", () => {
    using bundle = makeBundle();
    writeFileSync(join(bundle.path, "file"), "from the host\n");
    const config = withMount(
      "cat /data/file; (echo x > /data/file) 2>/dev/null || echo protected; (echo x > /y) 2>/dev/null || echo read-only; ls /ro",
      { destination: "/data/file", source: join(bundle.path, "file"), type: "bind", options: ["bind", "ro"] },
      { destination: "/ro", type: "tmpfs", source: "tmpfs", options: ["ro"] },
      { destination: "/ro/below", type: "tmpfs", source: "tmpfs" },
    );
    config.root!.readonly = true;
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    expect(output).toBe("from the host\nprotected\nread-only\nbelow\n");
  });

  asRoot("has a root that is an overlay, of which nothing shows on the host", () => {
    using bundle = makeBundle();
    for (const name of ["upper", "work", "top"]) mkdirSync(join(bundle.path, name));
    writeFileSync(join(bundle.path, "top/which"), "top\n");
    writeFileSync(join(bundle.rootfs, "which"), "bottom\n");
    const rootfs = join(bundle.path, "mount");
    mkdirSync(rootfs);
    const overlay = {
      lower: [join(bundle.path, "top"), bundle.rootfs],
      upper: join(bundle.path, "upper"),
      work: join(bundle.path, "work"),
    };
    const config = dockerLikeConfig("cat /which; echo new > /new; mount | grep ' / '");
    config.root = { path: rootfs };
    const { output, error } = runConfig(bundle, config, { rootfsMount: overlay });
    expect(error).toBeUndefined();
    expect(output).toMatch(/^top\noverlay on \/ type overlay \(rw,relatime,lowerdir/);
    expect(readFileSync(join(bundle.path, "upper/new"), "utf8")).toBe("new\n");
    expect(readdirSync(rootfs)).toEqual([]);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(bundle.path);
  });

  asRoot("has a root of layers with odd and long names, and of many", () => {
    using bundle = makeBundle();
    const rootfs = join(bundle.path, "mount");
    const long = join(bundle.path, "l".repeat(200), "m".repeat(200));
    const odd = join(bundle.path, "a:b,c\\d");
    const many = Array.from({ length: 60 }, (_, index) => join(bundle.path, "layers", String(index)));
    for (const directory of [rootfs, long, odd, ...many]) mkdirSync(directory, { recursive: true });
    for (const [index, directory] of [long, odd, ...many].entries()) writeFileSync(join(directory, `f${index}`), "");
    const run = (lower: string[]) => {
      const config = dockerLikeConfig("ls / | grep -c '^f[0-9]'");
      config.root = { path: rootfs };
      config.mounts = [];
      config.linux!.maskedPaths = [];
      config.linux!.readonlyPaths = [];
      return runConfig(bundle, config, { rootfsMount: { lower: [...lower, bundle.rootfs], ...layer() } });
    };
    let count = 0;
    const layer = () => {
      const [upper, work] = [join(bundle.path, `upper${++count}`), join(bundle.path, `work${count}`)];
      mkdirSync(upper);
      mkdirSync(work);
      return { upper, work };
    };
    expect(run([odd])).toMatchObject({ error: undefined, output: "1\n" });
    expect(run([long, odd])).toMatchObject({ error: undefined, output: "2\n" });
    expect(run(many)).toMatchObject({ error: undefined, output: "60\n" });
  });

  asRoot("says which call failed, for which field", () => {
    using bundle = makeBundle();
    const missing = withMount("true", { destination: "/x", source: "/nonexistent", type: "bind", options: ["rbind"] });
    expect(runConfig(bundle, missing).error?.message).toBe(
      "mounts[6]: open_tree /nonexistent: ENOENT (no such file or directory)",
    );
    const wrong = withMount("true", { destination: "/x", type: "tmpfs", source: "t", options: ["colour=blue"] });
    expect(runConfig(bundle, wrong).error?.message).toMatch(
      /^mounts\[6\]: fsconfig tmpfs on \/x: colour=blue: .*EINVAL/,
    );
    const rootless = dockerLikeConfig("true");
    rootless.root = { path: "gone" };
    expect(runConfig(bundle, rootless).error?.message).toMatch(/^root.path: open_tree .*\/gone: ENOENT/);
    const limit = dockerLikeConfig("true");
    limit.process!.user = { uid: 1, gid: 1 };
    limit.process!.cwd = "/bin/sh";
    expect(runConfig(bundle, limit).error?.message).toBe("process.cwd: chdir /bin/sh: ENOTDIR (not a directory)");
  });

  asRoot("finds its program in PATH, or says in runc's words why not", () => {
    using bundle = makeBundle();
    writeFileSync(join(bundle.rootfs, "etc/data"), "no program");
    writeFileSync(join(bundle.rootfs, "etc/other"), "no program");
    chmodSync(join(bundle.rootfs, "etc/other"), 0o755);
    const run = (command: string, path = "PATH=/nowhere:/etc:/bin") => {
      const config = dockerLikeConfig("");
      config.process!.args = [command, "ran"];
      config.process!.env = [path];
      return runConfig(bundle, config);
    };
    expect(run("echo").output).toBe("ran\n");
    const cases: [string, string, string][] = [
      ["missing", "command_not_found", 'exec: "missing": executable file not found in $PATH'],
      ["/bin/missing", "command_not_found", 'exec: "/bin/missing": stat /bin/missing: no such file or directory'],
      ["data", "command_not_executable", 'exec: "data": permission denied'],
      ["/etc/data", "command_not_executable", 'exec: "/etc/data": permission denied'],
      ["/etc", "command_not_executable", 'exec: "/etc": permission denied'],
      ["/etc/other", "command_not_executable", 'exec: "/etc/other": exec format error'],
      ["/etc/data/x", "command_not_executable", 'exec: "/etc/data/x": not a directory'],
    ];
    for (const [command, code, message] of cases) {
      const { error, ending } = run(command);
      expect(error).toMatchObject({ code, message });
      expect(ending).toEqual({ status: 255 });
    }
    expect(run("echo", "NOPATH=1").error?.code).toBe("command_not_found");
  });

  asRoot("leaves its root alone but for the places that it mounts on", () => {
    using bundle = makeBundle();
    runConfig(bundle, withMount("true", { destination: "/a/b/c", type: "tmpfs", source: "tmpfs" }));
    expect(readdirSync(bundle.rootfs).sort()).toEqual(["a", "bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr"]);
    expect(statSync(join(bundle.rootfs, "a/b/c")).mode & 0o777).toBe(0o755);
    expect(readdirSync(join(bundle.rootfs, "dev"))).toEqual([]);
  });
});

describe("a hostile image", () => {
  asRoot("cannot lead mounts out of its root with symlinks", () => {
    using bundle = makeBundle();
    const outside = join(bundle.path, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(bundle.rootfs, "absolute"));
    symlinkSync("../outside", join(bundle.rootfs, "relative"));
    symlinkSync("/proc/self/cwd/..", join(bundle.rootfs, "magic"));
    for (const name of ["absolute", "relative", "magic"]) {
      const { error } = runConfig(bundle, withMount("true", { destination: `/${name}/x`, type: "tmpfs", source: "t" }));
      expect(error?.message).toMatch(/^mounts\[6\]: openat2 .*: (ENOENT|ELOOP)/);
      expect(readdirSync(outside)).toEqual([]);
    }
  });

  asRoot("cannot have /proc or /sys be symlinks", () => {
    using bundle = makeBundle();
    symlinkSync("/tmp", join(bundle.rootfs, "proc"));
    const { error } = runConfig(bundle, dockerLikeConfig("true"));
    expect(error?.message).toMatch(/^mounts\[0\]: openat2 \/proc: ELOOP/);
  });

  asRoot("cannot lead a mount into /proc (CVE-2019-16884)", () => {
    using bundle = makeBundle();
    symlinkSync("/proc/self/attr", join(bundle.rootfs, "innocent"));
    symlinkSync("/proc", join(bundle.rootfs, "p"));
    const tmpfs = (destination: string) => ({ destination, type: "tmpfs", source: "tmpfs" });
    for (const path of ["/innocent", "/p/sys"]) {
      const { error } = runConfig(bundle, withMount("true", tmpfs(path)));
      expect(error?.message).toBe(
        `mounts[6]: verify ${path} leads into /proc, where nothing may be mounted: EACCES (permission denied)`,
      );
    }
    const bind = { destination: "/proc", source: "/tmp", type: "bind", options: ["bind"] };
    expect(runConfig(bundle, withMount("true", bind)).error?.message).toContain("is no proc file system");
  });

  asRoot("cannot leave its root by its working directory (CVE-2024-21626)", () => {
    using bundle = makeBundle();
    for (let number = 3; number < 16; number++) {
      for (const link of [`/proc/self/fd/${number}`, `/proc/self/fd/${number}/..`]) {
        const config = dockerLikeConfig("cat /etc/hostname");
        config.process!.cwd = link;
        const { error, ending } = runConfig(bundle, config);
        expect(error?.message).toMatch(/^process.cwd: /);
        expect(ending).toEqual({ status: 255 });
      }
    }
  });

  asRoot("cannot replace /dev/null below the masks (CVE-2025-31133), nor a device", () => {
    using bundle = makeBundle();
    mkdirSync(join(bundle.rootfs, "dev"));
    writeFileSync(join(bundle.rootfs, "dev/null"), "fake");
    const config = dockerLikeConfig("ls -l /dev/null");
    config.mounts = config.mounts!.filter((mount) => mount.destination === "/proc");
    config.linux!.maskedPaths = ["/etc/secret"];
    writeFileSync(join(bundle.rootfs, "etc/secret"), "secret");
    expect(runConfig(bundle, config).error?.message).toBe(
      "default devices: verify /dev/null is there already and is not the device 1:3: EEXIST (file exists)",
    );
    const masked = dockerLikeConfig("cat /etc/secret; ls -l /etc/secret");
    masked.linux!.maskedPaths = ["/etc/secret"];
    const { output } = runConfig(bundle, masked);
    expect(output).toMatch(/^crw-rw-rw- +1 0 +0 +1, +3 /);
  });

  asRoot("cannot have sysctls written to files of its own (CVE-2025-52881)", () => {
    using bundle = makeBundle();
    const directory = join(bundle.rootfs, "proc/sys/net/ipv4");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "ip_forward"), "fake\n");
    const config = dockerLikeConfig("cat /proc/sys/net/ipv4/ip_forward; ip -4 -o addr show lo");
    config.mounts = [];
    config.linux!.maskedPaths = [];
    config.linux!.readonlyPaths = [];
    config.linux!.sysctl = { "net.ipv4.ip_forward": "1" };
    const { output, error } = runConfig(bundle, config);
    expect(error).toBeUndefined();
    expect(output).toStartWith("fake\n");
  });

  asRoot("cannot have its terminal bound where /dev/console leads to (CVE-2025-52565)", () => {
    using bundle = makeBundle();
    mkdirSync(join(bundle.rootfs, "dev"));
    symlinkSync("/etc/target", join(bundle.rootfs, "dev/console"));
    writeFileSync(join(bundle.rootfs, "etc/target"), "");
    const config = dockerLikeConfig("true");
    config.mounts = config.mounts!.filter((mount) => mount.destination !== "/dev");
    config.process!.terminal = true;
    const { error, checkpoints } = runConfig(bundle, config);
    expect(error?.message).toMatch(/^process.terminal: openat2 \/dev\/console: ELOOP/);
    expect(checkpoints).toEqual([]);
  });

  asRoot("cannot win a race for the place of a mount (CVE-2021-30465)", () => {
    using bundle = makeBundle();
    const [inside, outside] = [join(bundle.rootfs, "data"), join(bundle.path, "outside")];
    mkdirSync(join(inside, "target"), { recursive: true });
    mkdirSync(join(outside, "target"), { recursive: true });
    symlinkSync("../outside", join(bundle.rootfs, "link"));
    // Exchanges the directory and the symlink without a pause, as a second container with the same volume could.
    const swap = `
      import { renameat2, open } from ${JSON.stringify(join(import.meta.dir, "../../../ffi/files.ts"))};
      const root = open(${JSON.stringify(bundle.rootfs)}, 0);
      for (;;) renameat2(root, "data", root, "link", 2);
    `;
    const racer = Bun.spawn([process.execPath, "-e", swap], { stdio: ["ignore", "ignore", "ignore"] });
    const messages = new Set<string>();
    const outsideMark = join(bundle.path, "outside-mark");
    mkdirSync(outsideMark);
    try {
      const mark = { destination: "/data/target", source: outsideMark, type: "bind" };
      const config = withMount("grep -c outside-mark /proc/self/mountinfo", mark);
      for (let attempt = 0; attempt < 60; attempt++) {
        const { error, output } = runConfig(bundle, config);
        // Either it is mounted below the root, whatever that directory's name is by now, or there is an error: a mount
        // outside of the root would have gone with the host's root.
        if (error === undefined) expect(output).toBe("1\n");
        messages.add(error?.message.replace(/.*: (E\w+) .*/, "$1") ?? "mounted");
      }
    } finally {
      racer.kill(9);
    }
    for (const message of messages) expect(["mounted", "ENOENT", "ENOTDIR", "EEXIST", "EAGAIN"]).toContain(message);
    expect(messages).toContain("mounted");
  });

  asRoot("gets none of the parent's descriptors, and cannot write to its program (CVE-2019-5736)", () => {
    using bundle = makeBundle();
    writeFileSync(join(bundle.rootfs, "bin/again"), "#!/proc/self/exe\n", { mode: 0o755 });
    const config = dockerLikeConfig("");
    config.process!.args = ["/bin/again"];
    const { ending, output } = runConfig(bundle, config);
    // The capsule without a plan: it ends at once, and nothing of tsd is there to be overwritten.
    expect(ending).not.toEqual({ status: 0 });
    expect(output).not.toContain("tsd");
  });
});
