/** `tsd cp` and the archive routes on the kernel: mounts, owners, containers that run and that do not, and refusals. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { type CommandResult, command, until } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";
import { LiveCommand } from "../harness/live.ts";
import { TerminalSession } from "../harness/terminal.ts";
import { tsd } from "../harness/workspace.ts";
import { copying, unread } from "./going.ts";

let engine: Engine;
let here: string;

beforeAll(async () => {
  engine = await Engine.open();
  here = engine.workspace.path("here");
  mkdirSync(`${here}/bind`, { recursive: true });
  writeFileSync(`${here}/file`, "from here");
  writeFileSync(`${here}/bind/b`, "bound");
  const mounts = ["-v", "data:/data", "-v", `${here}/bind:/bind`, "-v", `${here}/bind:/fixed:ro`];
  await ok("run", "-d", ...none, "--name", "live", ...mounts, "--tmpfs", "/scratch", engine.busybox, "sleep", "1000");
  await ok("create", ...none, "--name", "still", ...mounts, engine.busybox, "sleep", "1000");
  await ok(
    "run",
    "-d",
    ...none,
    "--name",
    "sealed",
    "--read-only",
    "-v",
    "data:/data",
    engine.busybox,
    "sleep",
    "1000",
  );
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

const none = ["--network", "none"];

function ok(...args: string[]): Promise<string> {
  return engine.daemon.ok(...args);
}

function cp(...args: string[]): Promise<CommandResult> {
  return engine.daemon.tsd(["cp", ...args], { cwd: here });
}

async function refusal(...args: string[]): Promise<string> {
  const { status, stderr } = await cp(...args);
  expect(status).toBe(1);
  return stderr.replace(/^hint: .*\n/gm, "").trimEnd();
}

function inside(container: string, script: string): Promise<string> {
  return ok("exec", container, "sh", "-c", script);
}

/** What a path of a container holds, by way of an archive on standard output. */
async function content(place: string): Promise<string> {
  const { stdout } = await command(["sh", "-c", `${tsd} cp ${place} - | tar -xO`], { env: engine.daemon.env });
  return stdout;
}

describe("a container's mounts", () => {
  test("are seen while it runs: volumes, binds and tmpfs", async () => {
    for (const place of ["/data", "/bind", "/scratch", "/dev/shm", "/"]) {
      expect(await cp("file", `live:${place}`)).toMatchObject({ status: 0, stderr: "" });
      expect(await inside("live", `cat ${place}/file`)).toBe("from here");
    }
    expect(readFileSync(`${here}/bind/file`, "utf8")).toBe("from here");
    expect(await content("live:/scratch/file")).toBe("from here");
  });

  test("are seen while it does not, where places for them have never been made, too", async () => {
    expect(await content("still:/bind/b")).toBe("bound");
    expect(await content("still:/data/file")).toBe("from here");
    await ok("cp", `${here}/file`, "still:/data/second");
    await ok("cp", `${here}/file`, "still:/root/own");
    expect(await inside("live", "cat /data/second")).toBe("from here");
    await ok("start", "still");
    expect(await inside("still", "cat /root/own; ls /root")).toBe("from hereown");
    await ok("kill", "still");
    await ok("wait", "still");
  });

  test("that are read-only, and a read-only root, are not written to", async () => {
    expect(await refusal("file", "live:/fixed/x")).toBe(
      "Error response from daemon: mounted volume is marked read-only",
    );
    expect(await refusal("file", "sealed:/root")).toBe(
      "Error response from daemon: container rootfs is marked read-only",
    );
    await ok("cp", `${here}/file`, "sealed:/data/third");
    expect(readdirSync(`${here}/bind`)).not.toContain("x");
    await ok("create", ...none, "--name", "sealed2", "--read-only", engine.busybox);
    expect(await refusal("file", "sealed2:/root")).toContain("container rootfs is marked read-only");
  });

  test("of the kernel are refused by name, and left empty below a directory that is copied", async () => {
    expect(await refusal("live:/proc/version", "v")).toBe(
      "Error response from daemon: /proc/version is in the kernel's proc file system, which holds no files to copy",
    );
    expect(await refusal("file", "live:/sys/kernel")).toContain("in the kernel's sysfs file system");
    const list = `${tsd} cp live:/ - | tar -tP | grep -E '^/(proc|sys|dev|data)/'`;
    const { stdout } = await command(["sh", "-c", list], { env: engine.daemon.env });
    expect(stdout.split("\n")).toEqual(expect.arrayContaining(["/proc/", "/sys/", "/dev/", "/data/", "/data/file"]));
    expect(stdout).not.toMatch(/^\/(proc|sys|dev)\/./m);
    expect(existsSync(`${here}/v`)).toBe(false);
  });

  test("of the kernel are left out where a file of theirs is mounted by itself, and where an archive would write", async () => {
    await ok(
      "run",
      "-d",
      ...none,
      "-v",
      "/proc/version:/w/version",
      "--name",
      "filled",
      engine.busybox,
      "sleep",
      "1000",
    );
    const script = `${tsd} cp filled:/w - | tar -t && ${tsd} export still | ${tsd} cp - filled:/`;
    const { status, stdout, stderr } = await command(["sh", "-c", script], { env: engine.daemon.env });
    expect([status, stdout, stderr]).toEqual([0, "w/\n", ""]);
    const files: FixtureEntry[] = ["sys/kernel/x", "proc/none/x", "dev/null", "w/version", "after"].map((name) => {
      return { name, data: "x" };
    });
    const { status: written } = await engine.daemon.tsd(["cp", "-", "filled:/"], { stdin: archive(files) });
    const look = "cat /after; echo > /dev/null && stat -c %F /dev/null; grep -c Linux /w/version";
    expect([written, await inside("filled", look)]).toEqual([0, "xcharacter special file\n1"]);
    await ok("rm", "-f", "filled");
  });

  test("of a file are written into: the name stays", async () => {
    await ok("cp", `${here}/file`, "live:/etc/hosts");
    expect(await inside("live", "cat /etc/hosts")).toBe("from here");
  });
});

describe("owners", () => {
  const owner = (container: string, path: string) => inside(container, `stat -c %u:%g ${path}`);

  test("are those of here, unless --chown says another, by the container's own names or numbers", async () => {
    await ok("cp", `${here}/file`, "live:/root/o");
    expect(await owner("live", "/root/o")).toBe("0:0");
    for (const [user, expected] of [
      ["alice:audio", "1000:29"],
      ["alice", "1000:1000"],
      ["12:34", "12:34"],
    ] as const) {
      await ok("cp", "--chown", user, `${here}/file`, "live:/root/o");
      expect(await owner("live", "/root/o")).toBe(expected);
    }
    expect(await refusal("--chown", "nobody-here", "file", "live:/root/p")).toBe(
      "Error response from daemon: unable to find user nobody-here: no matching entries in passwd file",
    );
  });

  test("are the container's user with -a, where it has one", async () => {
    await ok("run", "-d", ...none, "--name", "alices", "--user", "alice", engine.busybox, "sleep", "1000");
    await ok("cp", "-a", `${here}/file`, "alices:/tmp/a");
    await ok("cp", `${here}/file`, "alices:/tmp/b");
    expect([await owner("alices", "/tmp/a"), await owner("alices", "/tmp/b")]).toEqual(["1000:1000", "0:0"]);
  });

  test("of a mount that maps them are those that the container sees, whether it runs or not", async () => {
    await command(["sh", "-c", "mkdir owned; echo x > owned/x; chown -R 4321:4322 owned"], { cwd: here });
    const mounts = ["-v", `${here}/owned:/owned:idmap`, "--user", "alice", "--name", "mapping"];
    await ok("create", ...none, ...mounts, engine.busybox, "sleep", "1000");
    const list = async () => {
      const script = `${tsd} cp mapping:/owned/x - | tar -tv --numeric-owner`;
      return (await command(["sh", "-c", script], { env: engine.daemon.env })).stdout;
    };
    expect(await list()).toContain(" 1000/1000 ");
    await ok("start", "mapping");
    expect(await list()).toContain(" 1000/1000 ");
    await ok("rm", "-f", "mapping");
  });

  test("of what is copied out are the user here, or whom --chown says", async () => {
    await inside("live", "echo x > /root/x; chown 5:6 /root/x");
    await cp("live:/root/x", "mine");
    await cp("--chown", "77:88", "live:/root/x", "theirs");
    const owners = ["mine", "theirs"].map((name) => statSync(`${here}/${name}`)).map(({ uid, gid }) => [uid, gid]);
    expect(owners).toEqual([
      [0, 0],
      [77, 88],
    ]);
  });
});

describe("from container to container", () => {
  test("everything goes as it would by way of here", async () => {
    await inside(
      "live",
      "mkdir -p /t/d; echo 1 > /t/d/f; ln -s f /t/d/l; ln /t/d/f /t/d/h; chmod 2751 /t/d; chown 3:4 /t/d/f",
    );
    await ok("cp", "live:/t/d", "sealed:/data/copy");
    await ok("cp", "live:/t/d/.", "sealed:/data/copy");
    await ok("cp", "live:/t/d", "sealed:/data/copy");
    await ok("cp", "live:/t/d", "live:/t/twin");
    await ok("cp", "live:/t/d", "still:/twin");
    await ok("cp", "still:/twin", "still:/again");
    await ok("cp", "-L", "still:/again/l", "live:/t/followed");
    const look = "cd /data/copy; stat -c '%n %a %u:%g %h' . f l h d/f; readlink l";
    expect(await inside("sealed", look)).toBe(". 2751 0:0 3\nf 644 3:4 2\nl 777 0:0 1\nh 644 3:4 2\nd/f 644 3:4 2\nf");
    expect(await inside("live", "cat /t/twin/f /t/followed")).toBe("1\n1");
    expect(await refusal("live:/t/d", "sealed:/data/file")).toBe("cannot copy directory");
    expect(await refusal("live:/nothing", "still:/x")).toBe(
      "Error response from daemon: Could not find the file /nothing in container live",
    );
  });
});

describe("archives by themselves", () => {
  const put = (bytes: Uint8Array, target: string) =>
    engine.daemon.tsd(["cp", "-", target], { stdin: bytes, cwd: here });

  test("are taken from standard input, compressed or not, and holes stay holes", async () => {
    const entries: FixtureEntry[] = [
      { name: "in/", type: "5" },
      { name: "in/f", data: "piped" },
    ];
    await inside("live", "mkdir -p /in1 /in2");
    expect(await put(archive(entries), "live:/in1")).toMatchObject({ status: 0 });
    expect(await put(gzipSync(archive(entries)), "live:/in2")).toMatchObject({ status: 0 });
    expect(await inside("live", "cat /in1/in/f /in2/in/f")).toBe("pipedpiped");
    await command(["sh", "-c", "truncate -s 3G sparse; echo end >> sparse"], { cwd: here });
    expect(await cp("sparse", "live:/in1")).toMatchObject({ status: 0 });
    expect(await cp("live:/in1/sparse", "back")).toMatchObject({ status: 0 });
    const { size, blocks } = statSync(`${here}/back`);
    expect([size, blocks < 1000]).toEqual([3 * 2 ** 30 + 4, true]);
  });

  test("that mean harm reach nothing outside, and are refused with the entry's name", async () => {
    await inside("live", "mkdir -p /h; ln -s / /h/root");
    for (const [entries, message] of [
      [[{ name: "../../x", data: "x" }], "archive entry ../../x: path leaves the root"],
      [[{ name: "l", type: "1", link: "../../etc/passwd" }], "hard link target leaves the root"],
      [[{ name: "root", data: "x", pax: { path: `${"x/".repeat(3000)}y` } }], "invalid path"],
    ] as [FixtureEntry[], string][]) {
      const { status, stderr } = await put(archive(entries), "live:/h");
      expect([status, stderr]).toEqual([1, expect.stringContaining(message)]);
    }
    expect((await put(Buffer.from("no archive at all"), "live:/h")).stderr).toContain("not a tar archive");
    await put(archive([{ name: "root/through", data: "inside" }]), "live:/h");
    expect(await inside("live", "cat /through")).toBe("inside");
    expect(existsSync("/through")).toBe(false);
  });
});

test("a symlink leads to a directory whose name is not text", async () => {
  await inside("live", `mkdir /names && cd /names && d=$(printf 'd\\377') && mkdir "$d" && ln -s "$d" good`);
  expect(await cp("file", "live:/names/good/")).toMatchObject({ status: 0 });
  expect(await inside("live", "ls /names/good; ls /names | wc -l")).toBe("file\n2");
});

describe("a copy that goes on", () => {
  test("into a container that does not run holds up its start, and one out of it does not", async () => {
    await ok("create", ...none, "--name", "waiting", engine.busybox, "sleep", "1000");
    await using writing = new LiveCommand([tsd, "cp", "-", "waiting:/root"], engine.daemon.env);
    const half = archive([{ name: "w", data: "x".repeat(100_000) }]);
    await writing.write(half.subarray(0, 50_000));
    await copying(engine, "write");
    await using starting = new LiveCommand([tsd, "start", "waiting"], engine.daemon.env);
    expect(await ok("inspect", "-f", "{{.State.Status}}", "waiting")).toBe("created");
    await writing.write(half.subarray(50_000));
    await writing.endInput();
    expect([await writing.end(), await starting.end()]).toEqual([0, 0]);
    expect(await inside("waiting", "wc -c < /root/w")).toBe("100000");
    await using _reading = await unread(engine, "still", "/");
    await copying(engine, "read");
    await ok("start", "still");
    await ok("kill", "still");
  });

  test("is out of reach for containers that see the host's processes", async () => {
    const flags = [...none, "--pid", "host"];
    await ok("run", "-d", ...flags, "--name", "watching", engine.busybox, "sleep", "1000");
    await using writing = new LiveCommand([tsd, "cp", "-", "live:/root"], engine.daemon.env);
    await writing.write(archive([{ name: "w", data: "x".repeat(100_000) }]).subarray(0, 50_000));
    const [child] = await copying(engine, "write");
    await until("it is confined", () => readFileSync(`/proc/${child}/status`, "utf8").includes("NoNewPrivs:\t1"));
    const { status, stderr } = await engine.daemon.tsd(["exec", "watching", "ls", `/proc/${child}/root/`]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("Permission denied")]);
    await ok("rm", "-f", "watching");
  });

  test("is ended by SIGKILL of the daemon; nothing is left mounted", async () => {
    await inside("live", "dd if=/dev/zero of=/big bs=1M count=40 2>/dev/null");
    await using _reading = await unread(engine, "live", "/big");
    const children = await copying(engine, "read");
    await engine.daemon.stop("SIGKILL");
    await until("they have ended", () => children.every((pid) => !existsSync(`/proc/${pid}`)));
    await engine.daemon.start();
    expect(await content("live:/data/file")).toBe("from here");
  });
});

test("a terminal is told what was copied in docker's words, a pipe nothing", async () => {
  await using session = new TerminalSession([tsd, "cp", `${here}/file`, "live:/root/shown"], {
    env: engine.daemon.env,
  });
  await session.expect("Successfully copied 2.05kB to live:/root/shown\r\n");
  expect(await session.end()).toBe(0);
  await using quiet = new TerminalSession([tsd, "cp", "-q", "live:/root/shown", `${here}/q`], {
    env: engine.daemon.env,
  });
  expect([await quiet.end(), quiet.output]).toEqual([0, ""]);
});

test("what is wrong is said before anything is done", async () => {
  symlinkSync("nowhere", `${here}/dangling`);
  for (const [args, message] of [
    [["a", "b"], "must specify at least one container source"],
    [["", "live:/x"], "source can not be empty"],
    [["live:/x", ""], "destination can not be empty"],
    [["file", "live:"], "no such directory"],
    [["live:", "x"], "Error response from daemon: bad parameter: 'path' cannot be empty"],
    [["file", "nobody:/x"], "Error response from daemon: No such container: nobody"],
    [["nobody:/x", "."], "Error response from daemon: No such container: nobody"],
    [["-", "live:/etc/passwd"], 'destination "live:/etc/passwd" must be a directory'],
    [
      ["live:/etc/passwd", "/dev/null"],
      'invalid output path: "/dev/null" must be a directory or a regular file: got a device',
    ],
    [["-L", "dangling", "live:/x"], `lstat ${engine.workspace.path("here", "dangling")}: no such file or directory`],
  ] as [string[], string][]) {
    expect(await refusal(...args)).toBe(message);
  }
});

test("events tell of both directions", async () => {
  const since = String(Date.now() / 1000);
  await cp("file", "live:/root/e");
  await cp("live:/root/e", "e");
  const format = "{{.Action}} {{.Actor.Attributes.name}}";
  const events = await ok("events", "--since", since, "--until", String(Date.now() / 1000 + 0.1), "--format", format);
  expect(events.split("\n")).toEqual(["extract-to-dir live", "archive-path live"]);
});

test("a container with users of its own is copied from and to with the owners that it sees", async () => {
  await ok("run", "-d", ...none, "--name", "mapped", "--userns", "auto", engine.busybox, "sleep", "1000");
  await ok("cp", "--chown", "alice:audio", `${here}/file`, "mapped:/root/o");
  await ok("cp", `${here}/file`, "mapped:/root/p");
  expect(await inside("mapped", "stat -c %u:%g /root/o /root/p")).toBe("1000:29\n0:0");
  await cp("--chown", "0:0", "mapped:/root/o", "from-mapped");
  const list = `${tsd} cp mapped:/root/o - | tar -tv --numeric-owner | cut -c12-18`;
  expect((await command(["sh", "-c", list], { env: engine.daemon.env })).stdout.trim()).toBe("1000/29");
  await ok("kill", "mapped");
  await ok("wait", "mapped");
  await ok("cp", "mapped:/root/o", "mapped:/root/q");
  await ok("start", "mapped");
  expect(await inside("mapped", "stat -c %u:%g /root/q")).toBe("1000:29");
});
