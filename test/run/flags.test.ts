/** What each flag of `tsd run` changes inside the container. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open();
});
afterAll(() => engine[Symbol.asyncDispose]());

test("-e sets variables, a name alone takes the caller's value, and --env-file reads a file", async () => {
  const file = engine.workspace.path("variables");
  writeFileSync(file, "# a comment\n\nFROM_FILE=f i l e\nBOTH=file\nINHERITED\nABSENT\n");
  const flags = ["--env-file", file, "-e", "BOTH=flag", "-e", "EMPTY=", "--env", "CALLER", "-e", "NOT_THERE"];
  const variables = await engine.sh(flags, "env", { env: { CALLER: "c=1", INHERITED: "from here" } });
  expect(new Set(variables.split("\n"))).toEqual(
    new Set([
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      expect.stringMatching(/^HOSTNAME=[0-9a-f]{12}$/) as unknown as string,
      "FROM_FILE=f i l e",
      "BOTH=flag",
      "INHERITED=from here",
      "EMPTY=",
      "CALLER=c=1",
      "HOME=/root",
      "SHLVL=1",
      "PWD=/",
    ]),
  );
});

test("-w is the working directory, and is made when it is not there", async () => {
  expect(await engine.sh(["-w", "/tmp"], "pwd")).toBe("/tmp");
  expect(await engine.sh(["-w", "/made/for/it"], "pwd; stat -c %u:%g:%a .")).toBe("/made/for/it\n0:0:755");
});

test("-u takes names and numbers, with the user's groups and home", async () => {
  const who = "id -u; id -g; id -G; echo $HOME";
  expect(await engine.sh([], who)).toBe("0\n0\n0\n/root");
  expect(await engine.sh(["-u", "alice"], who)).toBe("1000\n1000\n1000 29 100\n/home/alice");
  expect(await engine.sh(["-u", "1000"], who)).toBe("1000\n1000\n1000 29 100\n/home/alice");
  expect(await engine.sh(["-u", "alice:users"], who)).toBe("1000\n100\n100\n/home/alice");
  expect(await engine.sh(["-u", "1234:5678"], who)).toBe("1234\n5678\n5678\n/");
  expect(await engine.sh(["-u", "1234"], who)).toBe("1234\n0\n0\n/");
  expect(await engine.sh(["-u", "alice", "--group-add", "77", "--group-add", "daemon"], "id -G")).toBe(
    "1000 1 29 77 100",
  );
});

test("a user other than root has no capability in effect", async () => {
  const status = await engine.sh(["-u", "alice"], "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status");
  expect(status).toBe("CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb");
});

test("--entrypoint replaces the entrypoint and drops the image's command", async () => {
  const result = await engine.run(["--entrypoint", "echo"], []);
  expect(result).toEqual({ status: 0, stdout: "\n", stderr: "" });
  const given = await engine.run(["--entrypoint", "/bin/echo"], ["a", "b"]);
  expect(given.stdout).toBe("a b\n");
  const cleared = await engine.run(["--entrypoint", ""], ["echo", "x"]);
  expect(cleared.stdout).toBe("x\n");
});

test("--hostname names the container, in its files too", async () => {
  const shown = await engine.sh(
    ["-h", "box"],
    "hostname; cat /etc/hostname; echo $HOSTNAME; tail -n 2 /etc/hosts | head -n 1",
  );
  expect(shown).toMatch(/^box\nbox\nbox\n172\.\d+\.\d+\.\d+\tbox$/);
  expect(await engine.sh(["--hostname", "a", "--domainname", "example.test"], "cat /proc/sys/kernel/domainname")).toBe(
    "example.test",
  );
});

test("-v binds a directory, read-only with :ro, and makes one that is not there", async () => {
  const directory = engine.workspace.path("bind");
  mkdirSync(directory);
  writeFileSync(`${directory}/file`, "content\n");
  expect(await engine.sh(["-v", `${directory}:/data`], "cat /data/file; echo written > /data/new")).toBe("content");
  expect(readFileSync(`${directory}/new`, "utf8")).toBe("written\n");
  const readOnly = await engine.run(["-v", `${directory}:/data:ro`], ["touch", "/data/x"]);
  expect(readOnly.status).toBe(1);
  expect(readOnly.stderr).toContain("Read-only file system");
  const missing = engine.workspace.path("missing", "deep");
  await engine.sh(["-v", `${missing}:/data`], "echo there > /data/f");
  expect(readFileSync(`${missing}/f`, "utf8")).toBe("there\n");
  const relative = await engine.run(["-v", "./bind:/data"], ["cat", "/data/file"], { cwd: engine.workspace.directory });
  expect(relative.stdout).toBe("content\n");
  const file = await engine.sh(["-v", `${directory}/file:/etc/one`], "cat /etc/one");
  expect(file).toBe("content");
});

test("-v with a name keeps a volume between containers and fills it from the image", async () => {
  await engine.sh(["-v", "data:/data"], "echo kept > /data/f");
  expect(await engine.sh(["-v", "data:/elsewhere:ro"], "cat /elsewhere/f")).toBe("kept");
  expect(readFileSync(`${engine.daemon.root}/volumes/data/_data/f`, "utf8")).toBe("kept\n");
  // A new volume over a directory of the image has what the image has there.
  expect(await engine.sh(["-v", "filled:/etc"], "cat /etc/not-executable")).toBe("no program");
  expect(await engine.sh(["-v", "bare:/etc:nocopy"], "ls /etc | grep -c not-exec; true")).toBe("0");
});

test("-v with a path alone makes a volume that --rm removes", async () => {
  const name = await engine.sh(["-v", "/anonymous"], "grep ' /anonymous ' /proc/self/mountinfo | cut -d' ' -f4");
  const [, volume] = /volumes\/([0-9a-f]{64})\/_data/.exec(name) ?? [];
  expect(volume).toBeDefined();
  await engine.untilNoTrace();
  expect(await Bun.file(`${engine.daemon.root}/volumes/${volume}/_data`).exists()).toBe(false);
});

test("a target that leads through a symlink out of the root is refused, and nothing is made there", async () => {
  const outside = engine.workspace.path("outside");
  const links = engine.workspace.path("links");
  for (const directory of [outside, links]) mkdirSync(directory);
  symlinkSync(outside, `${links}/link`); // as an image's might: it names a directory that only the host has
  const result = await engine.run(["-v", `${links}:/links`, "-v", `${links}:/links/link/in`], ["true"]);
  expect(result.status).toBe(125);
  expect(result.stderr).toContain("/links/link");
  expect(readdirSync(outside)).toEqual([]);
  await engine.untilNoTrace();
});

test("--tmpfs mounts memory with docker's options and one's own", async () => {
  const line = (path: string) => `grep ' ${path} ' /proc/self/mounts`;
  expect(await engine.sh(["--tmpfs", "/t"], line("/t"))).toMatch(/^tmpfs \/t tmpfs rw,nosuid,nodev,noexec,relatime/);
  const own = await engine.sh(["--tmpfs", "/t:size=1m,exec,mode=700,uid=1000"], `${line("/t")}; stat -c %u:%a /t`);
  expect(own).toMatch(/^tmpfs \/t tmpfs rw,nosuid,nodev,relatime,size=1024k,mode=700,uid=1000/);
  expect(own.split("\n")[1]).toBe("1000:700");
});

test("--read-only makes the root read-only, and leaves what must be written writable", async () => {
  const script = "touch /f 2>&1; for d in /dev/shm /t /v; do touch $d/f && echo $d; done; echo 1 > /dev/null; echo $?";
  const shown = await engine.sh(["--read-only", "--tmpfs", "/t", "-v", "/v"], script);
  expect(shown).toBe("touch: /f: Read-only file system\n/dev/shm\n/t\n/v\n0");
});

test("--device gives a device under a name and with permissions of its own", async () => {
  const show = "stat -c '%t:%T %F' /dev/mine; exec 3</dev/mine && echo readable; (echo x > /dev/mine) 2>&1";
  const shown = await engine.sh(["--device", "/dev/fuse:/dev/mine:rm"], `${show}; true`);
  expect(shown.split("\n").slice(0, 2)).toEqual(["a:e5 character special file", "readable"]);
  expect(shown).toContain("Operation not permitted");
  const absent = await engine.run([], ["stat", "/dev/kmsg"]);
  expect(absent.status).toBe(1);
});

test("--init runs docker's init as process 1, which reaps and forwards", async () => {
  const shown = await engine.sh(["--init"], "echo $$; cat /proc/1/comm");
  expect(shown).toMatch(/^[2-9]\d*\n(docker-init|tsd)$/);
  // A child whose parent has gone is process 1's to reap.
  const zombies = await engine.sh(
    ["--init"],
    "sh -c 'sleep 0.01 & exit'; sleep 0.1; ps -o stat,comm | grep -c ^Z; true",
  );
  expect(zombies).toBe("0");
  const id = await engine.start(
    ["--init"],
    "sh",
    "-c",
    "trap 'exit 33' TERM; echo ready; while :; do sleep 0.01; done",
  );
  await engine.untilLogs(id, "ready");
  await engine.daemon.ok("kill", "-s", "TERM", id);
  expect(await engine.daemon.ok("wait", id)).toBe("33");
  await engine.daemon.ok("rm", id);
});

test("--shm-size, --sysctl, --label, --add-host and --dns take effect", async () => {
  expect(await engine.sh(["--shm-size", "3m"], "df -k /dev/shm | tail -n 1 | awk '{print $2}'")).toBe("3072");
  expect(
    await engine.sh(
      ["--sysctl", "net.ipv4.ip_unprivileged_port_start=77"],
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    ),
  ).toBe("77");
  const hosts = await engine.sh(
    ["--add-host", "other:10.1.2.3", "--add-host", "gate=host-gateway"],
    "grep -E 'other|gate' /etc/hosts; ip route | head -n 1",
  );
  expect(hosts).toMatch(/10\.1\.2\.3\tother/);
  const [, gateway] = /^(\S+)\tgate$/m.exec(hosts)!;
  expect(hosts).toContain(`default via ${gateway} `);
  const dns = ["--dns", "10.9.8.7", "--dns-search", "example.test", "--dns-option", "ndots:3"];
  expect(await engine.sh(dns, "grep -v '^#' /etc/resolv.conf")).toBe(
    "nameserver 10.9.8.7\nsearch example.test\noptions ndots:3",
  );
  const labelled = await engine.daemon.ok("create", "-l", "a=b", "--label", "empty", engine.busybox);
  expect(JSON.parse(await engine.inspect(labelled, "{{json .Config.Labels}}"))).toEqual({ a: "b", empty: "" });
  await engine.daemon.ok("rm", labelled);
});

test("flags are read as docker reads them", async () => {
  const id = await engine.daemon.ok(
    "create",
    "-itw/tmp",
    "-e=A=1",
    "--read-only=false",
    "-m",
    "64m",
    engine.busybox,
    "sh",
    "-c",
    "-x",
    "--rm",
  );
  expect(await engine.inspect(id, "{{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.WorkingDir}}")).toBe(
    "true true /tmp",
  );
  expect(await engine.inspect(id, "{{json .Config.Cmd}} {{.HostConfig.Memory}}")).toBe(
    `["sh","-c","-x","--rm"] ${64 << 20}`,
  );
  expect(await engine.inspect(id, "{{.HostConfig.ReadonlyRootfs}} {{index .Config.Env 0}}")).toBe("false A=1");
  await engine.daemon.ok("rm", id);
});
