/** File systems in memory, read-only roots, and devices: what the kernel says of them inside. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { succeed } from "../harness/command.ts";
import { Engine } from "../harness/engine.ts";

let engine: Engine;
/** With nodes of null (`a`), zero (`sub/b`) and what is no device. */
let nodes: string;

beforeAll(async () => {
  engine = await Engine.open();
  nodes = engine.workspace.path("nodes");
  mkdirSync(`${nodes}/sub`, { recursive: true });
  await succeed(["mknod", `${nodes}/a`, "c", "1", "3"]);
  await succeed(["mknod", `${nodes}/sub/b`, "c", "1", "5"]);
  chmodSync(`${nodes}/a`, 0o640);
  chownSync(`${nodes}/a`, 5, 6);
  writeFileSync(`${nodes}/file`, "");
  symlinkSync("/dev/null", `${nodes}/link`);
  mkdirSync(engine.workspace.path("empty"));
}, 60_000);
afterAll(() => engine?.[Symbol.asyncDispose]());

/** Of the mounts below /t: options of the mount and of the file system. */
const options = "grep -E ' (/t/|/dev/shm)' /proc/self/mountinfo | cut -d' ' -f5,6,10-";

describe("memory", () => {
  test("file systems have the options that they are given, over Docker's own", async () => {
    const flags = [
      ...["--tmpfs", "/t/plain", "--tmpfs", "/t/all:rw,exec,suid,dev,size=1m,mode=0711,uid=5,gid=6,nr_inodes=50"],
      ...["--mount", "type=tmpfs,dst=/t/long", "--mount", "type=tmpfs,dst=/t/sized,tmpfs-size=64k,tmpfs-mode=1770"],
      ...[
        "--mount",
        "type=tmpfs,dst=/t/ro,ro",
        "--mount",
        "type=tmpfs,dst=/t/exec,tmpfs-options=exec,tmpfs-options=uid=7",
      ],
    ];
    const script = `${options} | sort; stat -c '%n %a %u:%g' /t/plain /t/all /t/sized /t/exec; touch /t/ro/x 2>&1 || true`;
    const seen = (await engine.sh(["--network", "none", ...flags], script)).split("\n");
    expect(seen).toEqual([
      "/dev/shm rw,nosuid,nodev,noexec,relatime rw,size=65536k",
      "/t/all rw,relatime rw,size=1024k,nr_inodes=50,mode=711,uid=5,gid=6",
      "/t/exec rw,nosuid,nodev,relatime rw,uid=7",
      "/t/long rw,nosuid,nodev,noexec,relatime rw",
      "/t/plain rw,nosuid,nodev,noexec,relatime rw",
      "/t/ro ro,nosuid,nodev,noexec,relatime rw",
      "/t/sized rw,nosuid,nodev,noexec,relatime rw,size=64k,mode=1770",
      ...["/t/plain 1777 0:0", "/t/all 711 5:6", "/t/sized 1770 0:0", "/t/exec 1777 7:0"],
      "touch: /t/ro/x: Read-only file system",
    ]);
    const fill =
      "dd if=/dev/zero of=/t/x/file bs=4096 count=99 2>&1 | grep -o 'No space left on device'; wc -c < /t/x/file";
    expect(await engine.sh(["--tmpfs", "/t/x:size=64k"], fill)).toBe("No space left on device\n65536");
  });

  test("--shm-size is the size of /dev/shm", async () => {
    const size = "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    expect(await engine.sh(["--shm-size", "3m"], size)).toBe("3072");
    expect(await engine.sh(["--shm-size", "0"], size)).toBe("65536");
    const refused = await engine.run(["--shm-size", "much"], ["true"]);
    expect([refused.status, refused.stderr]).toEqual([125, expect.stringContaining("invalid size: 'much'")]);
  });

  test("--ipc shareable: those that join have the same /dev/shm, over a crash of the daemon, and others have none", async () => {
    const { state } = engine.daemon;
    await engine.start(["--name", "owner", "--ipc", "shareable", "--shm-size", "5m"], "sleep", "1000");
    const join = ["--network", "none", "--ipc", "container:owner", "--shm-size", "3m"];
    await engine.daemon.ok("exec", "owner", "sh", "-c", "echo shared > /dev/shm/file");
    await engine.daemon.stop("SIGKILL");
    await engine.daemon.start();
    expect(await engine.sh(join, `cat /dev/shm/file; ${options}; echo too > /dev/shm/two`)).toBe(
      "shared\n/dev/shm rw,nosuid,nodev,noexec,relatime rw,size=5120k",
    );
    expect(await engine.daemon.ok("exec", "owner", "cat", "/dev/shm/two")).toBe("too");
    await engine.start(["--name", "late", ...join], "sleep", "1000");
    // Over another that has joined; the memory lasts as long as somebody has it.
    expect(await engine.sh(["--ipc", "container:late"], "cat /dev/shm/file")).toBe("shared");
    await engine.daemon.ok("rm", "-f", "owner");
    expect(readdirSync(`${state}/shm`)).toEqual([]);
    expect(await engine.daemon.ok("exec", "late", "cat", "/dev/shm/file")).toBe("shared");
    await engine.daemon.ok("rm", "-f", "late");
    await engine.start(["--name", "alone"], "sleep", "1000");
    const refused = await engine.run(["--ipc", "container:alone"], ["true"]);
    expect(refused.stderr).toMatch(
      /can't join IPC of container [0-9a-f]{64}: non-shareable IPC \(hint: use IpcMode:shareable for the donor container\)/,
    );
    expect(refused.status).toBe(125);
    const users = await engine.run(
      ["--userns", "auto", "--ipc", "shareable", "-u", "5"],
      ["sh", "-c", "stat -c %u /dev/shm; echo > /dev/shm/x"],
    );
    expect(users).toMatchObject({ status: 0, stdout: "0\n" });
    await engine.daemon.ok("rm", "-f", "alone");
  });

  test("what a tmpfs cannot have is refused by its name", async () => {
    for (const [flags, words] of [
      [["--tmpfs", "/t:colour=red"], 'mount /t: invalid tmpfs option ["colour" "red"]'],
      [["--mount", "type=tmpfs,dst=/t,tmpfs-options=colour"], 'mount /t: invalid tmpfs option ["colour"]'],
      [["--tmpfs", "/t:size=much"], "tmpfs: Bad value for 'size'"],
      [["--tmpfs", "relative"], "invalid mount path: 'relative' mount path must be absolute"],
    ] as const) {
      const { status, stderr } = await engine.run([...flags], ["true"]);
      expect([status, stderr]).toEqual([125, expect.stringContaining(words)]);
    }
  });
});

test("--read-only: nothing of the root can be written to, but what is mounted can", async () => {
  const flags = ["--read-only", "--tmpfs", "/t/memory", "-v", "written:/t/volume", "-v", `${nodes}:/t/bind`];
  const places =
    "/x /etc/x /etc/hosts /t/x /t/memory/x /t/volume/x /t/bind/x /dev/x /dev/shm/x /tmp/x /proc/sys/kernel/hostname";
  const script = `for p in ${places}; do (echo > $p) 2>/dev/null && echo $p; done; grep ' / / ' /proc/self/mountinfo | cut -d' ' -f6`;
  expect((await engine.sh(["--network", "none", ...flags], script)).split("\n")).toEqual([
    ...["/t/memory/x", "/t/volume/x", "/t/bind/x", "/dev/x", "/dev/shm/x"],
    "ro,relatime",
  ]);
});

describe("devices", () => {
  test("may be read and written to as the letters say; all may be made, as with runc", async () => {
    const path = "/dev/loop-control";
    const all = ["rwm", "r", "w"];
    const look = `head -c0 D 2>/dev/null && printf r; (: > D) 2>/dev/null && printf w; mknod /tmp/n c 1 11 && printf m`;
    for (const letters of all) {
      const seen = await engine.sh(
        ["--network", "none", "--device", `${path}:/dev/d:${letters}`],
        look.replaceAll("D", "/dev/d"),
      );
      expect([letters, seen]).toEqual([letters, letters.includes("m") ? letters : `${letters}m`]);
    }
    const rule = "c 10:237 r";
    const made = `mknod /tmp/d c 10 237; ${look.replaceAll("D", "/tmp/d")}`;
    expect(await engine.sh(["--device-cgroup-rule", rule], made)).toBe("rm");
    expect(await engine.sh([], made)).toBe("m");
  });

  test("of a directory come at their places in it, with the owners and modes of the host's", async () => {
    const flags = [
      "--device",
      `${nodes}:/dev/many`,
      "--device",
      `${nodes}/link:/dev/linked:r`,
      "--device",
      `${nodes}/a`,
    ];
    const script = `cd /dev; stat -c '%n %F %t:%T %a %u:%g' $(find many -type c | sort) linked ${nodes}/a; ls many`;
    expect((await engine.sh(["--network", "none", ...flags], script)).split("\n")).toEqual([
      "many/a character special file 1:3 640 5:6",
      "many/sub/b character special file 1:5 644 0:0",
      "linked character special file 1:3 666 0:0",
      `${nodes}/a character special file 1:3 640 5:6`,
      ...["a", "sub"],
    ]);
  });

  test("that are none, or not there, are refused in docker's words, and --privileged brings all", async () => {
    const empty = engine.workspace.path("empty");
    for (const [device, reason] of [
      ["/dev/absent", "no such file or directory"],
      [`${nodes}/file`, "not a device node"],
      [empty, "not a device node"],
    ] as const) {
      const { status, stderr } = await engine.run(["--device", device], ["true"]);
      const words = `error gathering device information while adding custom device "${device}": ${reason}`;
      expect([status, stderr]).toEqual([125, expect.stringContaining(words)]);
    }
    expect(await engine.sh(["--privileged"], "head -c0 /dev/loop-control && ls -d /dev/loop-control /dev/kmsg")).toBe(
      "/dev/kmsg\n/dev/loop-control",
    );
  });
});
