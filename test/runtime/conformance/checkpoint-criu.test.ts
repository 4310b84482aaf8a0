/** checkpoint and restore where criu works: containers that go on where they were. */
import { afterAll, beforeAll, expect } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { acceptUnix, listenUnix, receiveDescriptors } from "../../../ffi/scm.ts";
import { succeed } from "../../harness/command.ts";
import { LiveCommand } from "../../harness/live.ts";
import type { ConfigChange } from "../../harness/oci-bundle.ts";
import { OciRuntime, type TestContainer } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

/** A container that counts, in its memory alone; what it has come to stands in the last line of a file of a bind mount. */
interface Counting extends TestContainer {
  /** Where its images go; nothing is there yet. */
  images: string;
  count(): number;
  /** Waits until it has counted further than the number that is given, or than now. */
  goesOn(from?: number): Promise<number>;
}

/** Its streams are files inside: those of the host are the business of other tests. */
const counting = (start: string) => `
exec </dev/null >/data/out 2>&1
${start}
i=0; while :; do i=$((i+1)); echo $i >>/data/count; sleep 0.2; done`;

async function counter(change: ConfigChange = () => undefined, start = ""): Promise<Counting> {
  const data = runtime.path("data");
  const images = runtime.path("images");
  mkdirSync(data);
  const container = await runtime.running(["sh", "-c", counting(start)], (config) => {
    config.mounts.push({ destination: "/data", type: "bind", source: data, options: ["rbind"] });
    // Debian 12's criu does not restore it.
    config.process.noNewPrivileges = false;
    change(config);
  });
  const count = (): number => {
    const path = join(data, "count");
    return existsSync(path) ? Number(readFileSync(path, "utf8").split("\n").at(-2) ?? 0) : 0;
  };
  const goesOn = (from = count()) =>
    runtime.until(`it counts beyond ${from}`, () => (count() > from ? count() : undefined));
  await goesOn(1);
  return { ...container, images, count, goesOn };
}

/** Restores it under its own name, detached. */
const restore = ({ id, bundle, images }: Counting, ...flags: string[]) =>
  runtime.detached(["restore", "-d", "-b", bundle, "--image-path", images, ...flags, id]);

needs("criu")("a container is deleted when it is saved, and restored where it was", async () => {
  await using container = await counter();
  const { id, images } = container;
  const before = await runtime.state(id);
  expect(await runtime.ok("checkpoint", "--image-path", images, id)).toBe("");
  expect(runtime.traces(id)).toEqual([]);
  const saved = container.count();
  const pidFile = runtime.path("pid");
  expect(await restore(container, "--pid-file", pidFile)).toMatchObject({ status: 0, stderr: "" });
  const after = await runtime.state(id);
  expect(after).toEqual({ ...before, pid: Number(readFileSync(pidFile, "utf8")), created: after.created });
  await container.goesOn(saved);
  // It has not begun anew.
  expect(container.count()).toBeGreaterThan(saved);
  expect(readFileSync(`/proc/${after.pid}/cgroup`, "utf8")).toContain(id);
  expect(await runtime.inside(id, "hostname; cat /proc/kcore; test -w /data && echo writable; id -u")).toBe(
    "conformance\nwritable\n0",
  );
  if (isTsd) {
    // runc leaves it down.
    expect(await runtime.inside(id, "ip addr show lo")).toContain("127.0.0.1");
    const inside = await runtime.inside(id, "readlink /proc/self/ns/time; readlink /proc/1/ns/time");
    expect(new Set(inside.split("\n")).size).toBe(1);
  }
  await runtime.ok("kill", id, "KILL");
  await runtime.waitFor(id, "stopped");
  await runtime.ok("delete", id);
  expect(runtime.traces(id)).toEqual([]);
});

needs("criu")("--leave-running leaves it running, and a paused one paused", async () => {
  await using container = await counter();
  const { id, images } = container;
  const { pid } = await runtime.state(id);
  await runtime.ok("checkpoint", "--leave-running", "--image-path", images, "--work-path", `${images}-work`, id);
  expect(await runtime.state(id)).toMatchObject({ status: "running", pid });
  expect([existsSync(join(images, "inventory.img")), existsSync(join(`${images}-work`, "dump.log"))]).toEqual([
    true,
    true,
  ]);
  await container.goesOn();
  if (!isTsd) return;
  await runtime.ok("pause", id);
  await runtime.ok("checkpoint", "--leave-running", "--image-path", `${images}-paused`, id);
  expect(await runtime.state(id)).toMatchObject({ status: "paused", pid });
  await runtime.ok("resume", id);
  await container.goesOn();
});

needs("criu")("memory is saved beforehand with --pre-dump, and what has changed since with --parent-path", async () => {
  await using container = await counter();
  const { id, images } = container;
  await runtime.ok("checkpoint", "--pre-dump", "--image-path", join(images, "1"), id);
  expect(await runtime.state(id)).toMatchObject({ status: "running" });
  await container.goesOn();
  const flags = ["--parent-path", "../1", "--image-path", join(images, "2")];
  await runtime.ok("checkpoint", "--pre-dump", ...flags, id);
  await container.goesOn();
  await runtime.ok("checkpoint", "--parent-path", "../2", "--auto-dedup", "--image-path", join(images, "3"), id);
  expect(readdirSync(join(images, "3"))).toContain("parent");
  const saved = container.count();
  expect(await restore({ ...container, images: join(images, "3") })).toMatchObject({ status: 0 });
  await container.goesOn(saved);
});

needs("criu", "runc >= 1.5")(
  "what criu refuses leaves the container running, with criu's reason: --link-remap",
  async () => {
    const start = "exec 9>/data/a; ln /data/a /data/b; rm /data/a";
    await expectFlagToBeNeeded(await counter(undefined, start), "--link-remap");
  },
);

needs("criu")("what it refuses of open connections: --tcp-established", async () => {
  const start = "nc -l -p 7777 -e sleep 1000 & sleep 1; nc 127.0.0.1 7777 <&1 >/dev/null & sleep 1";
  await expectFlagToBeNeeded(await counter(undefined, start), "--tcp-established");
});

async function expectFlagToBeNeeded(counting: Counting, flag: string): Promise<void> {
  await using container = counting;
  const { id, images } = container;
  const { message } = await runtime.fails("checkpoint", "--image-path", images, id);
  if (isTsd) {
    // criu names its own option.
    expect(message).toContain(flag.slice("--".length));
    expect(message).toContain(join(images, "dump.log"));
  }
  expect(await runtime.state(id)).toMatchObject({ status: "running" });
  await container.goesOn();
  rmSync(images, { recursive: true });
  await runtime.ok("checkpoint", flag, "--image-path", images, id);
  const saved = container.count();
  const again = flag === "--link-remap" ? [] : [flag];
  expect(await restore(container, ...again)).toMatchObject({ status: 0 });
  await container.goesOn(saved);
}

needs("criu")("pipes of the caller's are given to it anew, and its status is that of restore", async () => {
  await using container = runtime.bundle(
    ["sh", "-c", "read a; echo first $a; read b; echo second $b; exit 7"],
    (config) => {
      config.process.noNewPrivileges = false;
    },
  );
  const { id, bundle } = container;
  const images = runtime.path("images");
  // The pipes of a LiveCommand are sockets in truth.
  const piped = (...words: string[]) =>
    new LiveCommand(["sh", "-c", 'cat | { "$@" 2>&1; echo "status $?"; } | cat', "sh", ...runtime.argv(...words)]);
  await using run = piped("run", "-b", bundle, id);
  await run.write("one\n");
  await run.shows("first one");
  await runtime.ok("checkpoint", "--image-path", images, id);
  await using restored = piped("restore", "-b", bundle, "--image-path", images, id);
  await restored.write("two\n");
  await restored.shows("second two\nstatus 7");
  expect(runtime.traces(id)).toEqual([]);
});

// runc cannot save a container whose streams are files of the host.
needs("tsd", "criu")("so are files, to which it appends", async () => {
  const out = runtime.path("out");
  const appending = (...words: string[]) =>
    succeed(["sh", "-c", `exec "$@" >>${out} 2>&1 </dev/null`, "sh", ...runtime.argv(...words)]);
  await using container = runtime.bundle(
    ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"],
    (config) => {
      // The warning of its loss would come into the file.
      config.process.noNewPrivileges = false;
    },
  );
  const { id, bundle } = container;
  await appending("run", "-d", "-b", bundle, id);
  await runtime.until("it writes", () => readFileSync(out, "utf8").includes("3\n"));
  const images = runtime.path("images");
  await runtime.ok("checkpoint", "--image-path", images, id);
  const lines = () => readFileSync(out, "utf8").trim().split("\n").map(Number);
  const count = lines().length;
  await appending("restore", "-d", "-b", bundle, "--image-path", images, id);
  await runtime.until("it goes on in the file", () => lines().length > count);
  const all = lines();
  expect(all).toEqual(all.map((_, index) => index + 1));
});

needs("criu")("a terminal goes to the console socket, and the program still has it", async () => {
  const path = runtime.path("console");
  using listener = listenUnix(path);
  await using container = runtime.bundle(
    ["sh", "-c", "trap 'tty >/dev/tty' USR1; while :; do sleep 0.1; done"],
    (config) => {
      config.process.terminal = true;
    },
  );
  const { id, bundle } = container;
  const socket = ["--console-socket", path, "-b", bundle];
  const master = () => {
    using connection = acceptUnix(listener);
    return receiveDescriptors(connection).descriptors[0]!;
  };
  expect(await runtime.detached(["run", "-d", ...socket, id])).toMatchObject({ status: 0 });
  using _first = master();
  const images = runtime.path("images");
  await runtime.ok("checkpoint", "--image-path", images, id);
  expect(await runtime.detached(["restore", "-d", ...socket, "--image-path", images, id])).toMatchObject({
    status: 0,
  });
  using second = master();
  const { readSync } = await import("node:fs");
  await runtime.ok("kill", id, "USR1");
  const bytes = Buffer.alloc(4096);
  let output = "";
  // One line may come in several pieces.
  while (!output.includes("\n")) output += bytes.toString("utf8", 0, readSync(second.number, bytes));
  expect(output).toMatch(/^\/dev\/(pts\/0|console)\r\n/);
});

// runc runs the first two only.
needs("tsd", "criu")("hooks see a checkpoint as an end, and a restoration as a creation", async () => {
  const told = runtime.path("told");
  const hook = (name: string) => ({
    path: "/bin/sh",
    args: ["sh", "-c", `echo ${name} $(sed 's/.*"status":"\\([a-z]*\\)".*/\\1/') >>${told}`],
  });
  const names = ["prestart", "createRuntime", "poststart", "poststop"];
  await using container = await counter((config) => {
    config.hooks = Object.fromEntries(names.map((name) => [name, [hook(name)]]));
  });
  const started = "prestart creating\ncreateRuntime creating\npoststart running\n";
  expect(readFileSync(told, "utf8")).toBe(started);
  await runtime.ok("checkpoint", "--image-path", container.images, container.id);
  expect(readFileSync(told, "utf8")).toBe(`${started}poststop stopped\n`);
  expect(await restore(container)).toMatchObject({ status: 0 });
  expect(readFileSync(told, "utf8")).toBe(`${started}poststop stopped\n${started}`);
});

needs("tsd", "criu")("a restoration that fails, by a hook or by damaged images, leaves nothing", async () => {
  await using container = await counter();
  const { id, bundle, images } = container;
  await runtime.ok("checkpoint", "--image-path", images, id);
  const path = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  for (const kind of ["createRuntime", "poststart"]) {
    const hooks = { [kind]: [{ path: "/bin/sh", args: ["sh", "-c", "echo refused >&2; exit 3"] }] };
    writeFileSync(path, JSON.stringify({ ...config, hooks }));
    const { stderr } = await restore(container, "--pid-file", join(bundle, "pid"));
    expect(stderr).toContain(`hooks.${kind}[0] /bin/sh: exit status 3: refused`);
    await runtime.until("nothing is left", () => runtime.traces(id).length === 0);
    expect(existsSync(join(bundle, "pid"))).toBe(false);
  }
  writeFileSync(path, JSON.stringify(config));
  const core = readdirSync(images).find((name) => name.startsWith("core-"))!;
  writeFileSync(join(images, core), "damaged");
  const { status, stderr } = await restore(container);
  expect([status, stderr]).toEqual([1, expect.stringContaining(join(images, "restore.log"))]);
  await runtime.until("nothing is left", () => runtime.traces(id).length === 0);
});

needs("tsd", "criu")(
  "mounts are as they were: below binds, over symlinks, and where their places are gone",
  async () => {
    const [source, file] = [runtime.path("source"), runtime.path("file")];
    for (const path of [source, join(source, "below")]) mkdirSync(path);
    writeFileSync(file, "a file\n");
    await succeed(["mount", "-t", "tmpfs", "criu-below", join(source, "below")]);
    try {
      writeFileSync(join(source, "below/there"), "below\n");
      const rootfs = await runtime.newRootfs();
      await succeed(["ln", "-s", "home", join(rootfs, "link")]);
      await using container = await counter((config) => {
        config.root.path = rootfs;
        config.mounts.push(
          { destination: "/deep/er/place", type: "bind", source, options: ["rbind", "ro"] },
          { destination: "/link/file", type: "bind", source: file, options: ["bind"] },
          { destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["size=64k"] },
          { destination: "/deep/er/place/below/inner", type: "tmpfs", source: "tmpfs", options: ["size=64k"] },
        );
      }, "echo kept >/scratch/file");
      const look = `cat /deep/er/place/below/there /home/file /scratch/file /proc/kcore; ls /sys/firmware
      cut -d' ' -f5- /proc/self/mountinfo | sed 's/ - .*//; s/ [a-z]*:[0-9]*//g' | sort`;
      const before = await runtime.inside(container.id, look);
      expect(before).toStartWith("below\na file\nkept\n");
      await runtime.ok("checkpoint", "--image-path", container.images, container.id);
      await succeed(["rm", "-r", join(rootfs, "deep"), join(rootfs, "home/file"), join(rootfs, "scratch")]);
      expect(await restore(container)).toMatchObject({ status: 0, stderr: "" });
      expect(await runtime.inside(container.id, look)).toBe(before);
    } finally {
      await succeed(["umount", join(source, "below")]);
    }
  },
);

/** A PATH whose criu is slower than its children: as happens, they do for a while without what it sets up for them. */
async function pathWithSlowCriu(): Promise<string> {
  const directory = runtime.path("slow");
  const trace = "strace -D -qq -o /dev/null -e trace=clone3 -e inject=clone3:delay_exit=500000";
  await Bun.write(join(directory, "criu"), `#!/bin/sh\nexec ${trace} ${Bun.which("criu")} "$@"\n`, { mode: 0o755 });
  return `${directory}:${process.env.PATH}`;
}

needs("tsd", "criu")("a container of a user namespace keeps its users and limits", async () => {
  const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const rootfs = await runtime.newRootfs();
  await succeed(["chown", "-R", "100000:100000", rootfs]);
  await using container = await counter((config) => {
    config.root.path = rootfs;
    config.linux.namespaces!.push({ type: "user" });
    Object.assign(config.linux, { uidMappings: map, gidMappings: map });
    config.mounts = config.mounts.filter(({ type }) => type !== "cgroup");
    chmodSync(config.mounts.at(-1)!.source!, 0o777);
  });
  const { id, images } = container;
  await runtime.ok("checkpoint", "--image-path", images, id);
  // criu reads them as this root, and as the container's; nobody else can reach them.
  expect(statSync(images)).toMatchObject({ uid: 0, gid: 100_000, mode: 0o40750 });
  const saved = container.count();
  const words = ["restore", "-d", "-b", container.bundle, "--image-path", images, id];
  const env = { PATH: await pathWithSlowCriu() };
  expect(await runtime.detached(words, { env })).toMatchObject({ status: 0, stderr: "" });
  await container.goesOn(saved);
  expect(await runtime.inside(id, "id -u; cat /proc/1/uid_map | tr -s ' '; ulimit -n")).toBe(
    "0\n 0 100000 65536\n1024",
  );
  const { pid } = await runtime.state(id);
  expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^Uid:\t100000\t/m);
});

needs("criu")("capabilities, limits, seccomp filters and its environment are what they were", async () => {
  await using container = await counter((config) => {
    config.process.rlimits!.push({ type: "RLIMIT_CORE", hard: 7, soft: 3 });
    config.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [{ names: ["swapon"], action: "SCMP_ACT_ERRNO", errnoRet: 11 }],
    };
  });
  const { id, images } = container;
  const look = async () => {
    const { pid } = await runtime.state(id);
    const status = readFileSync(`/proc/${pid}/status`, "utf8").split("\n");
    return [
      status.filter((line) => /^(Cap|Seccomp|NoNewPrivs|Umask|Groups|Uid)/.test(line)),
      ...["limits", "cmdline", "environ", "oom_score_adj"].map((name) => readFileSync(`/proc/${pid}/${name}`, "utf8")),
    ];
  };
  const before = await look();
  expect(before[0]).toContain("Seccomp_filters:\t1");
  await runtime.ok("checkpoint", "--image-path", images, id);
  expect(await restore(container)).toMatchObject({ status: 0 });
  expect(await look()).toEqual(before);
});

needs("criu", "systemd")("with --systemd-cgroup it comes into a scope of systemd's", async () => {
  await using container = await counter();
  const { id, bundle, images } = container;
  await runtime.ok("checkpoint", "--image-path", images, id);
  const saved = container.count();
  const path = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  config.linux.cgroupsPath = `system.slice:criu:${id}`;
  writeFileSync(path, JSON.stringify(config));
  const words = ["--systemd-cgroup", "restore", "-d", "-b", bundle, "--image-path", images, id];
  expect(await runtime.detached(words)).toMatchObject({ status: 0, stderr: "" });
  await container.goesOn(saved);
  const { pid } = await runtime.state(id);
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(`0::/system.slice/criu-${id}.scope\n`);
  expect((await succeed(["systemctl", "is-active", `criu-${id}.scope`])).trim()).toBe("active");
  await runtime.remove(id);
  expect(existsSync(`/sys/fs/cgroup/system.slice/criu-${id}.scope`)).toBe(false);
});

needs("tsd", "criu")("noNewPrivileges is restored, or its loss is told", async () => {
  await using container = await counter((config) => {
    config.process.noNewPrivileges = true;
  });
  const { id, images } = container;
  const isSet = async () => {
    const { pid } = await runtime.state(id);
    return /^NoNewPrivs:\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  };
  expect(await isSet()).toBe(true);
  await runtime.ok("checkpoint", "--image-path", images, id);
  const { status, stderr } = await restore(container);
  const isTold = stderr.includes(`container ${id}: process.noNewPrivileges is not in force`);
  expect([status, isTold]).toEqual([0, !(await isSet())]);
});

needs("tsd", "criu")("delete takes away what a restoration has left that was killed half-way", async () => {
  await using container = await counter();
  const { id, bundle, images } = container;
  await runtime.ok("checkpoint", "--image-path", images, id);
  const path = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  const hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", "kill -9 $PPID"] }] };
  writeFileSync(path, JSON.stringify({ ...config, hooks }));
  expect((await restore(container)).status).not.toBe(0);
  expect(runtime.traces(id).filter((trace) => trace.startsWith("mount"))).toEqual([]);
  await runtime.remove(id);
  writeFileSync(path, JSON.stringify(config));
  const saved = container.count();
  expect(await restore(container)).toMatchObject({ status: 0 });
  await container.goesOn(saved);
});

needs("criu")("a network namespace that is not its own is joined again", async () => {
  const name = `criu${process.pid}`;
  await succeed(["ip", "netns", "add", name]);
  try {
    await using container = await counter((config) => {
      const network = config.linux.namespaces!.find(({ type }) => type === "network")!;
      network.path = `/run/netns/${name}`;
    });
    const { id, images } = container;
    await runtime.ok("checkpoint", "--image-path", images, id);
    const saved = container.count();
    expect(await restore(container)).toMatchObject({ status: 0 });
    await container.goesOn(saved);
    const { pid } = await runtime.state(id);
    const inode = async (path: string) => (await succeed(["stat", "-L", "-c", "%i", path])).trim();
    expect(await inode(`/proc/${pid}/ns/net`)).toBe(await inode(`/run/netns/${name}`));
  } finally {
    await succeed(["ip", "netns", "delete", name]);
  }
});

needs("criu")(
  "the modes of --manage-cgroups-mode bring it back into its cgroup, or refuse one that is there",
  async () => {
    await using container = await counter();
    const { id, images } = container;
    for (const mode of ["soft", "full", "strict", "ignore"]) {
      // Of runc 1.1.5 that one is not known.
      if (mode === "ignore" && !isTsd) continue;
      const directory = join(images, mode);
      const flags = ["--manage-cgroups-mode", mode];
      await runtime.ok("checkpoint", ...flags, "--image-path", directory, id);
      const saved = container.count();
      const again = { ...container, images: directory };
      const restored = await restore(again, ...flags);
      if (mode === "strict") {
        // criu wants to make all cgroups itself then, and the container's is there: it has its limits already.
        expect([mode, restored.status]).toEqual([mode, 1]);
        if (isTsd) expect(restored.stderr).toContain("Abort restore of existing cgroups");
        await runtime.until("nothing is left", () => runtime.traces(id).length === 0);
        expect(await restore(again)).toMatchObject({ status: 0 });
      } else expect([mode, restored.status, restored.stderr]).toEqual([mode, 0, ""]);
      await container.goesOn(saved);
      const { pid } = await runtime.state(id);
      expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toEndWith(`/${id}\n`);
    }
  },
);

needs("criu")("--lazy-pages serves memory to a restoration that has begun without it", async () => {
  await using container = await counter();
  const { id, images } = container;
  mkdirSync(images);
  const status = runtime.path("status");
  writeFileSync(status, "");
  const port = 27_000 + (process.pid % 1000);
  const flags = ["--lazy-pages", "--page-server", `127.0.0.1:${port}`, "--status-fd", "5", "--image-path", images];
  const words = ["sh", "-c", `exec "$@" 5>${status}`, "sh", ...runtime.argv("checkpoint", ...flags, id)];
  await using saving = new LiveCommand(words);
  await runtime.until("the pages are served", () => readFileSync(status).length === 1);
  const saved = container.count();
  await using _server = new LiveCommand([
    ...["criu", "lazy-pages", "--page-server", "--address", "127.0.0.1", "--port", String(port)],
    ...["-D", images, "-W", images, "-o", "lazy.log"],
  ]);
  await runtime.until("its socket is there", () => existsSync(join(images, "lazy-pages.socket")));
  const another = `${id}-lazy`;
  const path = join(container.bundle, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  config.linux.cgroupsPath += "-lazy";
  writeFileSync(path, JSON.stringify(config));
  try {
    const restored = await restore({ ...container, id: another }, "--lazy-pages", "--work-path", images);
    expect(restored).toMatchObject({ status: 0, stderr: "" });
    expect(await saving.end()).toBe(0);
    await container.goesOn(saved);
  } finally {
    await runtime.remove(another);
  }
});
