/** User namespaces: `--userns`, `--userns-remap`, and the owners of files on both sides of mounts. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { command, until } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Engine } from "../harness/engine.ts";
import { Random } from "../harness/random.ts";

let engine: Engine;
/** With `--userns-remap anna`, who has 100000 to 165535. */
let remapped: Daemon;

beforeAll(async () => {
  engine = await Engine.open();
  const etc = engine.workspace.path("etc");
  mkdirSync(etc);
  const files = {
    passwd: "root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/:/bin/sh\n",
    subuid: "anna:100000:65536\n",
    subgid: "anna:200000:65536\n",
  };
  const mounts = Object.entries(files).map(([name, text]) => {
    writeFileSync(join(etc, name), text);
    if (!existsSync(`/etc/${name}`)) writeFileSync(`/etc/${name}`, "");
    return `mount --bind ${join(etc, name)} /etc/${name}`;
  });
  const wrapper = ["unshare", "-m", "sh", "-euc", `${mounts.join("; ")}; exec "$@"`, "sh"];
  remapped = await Daemon.start(engine.workspace, { name: "remapped", wrapper, flags: ["--userns-remap", "anna"] });
  await remapped.ok("pull", "-q", engine.busybox);
});
afterAll(() => engine[Symbol.asyncDispose]());

function hostRoot(map: string): number {
  const [, host] = map.trim().split(/\s+/).map(Number);
  return host!;
}

test("--userns auto: root inside is nobody outside, and two containers have different users", async () => {
  const ids = await Promise.all([1, 2].map(() => engine.start(["--userns", "auto"], "sleep", "1000")));
  const pids = await Promise.all(ids.map((id) => engine.inspect(id, "{{.State.Pid}}")));
  const roots = pids.map((pid) => hostRoot(readFileSync(`/proc/${pid}/uid_map`, "utf8")));
  for (const [index, pid] of pids.entries()) {
    expect(statSync(`/proc/${pid}`).uid).toBe(roots[index]!);
    expect(readFileSync(`/proc/${pid}/uid_map`, "utf8")).toMatch(/^ *0 +\d+ +65536\n$/);
    expect(readFileSync(`/proc/${pid}/gid_map`, "utf8")).toBe(readFileSync(`/proc/${pid}/uid_map`, "utf8"));
  }
  expect(Math.abs(roots[0]! - roots[1]!)).toBeGreaterThanOrEqual(65536);
  expect(Math.min(...roots)).toBeGreaterThan(600_100_000);
  expect(await engine.inspect(ids[0]!, "{{.HostConfig.UsernsMode}}")).toBe("auto");
  const inside = await engine.daemon.ok(
    "exec",
    ids[0]!,
    "sh",
    "-c",
    "id -u; stat -c %u:%g / /etc/hosts /etc/resolv.conf",
  );
  expect(inside).toBe("0\n0:0\n0:0\n0:0");
  await engine.daemon.ok("rm", "-f", ...ids);
});

test("what the container writes has its own users on the disk, in the image's layers nothing is changed", async () => {
  const script =
    "echo x > /new; chown 5:6 /new; chown 7 /bin; echo y >> /etc/passwd; rm -r /root; stat -c %u /bin /new";
  const { stdout } = await engine.tsd([
    "run",
    "--name",
    "written",
    "--userns",
    "auto",
    engine.busybox,
    "sh",
    "-c",
    script,
  ]);
  expect(stdout).toBe("7\n5\n");
  const snapshots = join(engine.daemon.root, "snapshots");
  const upper = readdirSync(snapshots)
    .map((name) => join(snapshots, name, "fs"))
    .find((path) => existsSync(join(path, "new")))!;
  const owners = ["new", "bin", "etc/passwd", "root"].map((name) => {
    const { uid, gid } = lstatSync(join(upper, name));
    return `${name} ${uid}:${gid}`;
  });
  expect(owners).toEqual(["new 5:6", "bin 7:0", "etc/passwd 0:0", "root 0:0"]);
  const image = await engine.daemon.ok("commit", "written");
  expect(await engine.daemon.ok("run", "--rm", image, "stat", "-c", "%u:%g", "/new", "/bin")).toBe("5:6\n7:0");
  await engine.daemon.ok("rm", "written");
});

test("root of its own network namespace may ping, listen on low ports and configure it", async () => {
  const script =
    "ping -c1 -q 127.0.0.1 > /dev/null && ip link set lo down && ip link set lo up && ls /sys/class/net && ip addr show eth0 | grep -c inet";
  const seen = await engine.sh(["--userns", "auto", "--cap-add", "NET_ADMIN"], script);
  expect(seen).toMatch(/^eth0\nlo\n\d$/);
});

test("--network none, and container:NAME, which brings its user namespace", async () => {
  expect(await engine.sh(["--userns", "auto", "--network", "none"], "ls /sys/class/net")).toBe("lo");
  const first = await engine.start(["--userns", "auto", "--name", "first"], "sleep", "1000");
  const map = await engine.daemon.ok("exec", first, "cat", "/proc/self/uid_map");
  expect(await engine.sh(["--network", "container:first"], "cat /proc/self/uid_map; ls /sys/class/net")).toBe(
    `${map}\neth0\nlo`,
  );
  const both = await engine.run(["--network", "container:first", "--userns", "auto"], ["true"]);
  expect(both.stderr).toContain("cannot share namespaces of container first in a user namespace of its own");
  await engine.daemon.ok("stop", "-t", "0", "first");
  const late = await engine.run(["--network", "container:first"], ["true"]);
  expect(late.stderr).toContain("cannot join network namespace of a non running container");
  await engine.daemon.ok("rm", "first");
});

test("names, ports and further networks", async () => {
  await engine.daemon.ok("network", "create", "side");
  const serve = "echo hello > /index.html; exec httpd -f -p 80 -h /";
  const server = ["-d", "--userns", "auto", "--network", "side", "--name", "server", "-p", "127.0.0.1:18080:80"];
  await engine.daemon.ok("run", ...server, engine.busybox, "sh", "-c", serve);
  await engine.daemon.ok("network", "connect", "bridge", "server");
  expect(await engine.sh(["--userns", "auto", "--network", "side"], "until wget -qO- server; do :; done")).toBe(
    "hello",
  );
  const interfaces = await engine.daemon.ok("exec", "server", "ls", "/sys/class/net");
  expect(interfaces.split("\n").sort()).toEqual(["eth0", "eth1", "lo"]);
  const { stdout } = await command(engine.workspace.inNetwork(["curl", "-s", "http://127.0.0.1:18080/"]));
  expect(stdout).toBe("hello\n");
  await engine.daemon.ok("rm", "-f", "server");
  await engine.daemon.ok("network", "rm", "side");
});

test("the next container has the user namespace that was made ahead", async () => {
  /** Of user namespaces that the daemon holds although no container is in them. */
  const held = () => {
    const directory = `/proc/${engine.daemon.pid}/fd`;
    return readdirSync(directory).flatMap((number) => {
      try {
        const name = readlinkSync(join(directory, number));
        return name.startsWith("user:") ? [name] : [];
      } catch {
        return []; // closed meanwhile
      }
    });
  };
  for (const network of ["none", "bridge"]) {
    const flags = ["--userns", "auto", "--network", network];
    // One that has made none for another container.
    await engine.daemon.stop();
    await engine.daemon.start();
    await engine.sh(flags, "true");
    let spare: string[] = [];
    await until("a user namespace is made ahead", async () => {
      spare = held();
      return spare.length === 1;
    });
    const script = "readlink /proc/self/ns/user; ls /sys/class/net";
    const devices = network === "none" ? "lo" : "eth0\nlo";
    expect(await engine.sh(flags, script)).toBe(`${spare[0]}\n${devices}`);
  }
});

test("auto:size=N gives as many users", async () => {
  expect(await engine.sh(["--userns", "auto:size=2000"], "cat /proc/self/gid_map")).toMatch(/^ *0 +\d+ +2000$/);
});

test("what cannot be had in a user namespace is refused in docker's words", async () => {
  const refusals: [string[], string][] = [
    [["--privileged"], "privileged mode is incompatible with user namespaces."],
    [["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled"],
    [["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"],
  ];
  for (const [flags, message] of refusals) {
    const { status, stderr } = await engine.run(["--userns", "auto", ...flags], ["true"]);
    expect([status, stderr]).toEqual([125, expect.stringContaining(message)]);
  }
  const unknown = await engine.run(["--userns", "private"], ["true"]);
  expect(unknown.stderr).toContain("--userns: invalid USER mode");
});

test("an init, a read-only root, devices, terminals and tmpfs", async () => {
  const flags = ["--userns", "auto", "--init", "--read-only", "--tmpfs", "/t:mode=700,uid=3", "--shm-size", "1m"];
  const script = "readlink /proc/1/exe; stat -c %u:%a /t; touch /t/x /dev/shm/y; echo > /dev/null; touch /no 2>&1";
  const { stdout } = await engine.run(flags, ["sh", "-c", script]);
  expect(stdout).toBe("/sbin/docker-init\n3:700\ntouch: /no: Read-only file system\n");
  const more = ["-t", "--device", "/dev/zero:/dev/nothing", "--ulimit", "nofile=5000:6000", "--oom-score-adj", "5"];
  const seen = "tty; stat -c %u /dev/pts/0; head -c 3 /dev/nothing | wc -c; ulimit -Hn; cat /proc/self/oom_score_adj";
  expect((await engine.sh(["--userns", "auto", ...more], seen)).trim().split(/\r?\n/)).toEqual([
    "/dev/pts/0",
    "0",
    "3",
    "6000",
    "5",
  ]);
});

test("root and other users can open their streams anew, of an exec too", async () => {
  const script = "echo $(id -u) > /dev/stdout; cat /dev/stdin; echo error > /dev/stderr";
  const container = await engine.start(["--userns", "auto"], "sleep", "1000");
  for (const user of ["0", "33"]) {
    const flags = ["-i", "--userns", "auto", "-u", user];
    const ran = await engine.run(flags, ["sh", "-c", script], { stdin: "input\n" });
    const executed = await engine.tsd(["exec", "-i", "-u", user, container, "sh", "-c", script], { stdin: "input\n" });
    const expected = { status: 0, stdout: `${user}\ninput\n`, stderr: "error\n" };
    expect([ran, executed]).toMatchObject([expected, expected]);
  }
  await engine.daemon.ok("rm", "-f", container);
});

test("a user whom the namespace does not have is refused by number, and few users are enough for a terminal", async () => {
  const few = await engine.run(["--userns", "auto:size=5", "-u", "5:0"], ["true"]);
  const reason = "EINVAL (invalid argument): it is not in the container's user namespace";
  expect([few.status, few.stderr]).toEqual([125, expect.stringContaining(`user 5: ${reason}`)]);
  const group = await engine.run(["--userns", "auto", "--group-add", "65536"], ["true"]);
  expect(group.stderr).toContain("not all of them are in the container's user namespace");
  const container = await engine.start(
    ["--userns", "auto:size=1", "-t"],
    "sh",
    "-c",
    "stat -c %u:%g $(tty); sleep 1000",
  );
  await engine.untilLogs(container, "0:0");
  const executed = await engine.tsd(["exec", "-u", "1:0", container, "true"]);
  expect([executed.status, executed.stderr]).toEqual([128, expect.stringContaining(`user 1: ${reason}`)]);
  await engine.daemon.ok("rm", "-f", container);
});

test("a file whose owner the container cannot have is not copied into it, and says whose it is", async () => {
  const file = engine.workspace.path("foreign");
  writeFileSync(file, "");
  chownSync(file, 65536, 7);
  const container = await engine.start(["--userns", "auto"], "sleep", "1000");
  const { status, stderr } = await engine.tsd(["cp", "-a", file, `${container}:/`]);
  const reason = "archive entry foreign: its owner 65536:7 is not in the container's user namespace";
  expect([status, stderr]).toEqual([1, expect.stringContaining(reason)]);
  expect((await engine.tsd(["exec", container, "ls", "/foreign"])).status).toBe(1);
  await engine.daemon.ok("rm", "-f", container);
});

test("binds are nobody's without idmap, and with it the container's, on both sides", async () => {
  const source = engine.workspace.path("source");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "");
  chownSync(join(source, "file"), 1000, 1000);
  const look = "stat -c %u:%g /m /m/file";
  expect(await engine.sh(["--userns", "auto", "-v", `${source}:/m`], look)).toBe("65534:65534\n65534:65534");
  const flags = ["--userns", "auto", "-v", `${source}:/m:idmap`];
  expect(await engine.sh(flags, `${look}; touch /m/new; chown 33 /m/new`)).toBe("0:0\n1000:1000");
  expect(statSync(join(source, "new"))).toMatchObject({ uid: 33, gid: 0 });
});

test("without a user namespace idmap has the source's owner be the container's user", async () => {
  const source = engine.workspace.path("project");
  mkdirSync(source);
  chownSync(source, 1234, 1235);
  expect(await engine.sh(["-v", `${source}:/m:idmap`], "stat -c %u:%g /m; echo > /m/by-root")).toBe("0:0");
  expect(statSync(join(source, "by-root"))).toMatchObject({ uid: 1234, gid: 1235 });
  expect(await engine.sh(["-u", "5:6", "-v", `${source}:/m:idmap`], "stat -c %u:%g /m; echo > /m/by-5")).toBe("5:6");
  expect(statSync(join(source, "by-5"))).toMatchObject({ uid: 1234, gid: 1235 });
});

test("volumes keep the containers' users, whoever mounts them", async () => {
  const flags = ["--userns", "auto", "-v", "shared:/etc"];
  await engine.sh(flags, "echo > /etc/new; chown 42 /etc/new");
  expect(await engine.sh(flags, "stat -c %u:%g /etc /etc/passwd /etc/new")).toBe("0:0\n0:0\n42:0");
  const data = join(engine.daemon.root, "volumes/shared/_data");
  expect([statSync(data).uid, statSync(join(data, "new")).uid]).toEqual([0, 42]);
});

test("another runtime is refused", async () => {
  const { status, stderr } = await engine.run(["--runtime", "/usr/sbin/runc", "--userns", "auto"], ["true"]);
  expect([status, stderr]).toEqual([125, expect.stringContaining("the runtime /usr/sbin/runc are not built")]);
});

test("a container has the same users after a restart of the daemon, and they are nobody else's", async () => {
  const map = "cat /proc/self/uid_map";
  const { stdout } = await engine.tsd(["run", "--name", "kept", "--userns", "auto", engine.busybox, "sh", "-c", map]);
  const running = await engine.start(["--userns", "auto"], "sleep", "1000");
  await engine.daemon.stop("SIGKILL");
  await engine.daemon.start();
  expect(await engine.daemon.ok("start", "-a", "kept")).toBe(stdout.trimEnd());
  const others = await Promise.all([1, 2, 3].map(() => engine.sh(["--userns", "auto"], map)));
  const roots = [stdout, await engine.daemon.ok("exec", running, "cat", "/proc/self/uid_map"), ...others].map(hostRoot);
  expect(new Set(roots).size).toBe(5);
  await engine.daemon.ok("rm", "-f", "kept", running);
});

test("users are nobody else's either as long as a container has them that shared the namespaces of one that is gone", async () => {
  const first = await engine.start(["--userns", "auto"], "sleep", "1000");
  const sharing = await engine.start(["--network", `container:${first}`], "sleep", "1000");
  const map = await engine.daemon.ok("exec", sharing, "cat", "/proc/self/uid_map");
  await engine.daemon.ok("rm", "-f", first);
  const create = () => engine.daemon.ok("create", "--userns", "auto", engine.busybox);
  const before = await create();
  // A daemon begins anew with the numbers that it gives out.
  await engine.daemon.stop("SIGKILL");
  await engine.daemon.start();
  const after = await create();
  const starts = ranges().map(({ hostID }) => hostID);
  expect(starts.filter((start) => start === hostRoot(map))).toHaveLength(1);
  expect(new Set(starts).size).toBe(3);
  await engine.daemon.ok("rm", "-f", sharing, before, after);
});

/** What the records of containers say. */
function ranges(): { id: string; hostID: number; size: number }[] {
  using database = new Database(join(engine.daemon.root, "metadata.db"), { readonly: true });
  const rows = database.query<{ id: string; definition: string }, []>("SELECT id, definition FROM containers").all();
  return rows.flatMap(({ id, definition }) => {
    const { userNamespace } = JSON.parse(definition);
    return userNamespace === undefined ? [] : [{ id, ...userNamespace.uids[0] }];
  });
}

test("a daemon that is killed while it makes containers gives no users to two of them, and loses none", async () => {
  const random = new Random("users of killed creations");
  for (let round = 0; round < 3; round++) {
    const creations = Array.from({ length: 6 }, () => engine.tsd(["create", "--userns", "auto", engine.busybox]));
    const enough = random.below(6);
    let done = 0;
    await Promise.all(
      creations.map(async (creation) => {
        const { status } = await creation;
        if (status === 0 && done++ === enough) await engine.daemon.stop("SIGKILL");
      }),
    );
    await engine.daemon.stop("SIGKILL");
    await engine.daemon.start();
    await Promise.all([1, 2].map(() => engine.daemon.ok("create", "--userns", "auto", engine.busybox)));
    const starts = ranges().map(({ hostID }) => hostID);
    expect(new Set(starts).size).toBe(starts.length);
    expect(ranges().every(({ hostID, size }) => hostID % 65536 === 0 && size === 65536)).toBe(true);
    const listed = (await engine.daemon.ok("ps", "-aq", "--no-trunc")).split("\n").filter(Boolean);
    expect(listed.toSorted()).toEqual(
      ranges()
        .map(({ id }) => id)
        .toSorted(),
    );
    await engine.daemon.ok("rm", "-f", ...listed);
  }
  expect(ranges()).toEqual([]);
});

test("--userns-remap: all containers have that user's range, volumes are the host's numbers, host gets out", async () => {
  const run = (...args: string[]) => remapped.ok("run", "--rm", ...args);
  const script = "cat /proc/self/uid_map /proc/self/gid_map; stat -c %u:%g / /etc/hosts";
  expect((await run(engine.busybox, "sh", "-c", script)).replaceAll(/ +/g, " ")).toBe(
    " 0 100000 65536\n 0 200000 65536\n0:0\n0:0",
  );
  expect(
    await run("-v", "data:/etc", engine.busybox, "sh", "-c", "touch /etc/new; stat -c %u:%g /etc /etc/passwd /etc/new"),
  ).toBe("0:0\n0:0\n0:0");
  const data = join(remapped.root, "volumes/data/_data");
  // What -v makes is the container's root's, what was there is not.
  const made = engine.workspace.path("made");
  mkdirSync(made, { mode: 0o755 });
  await run("-v", `${made}/a/b:/b`, engine.busybox, "touch", "/b/file");
  const owners = ["", "a", "a/b", "a/b/file"].map((path) => statSync(join(made, path)));
  expect(owners.map(({ uid, gid }) => `${uid}:${gid}`)).toEqual(["0:0", ...Array(3).fill("100000:200000")]);
  expect(statSync(data)).toMatchObject({ uid: 100000, gid: 200000 });
  expect(statSync(join(data, "passwd"))).toMatchObject({ uid: 100000, gid: 200000 });
  await run("-v", "empty:/nothing", engine.busybox, "touch", "/nothing/x");
  expect(statSync(join(remapped.root, "volumes/empty/_data")).uid).toBe(100000);
  const own = readFileSync("/proc/self/uid_map", "utf8").trim().replaceAll(/ +/g, " ");
  expect(
    (await run("--userns", "host", engine.busybox, "cat", "/proc/self/uid_map")).trim().replaceAll(/ +/g, " "),
  ).toBe(own);
  expect(await run("--userns", "host", "--privileged", engine.busybox, "id", "-u")).toBe("0");
  expect(await remapped.ok("info", "--format", "{{.SecurityOptions}}")).toContain("name=userns");
  const refused = await remapped.tsd(["run", "--rm", "--privileged", engine.busybox, "true"]);
  expect(refused.stderr).toContain("privileged mode is incompatible with user namespaces.");
});
