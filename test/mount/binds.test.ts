/** Binds on the kernel: what passes between host and container, what is read-only, where sources come from, whose files are whose. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { succeed } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
/** On the disk. */
let plain: string;
/** A shared mount. */
let shared: string;

beforeAll(async () => {
  engine = await Engine.open();
  plain = engine.workspace.path("plain");
  shared = engine.workspace.path("shared");
  for (const path of [plain, shared]) mkdirSync(path);
  engine.workspace.onClose("the shared mount", () => succeed(["umount", "-R", shared]));
  await succeed(["mount", "-t", "tmpfs", "tmpfs", shared]);
  await succeed(["mount", "--make-shared", shared]);
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

/** May mount inside. */
const mounter = [
  "--cap-add",
  "SYS_ADMIN",
  "--security-opt",
  "seccomp=unconfined",
  "--security-opt",
  "apparmor=unconfined",
];

/** The mount points of that name below a directory of the host's. */
function hostMounts(directory: string, name: string): string[] {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  const found = points.filter((point) => point.startsWith(`${directory}/`) && point.endsWith(`/${name}`));
  return found.map((point) => point.slice(directory.length + 1)).sort();
}

describe("propagation", () => {
  const kinds = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

  /** Of kinds without the `r` what was mounted below before stays as the host has it, shared, as with runc. */
  test("what is mounted on either side comes to the other as the bind says", async () => {
    for (const kind of kinds) mkdirSync(`${shared}/${kind}/below`, { recursive: true });
    for (const kind of kinds) await succeed(["mount", "-t", "tmpfs", "tmpfs", `${shared}/${kind}/below`]);
    for (const name of ["in", "out", "below/in", "below/out"])
      for (const kind of kinds) mkdirSync(`${shared}/${kind}/${name}`);
    const binds = kinds.flatMap((kind) => ["-v", `${shared}/${kind}:/b/${kind}:${kind}`]);
    await engine.start(["--name", "both", "--network", "none", ...mounter, ...binds], "sleep", "1000");
    const inside = (script: string) => engine.daemon.ok("exec", "both", "sh", "-c", script);
    const paths = (name: string) => kinds.flatMap((kind) => [`${kind}/${name}`, `${kind}/below/${name}`]);
    await inside(`for p in ${paths("in").join(" ")}; do mount -t tmpfs tmpfs /b/$p; done`);
    expect(hostMounts(shared, "in")).toEqual([
      ...["private/below/in", "rshared/below/in", "rshared/in", "shared/below/in", "shared/in", "slave/below/in"],
    ]);
    for (const path of paths("out")) await succeed(["mount", "-t", "tmpfs", "tmpfs", `${shared}/${path}`]);
    const seen = await inside("cut -d' ' -f5 /proc/self/mountinfo | grep '^/b/.*/out$' | sort");
    expect(seen.replaceAll("/b/", "").split("\n")).toEqual([
      ...[
        "private/below/out",
        "rshared/below/out",
        "rshared/out",
        "rslave/below/out",
        "rslave/out",
        "shared/below/out",
      ],
      ...["shared/out", "slave/below/out", "slave/out"],
    ]);
    await engine.daemon.ok("rm", "-f", "both");
  });

  test("nothing is shared where nobody asks for it, and a bind of the daemon's root is its slave", async () => {
    const { root } = engine.daemon;
    await engine.start(["--name", "quiet", "-v", `${shared}:/b`, "-v", `${root}/volumes:/r`], "sleep", "1000");
    expect(await engine.inspect("quiet", "{{range .Mounts}}{{.Destination}} {{.Propagation}} {{end}}")).toBe(
      "/b rprivate /r rslave ",
    );
    const table = await engine.daemon.ok("exec", "quiet", "cat", "/proc/self/mountinfo");
    expect(table).not.toMatch(/^(?!.* \/r .*).*(shared|master):/m);
    await engine.daemon.ok("rm", "-f", "quiet");
    const { status, stderr } = await engine.run(["-v", `${root}:/r:private`], ["true"]);
    expect([status, stderr]).toEqual([125, expect.stringContaining("must use either propagation mode")]);
  });
});

test("binds are read-only, and bound with what is mounted below, as far as they are said to be", async () => {
  const long = (name: string, options: string) => ["--mount", `type=bind,src=${shared},dst=/${name},${options}`];
  const cases: Record<string, [flags: string[], top: string, below: string]> = {
    short: [["-v", `${shared}:/short`], "w", "w"],
    "short-ro": [["-v", `${shared}:/short-ro:ro`], "r", "r"],
    "long-ro": [long("long-ro", "ro"), "r", "r"],
    enabled: [long("enabled", "ro,bind-recursive=enabled"), "r", "r"],
    forced: [long("forced", "ro,bind-recursive=readonly,bind-propagation=rprivate"), "r", "r"],
    writable: [long("writable", "ro,bind-recursive=writable"), "r", "w"],
    // The directory beneath what is mounted there is the bind's own.
    flat: [long("flat", "bind-recursive=disabled"), "w", "w"],
    "flat-ro": [long("flat-ro", "bind-recursive=disabled,readonly"), "r", "r"],
  };
  mkdirSync(`${shared}/with/below`, { recursive: true });
  await succeed(["mount", "-t", "tmpfs", "tmpfs", `${shared}/with/below`]);
  const probe = (path: string) => `touch ${path}/t 2>/dev/null && printf w || printf r`;
  const count = (name: string) => `grep -c ' /${name}/with/below ' /proc/self/mountinfo || true`;
  const script = Object.keys(cases).map(
    (name) => `${probe(`/${name}`)}; ${probe(`/${name}/with/below`)}; ${count(name)}`,
  );
  const flags = Object.values(cases).flatMap(([words]) => words);
  const seen = await engine.sh(["--network", "none", ...flags], script.join("; "));
  const expected = Object.entries(cases).map(
    ([name, [, top, below]]) => `${top}${below}${name.startsWith("flat") ? 0 : 1}`,
  );
  expect(seen.split("\n")).toEqual(expected);
});

describe("sources", () => {
  test("-v makes what is missing, --mount only when it is told to", async () => {
    mkdirSync(`${plain}/owned`, { mode: 0o700 });
    const made = `${plain}/owned/a/b`;
    expect(await engine.sh(["-v", `${made}:/b`], "stat -c '%a %u:%g %F' /b")).toBe("755 0:0 directory");
    expect(statSync(made)).toMatchObject({ uid: 0, gid: 0 });
    const long = `type=bind,src=${plain}/long,dst=/b`;
    const refused = await engine.run(["--mount", long], ["true"]);
    expect(refused.stderr).toContain(`bind source path does not exist: ${plain}/long`);
    expect([refused.status, existsSync(`${plain}/long`)]).toEqual([125, false]);
    expect(await engine.sh(["--mount", `${long},bind-create-src`], "echo here > /b/file; ls /b")).toBe("file");
    expect(readFileSync(`${plain}/long/file`, "utf8")).toBe("here\n");
  });

  test("that go between create and start are made again for -v, and named for --mount", async () => {
    const [short, long] = [`${plain}/short`, `${plain}/gone`];
    mkdirSync(long);
    await engine.daemon.ok("create", "--name", "short", "-v", `${short}:/b`, engine.busybox, "ls", "-d", "/b");
    expect(existsSync(short)).toBe(false);
    await engine.daemon.ok(
      "create",
      "--name",
      "gone",
      "--mount",
      `type=bind,src=${long},dst=/b`,
      engine.busybox,
      "true",
    );
    rmSync(long, { recursive: true });
    expect(await engine.daemon.ok("start", "-a", "short")).toBe("/b");
    const refused = await engine.tsd(["start", "gone"]);
    expect(refused.stderr).toContain(`bind source path does not exist: ${long}`);
    mkdirSync(long);
    await engine.daemon.ok("start", "-a", "gone");
    await engine.daemon.ok("rm", "short", "gone");
  });

  test("are relative to where the command is run, and may be files, sockets and symlinks", async () => {
    writeFileSync(`${plain}/file`, "in a file");
    symlinkSync("file", `${plain}/link`);
    const server = Bun.listen({ unix: `${plain}/sock`, socket: { data: () => undefined } });
    try {
      const flags = [
        "-v",
        "./file:/one",
        "-v",
        `${plain}/link:/etc/hosts`,
        "--mount",
        "type=bind,src=./sock,dst=/run/x.sock",
      ];
      const script = "cat /one /etc/hosts; echo; stat -c '%F %i' /run/x.sock";
      const { stdout } = await engine.run(flags, ["sh", "-c", script], { cwd: plain });
      expect(stdout).toBe(`in a filein a file\nsocket ${statSync(`${plain}/sock`).ino}\n`);
      expect(
        await engine.sh(["-v", `${plain}/file:/etc/new/file:ro`], "cat /etc/new/file; echo > /etc/new/file || true"),
      ).toBe("in a file");
    } finally {
      server.stop(true);
    }
    await engine.start(["--name", "hosts", "-v", `${plain}/file:/etc/hosts`], "sleep", "1000");
    expect(await engine.inspect("hosts", "{{.HostsPath}} {{.ResolvConfPath}}")).toMatch(
      new RegExp(`^${plain}/file ${engine.daemon.root}/containers/.*/resolv.conf$`),
    );
    await engine.daemon.ok("rm", "-f", "hosts");
  });

  test("with :z and :Z are as they were where SELinux is off", async () => {
    const before = statSync(plain).ctimeMs;
    expect(await engine.sh(["-v", `${plain}:/b:z`, "-v", `${plain}:/c:ro,Z`], "ls -d /b /c")).toBe("/b\n/c");
    expect(statSync(plain).ctimeMs).toBe(before);
  });
});

describe("bind-idmap", () => {
  test.each([
    ["bind-idmap", ["-u", "5:6"], "5:6"],
    ["bind-idmap=match-user", ["-u", "7"], "7:0"],
    ["bind-idmap=match-user:8:9", [], "8:9"],
    ["bind-idmap=userns", ["--userns", "auto"], "1000:1001"],
    ["bind-idmap", ["--userns", "auto", "-u", "5:6"], "5:6"],
  ])(
    "%s with %j: the source's owner is another one inside, and what is written is his outside",
    async (option, flags, owner) => {
      const source = `${plain}/owned-by-1000`;
      rmSync(source, { recursive: true, force: true });
      mkdirSync(source, { mode: 0o777 });
      chownSync(source, 1000, 1001);
      const user = flags.includes("-u") ? flags : [...flags, "-u", owner];
      const script = "stat -c %u:%g /b; echo > /b/written; stat -c %u:%g /b/written";
      expect(
        await engine.sh(["--network", "none", ...user, "--mount", `type=bind,src=${source},dst=/b,${option}`], script),
      ).toBe(`${owner}\n${owner}`);
      expect(statSync(`${source}/written`)).toMatchObject({ uid: 1000, gid: 1001 });
    },
  );

  test("by the namespace is refused where there is none", async () => {
    const { status, stderr } = await engine.run(
      ["--mount", `type=bind,src=${plain},dst=/b,bind-idmap=userns`],
      ["true"],
    );
    expect([status, stderr]).toEqual([125, expect.stringContaining("needs a container in a user namespace")]);
  });
});
