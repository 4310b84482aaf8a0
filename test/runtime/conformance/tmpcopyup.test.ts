/** The mount option tmpcopyup, with which podman mounts the writable directories of read-only containers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { succeed } from "../../harness/command.ts";
import type { ConfigChange } from "../../harness/oci-bundle.ts";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
/** With a directory /full of every kind of file. */
let rootfs: string;

beforeAll(async () => {
  runtime = await OciRuntime.open();
  rootfs = await runtime.newRootfs();
  const script = `mkdir full; mkdir -m 0750 full/below; printf text > full/below/file; touch -d 2001-02-03T04:05:06Z full/below/file
    ln -s below/file full/link; ln -s /etc/passwd full/absolute;
    printf program > full/setuid; chown 7:8 full/setuid; chmod 4711 full/setuid; chown 0:2 full; head -c 300000 /dev/zero > full/zeros
    ln -s full named`;
  await succeed(["sh", "-euc", script], { cwd: rootfs });
});

afterAll(() => runtime?.[Symbol.asyncDispose]());

function withTmpfs(destination: string, options: string[], change: ConfigChange = () => undefined): ConfigChange {
  return (config) => {
    config.root = { path: rootfs, readonly: true };
    config.mounts.push({ destination, type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", ...options] });
    change(config);
  };
}

/** What `stat` and the content of files say. */
const look = `cd /full || exit; find . | sort | while read -r name; do stat -c '%n %A %u:%g %s' "$name" | sed "s/ 4096\\$//"; done
  readlink link; readlink absolute; cat link; cmp zeros /zeros 2>/dev/null || wc -c < zeros`;

test("a tmpfs begins with the files of the directory that it covers", async () => {
  const before = await runtime.run(["sh", "-c", look], (config) => {
    config.root = { path: rootfs, readonly: true };
  });
  const { status, stdout, stderr } = await runtime.run(["sh", "-c", look], withTmpfs("/full", []));
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("./setuid -rws--x--x 7:8 7\n");
  expect(stdout).toContain("below/file\n/etc/passwd\ntext300000\n");
  expect(withoutDirectories(stdout)).toEqual(withoutDirectories(before.stdout));
  expect(stdout).toContain("./below drwxr-x---");
});

/** Their sizes are the file system's own. */
function withoutDirectories(listing: string): string[] {
  return listing.split("\n").filter((line) => !/ d[rwxt-]{9} /.test(line));
}

test("what is written to it is not in the image", async () => {
  const script = "rm /full/link; printf more >> /full/below/file; touch /full/new; cat /full/below/file";
  const { stdout, stderr } = await runtime.run(["sh", "-c", script], withTmpfs("/full", []));
  expect([stdout, stderr]).toEqual(["textmore", ""]);
  expect(await Bun.file(join(rootfs, "full/below/file")).text()).toBe("text");
});

test("it can be read-only, with what was copied", async () => {
  const { stdout, stderr } = await runtime.run(["sh", "-c", "cat /full/link; : > /full/x"], withTmpfs("/full", ["ro"]));
  expect([stdout, stderr]).toEqual(["text", expect.stringMatching(/Read-only file system/)]);
});

test("a destination that is a symlink leads to the directory inside the root", async () => {
  const { stdout, stderr } = await runtime.run(["cat", "/full/link"], withTmpfs("/named", []));
  expect([stdout, stderr]).toEqual(["text", ""]);
});

test("what an earlier mount has at the destination is copied", async () => {
  const { stdout, stderr } = await runtime.run(["cat", "/mnt/link"], (config) => {
    config.mounts.push(
      { destination: "/mnt", type: "bind", source: join(rootfs, "full"), options: ["bind"] },
      { destination: "/mnt", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] },
    );
  });
  expect([stdout, stderr]).toEqual(["text", ""]);
});

test("in a user namespace files belong to whom they belong in the container", async () => {
  const mapped = await runtime.newRootfs();
  await succeed(
    ["sh", "-euc", "mkdir full; printf text > full/file; chown -R 100000:100000 .; chown 100007:100008 full/file"],
    {
      cwd: mapped,
    },
  );
  const mapping = [{ containerID: 0, hostID: 100_000, size: 1000 }];
  const script = "stat -c '%u:%g' /full /full/file; cat /full/file; touch /full/new && stat -c '%u:%g' /full/new";
  const { stdout, stderr } = await runtime.run(
    ["sh", "-c", script],
    withTmpfs("/full", [], (config) => {
      config.root = { path: mapped, readonly: true };
      config.linux.namespaces!.push({ type: "user" });
      config.linux.uidMappings = mapping;
      config.linux.gidMappings = mapping;
    }),
  );
  expect([stdout, stderr]).toEqual(["0:0\n7:8\ntext0:0\n", ""]);
});

test("what does not fit is said with the destination, and nothing is left", async () => {
  const container = runtime.bundle(["true"], withTmpfs("/full", ["size=64k"]));
  const { message } = await runtime.fails("create", "--bundle", container.bundle, container.id);
  expect(message).toMatch(/\/full.*(ENOSPC|no space left on device)/i);
  expect(runtime.traces(container.id)).toEqual([]);
});

needs("tsd")("files keep their times, which runc 1.1 does not copy", async () => {
  const { stdout } = await runtime.run(["stat", "-c", "%Y", "/full/below/file"], withTmpfs("/full", []));
  expect(stdout).toBe("981173106\n");
});

needs("tsd")("fifos and devices are copied, at which runc 1.1 fails", async () => {
  const special = await runtime.newRootfs();
  await succeed(["sh", "-euc", "mkdir full; mkfifo -m 0640 full/fifo; mknod full/null c 1 3"], { cwd: special });
  const { stdout, stderr } = await runtime.run(
    ["stat", "-c", "%n %A %t:%T", "/full/fifo", "/full/null"],
    withTmpfs("/full", ["nodev"], (config) => {
      config.root = { path: special, readonly: true };
    }),
  );
  expect([stdout, stderr]).toEqual(["/full/fifo prw-r----- 0:0\n/full/null crw-r--r-- 1:3\n", ""]);
});

needs("tsd")("what is no new tmpfs is refused, where runc ignores the option", async () => {
  const container = runtime.bundle(["true"], (config) => {
    config.mounts.push({ destination: "/mnt", type: "bind", source: rootfs, options: ["bind", "tmpcopyup"] });
  });
  const { message } = await runtime.fails("create", "--bundle", container.bundle, container.id);
  expect(message).toMatch(/^mounts\[\d+\]\.options: tmpcopyup is for a new tmpfs only$/);
});
