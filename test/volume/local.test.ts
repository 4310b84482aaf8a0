import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { succeed, until } from "../harness/command.ts";
import { DockerScene } from "../harness/docker.ts";

let scene: DockerScene;
beforeAll(async () => {
  scene = await DockerScene.open();
});
afterAll(async () => {
  await scene.close();
});

const data = (volume: string) => join(scene.daemon.root, "volumes", volume, "_data");
const isMounted = (volume: string) => scene.workspace.mounts().includes(data(volume));

/** The kernel's words for a mount: its own options, its file system, and that one's. */
function mountOf(table: string, place: string): string | undefined {
  const line = table.split("\n").find((each) => each.split(" ")[4] === place);
  return line && `${line.split(" ")[5]} ${line.split(" - ")[1]}`;
}

const make = (name: string, type: string, device: string, o?: string) =>
  scene.ok(
    ...["volume", "create", "-o", `type=${type}`, "-o", `device=${device}`],
    ...(o === undefined ? [] : ["-o", `o=${o}`]),
    name,
  );

async function sh(script: string, ...flags: string[]): Promise<string> {
  const { status, stdout, stderr } = await scene.sh(script, flags);
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return stdout.trim();
}

/** A file system of its own on a loop device, until the workspace is closed. */
async function loopDevice(): Promise<string> {
  const image = scene.workspace.path("disk");
  await succeed(["truncate", "-s", "16M", image]);
  await succeed(["mkfs.ext4", "-q", image]);
  const device = await succeed(["losetup", "-f", "--show", image]);
  scene.workspace.onClose(device, () => succeed(["losetup", "-d", device]));
  return device;
}

describe("a local volume with options", () => {
  test("is mounted for its containers, seen by all, and unmounted when the last has ended", async () => {
    await make("fast", "tmpfs", "tmpfs", "size=1m,uid=1000,mode=750,noexec");
    expect(isMounted("fast")).toBe(false);
    const script = "cat /proc/self/mountinfo; stat -c 'owner %u %a' /fast; echo one > /fast/file; sleep 1000";
    await scene.background("first", script, ["-v", "fast:/fast"]);
    expect(await sh("until cat /fast/file; do :; done; echo two > /fast/file", "-v", "fast:/fast")).toBe("one");
    const log = await scene.ok("logs", "first");
    expect(mountOf(log, "/fast")).toMatch(/^rw,noexec,relatime tmpfs tmpfs rw,size=1024k,mode=750,uid=1000/);
    expect(log).toContain("owner 1000 750");
    expect(readFileSync(join(data("fast"), "file"), "utf8")).toBe("two\n");
    await scene.ok("rm", "-f", "first");
    await until("it is unmounted", () => !isMounted("fast"));
    expect(readdirSync(data("fast"))).toEqual([]);
  });

  test("binds a directory of the host, which outlives it, read-only where it is to be", async () => {
    const source = scene.workspace.path("precious");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "precious");
    await make("bound", "none", source, "bind");
    await make("read-only", "none", source, "bind,ro");
    const mounts = ["-v", "bound:/bound", "-v", "read-only:/read-only"];
    expect(await sh("cat /read-only/file; echo > /read-only/new || echo > /bound/new", ...mounts)).toBe("precious");
    await scene.ok("volume", "rm", "bound", "read-only");
    expect(readdirSync(source).sort()).toEqual(["file", "new"]);
    expect(existsSync(join(scene.daemon.root, "volumes", "bound"))).toBe(false);
  });

  test("is a file system on a device, kept while nobody has it mounted", async () => {
    await make("disk", "ext4", await loopDevice(), "noatime,nodev");
    expect(mountOf(await sh("cat /proc/self/mountinfo; echo kept > /d/file", "-v", "disk:/d"), "/d")).toMatch(
      /^rw,nodev,noatime ext4 \/dev\/loop\d+ rw/,
    );
    await until("it is unmounted", () => !isMounted("disk"));
    expect(await sh("cat /d/file", "-v", "disk:/d:ro")).toBe("kept");
  });

  test("is filled with what the image has there, with owners and modes, when it is empty and nocopy does not say no", async () => {
    const source = scene.workspace.path("empty");
    mkdirSync(source);
    await make("filled", "none", source, "bind");
    await scene.ok("create", "--name", "nocopy", "-v", "filled:/etc:nocopy", scene.image);
    expect(readdirSync(source)).toEqual([]);
    await scene.ok("create", "--name", "copy", "-v", "filled:/etc", scene.image);
    expect(readdirSync(source).sort()).toEqual(["group", "not-executable", "passwd"]);
    expect(isMounted("filled")).toBe(false);
    writeFileSync(join(source, "passwd"), "changed");
    await scene.ok("create", "--name", "again", "-v", "filled:/etc", scene.image);
    expect(readFileSync(join(source, "passwd"), "utf8")).toBe("changed");
    await scene.ok("create", "--name", "sticky", "-v", "plain:/tmp", scene.image);
    expect(statSync(data("plain")).mode & 0o7777).toBe(0o1777);
    await scene.ok("rm", "nocopy", "copy", "again", "sticky");
  });

  test("stays mounted under a container whose daemon is killed, and no longer than it is used", async () => {
    await make("held", "tmpfs", "tmpfs");
    await make("left", "tmpfs", "tmpfs");
    await scene.background("holder", "echo held > /v/file; sleep 1000", ["-v", "held:/v"]);
    const leaver = await scene.background("leaver", "sleep 1000", ["-v", "left:/v"]);
    await until("the file is there", () => existsSync(join(data("held"), "file")));
    const pid = Number(await scene.ok("inspect", "-f", "{{.State.Pid}}", leaver));
    await scene.daemon.stop("SIGKILL");
    process.kill(pid, "SIGKILL");
    expect([isMounted("held"), isMounted("left")]).toEqual([true, true]);
    await scene.daemon.start();
    await until("what nobody uses is unmounted", () => !isMounted("left"));
    expect(await sh("cat /v/file", "-v", "held:/v")).toBe("held");
    expect(isMounted("held")).toBe(true);
    await scene.ok("rm", "-f", "holder", "leaver");
    await until("it is unmounted", () => !isMounted("held"));
  });

  test("that cannot be mounted keeps its container from starting, in docker's words, and leaves nothing", async () => {
    const refusals = [
      [["-o", "fstype=nfs"], 'create bad: invalid option: "fstype"'],
      [["-o", "type=nfs"], 'create bad: missing required option: "device"'],
      [["-o", "device=/x", "-o", "o=bind"], 'create bad: missing required option: "type"'],
    ] as const;
    for (const [options, message] of refusals) {
      const { status, stderr } = await scene.docker(["volume", "create", ...options, "bad"]);
      expect([status, stderr.trim()]).toEqual([1, `Error response from daemon: ${message}`]);
    }
    await make("bad", "none", "/none/such", "bind");
    await scene.ok("create", "--name", "fails", "-v", "bad:/bad:nocopy", scene.image);
    const { status, stderr } = await scene.docker(["start", "fails"]);
    expect(status).toBe(1);
    expect(stderr).toContain(
      `error while mounting volume '${data("bad")}': failed to mount local volume: ` +
        `mount /none/such:${data("bad")}, flags: 0x1000: no such file or directory`,
    );
    expect(await scene.ok("inspect", "-f", "{{.State.Status}}", "fails")).toBe("created");
    expect((await scene.docker(["volume", "rm", "bad"])).stderr).toContain("remove bad: volume is in use - [");
    await scene.ok("rm", "fails");
    await scene.ok("volume", "rm", "bad");
  });

  test("is told of by events, with docker's attributes, and keeps its options whoever asks for others", async () => {
    const since = String(Date.now() / 1000);
    await make("told", "tmpfs", "tmpfs", "size=1m");
    await scene.ok("volume", "create", "-o", "type=none", "-o", "device=/", "-o", "o=bind", "told");
    expect(await scene.ok("volume", "inspect", "-f", "{{.Options.o}} {{.Options.type}}", "told")).toBe("size=1m tmpfs");
    expect(await scene.daemon.log()).toContain("a volume is there with other options than were asked for");
    const id = await scene.background("teller", "true", ["-v", "told:/a", "-v", "told:/b:ro"]);
    await scene.ok("wait", "teller");
    await until("it is unmounted", () => !isMounted("told"));
    await scene.ok("rm", "teller");
    await scene.ok("volume", "rm", "told");
    const format = "{{.Action}} {{json .Actor.Attributes}}";
    const filters = ["--filter", "type=volume", "--since", since, "--until", String(Date.now() / 1000)];
    const events = (await scene.ok("events", ...filters, "--format", format)).split("\n");
    const mounted = (destination: string, writable: boolean) =>
      `mount {"container":"${id}","destination":"${destination}","driver":"local","propagation":"","read/write":"${writable}"}`;
    const unmounted = `unmount {"container":"${id}","driver":"local"}`;
    const local = '{"driver":"local"}';
    // docker's client sends what -v says in any order.
    expect(events.slice(1, 3).sort()).toEqual([mounted("/a", true), mounted("/b", false)]);
    expect(events.toSpliced(1, 2)).toEqual([`create ${local}`, unmounted, unmounted, `destroy ${local}`]);
  });
});
