import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { O_PATH } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";
import { mount, umount2 } from "../../ffi/mount.ts";
import { getXattr, setXattr } from "../../ffi/stat.ts";
import { copyUp, type FilledVolume } from "./copy-up.ts";

let work: string;
let volume: FilledVolume;
beforeEach(() => {
  // Not under /tmp: overlayfs needs a file system that may be its lower directory.
  work = mkdtempSync("/var/tmp/tsd-copy-up-");
  volume = { name: "v", path: join(work, "v", "_data"), staging: join(work, "v") };
  mkdirSync(volume.path, { recursive: true });
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

function layer(name: string): string {
  mkdirSync(join(work, name, "data"), { recursive: true });
  return join(work, name);
}

describe.skipIf(process.getuid?.() !== 0)("copy-up", () => {
  test("owners, modes, times, attributes and links arrive, from all layers, whiteouts kept out", async () => {
    const [top, base] = [layer("top"), layer("base")];
    writeFileSync(join(base, "data/file"), "base");
    writeFileSync(join(base, "data/gone"), "x");
    mkdirSync(join(base, "data/sub"));
    writeFileSync(join(base, "data/sub/a"), "linked");
    linkSync(join(base, "data/sub/a"), join(base, "data/b"));
    symlinkSync("/etc/passwd", join(base, "data/link"));
    writeFileSync(join(top, "data/file"), "top");
    setXattr({ path: join(top, "data/file") }, "user.tsd", Buffer.from("v"));
    chownSync(join(top, "data/file"), 300000, 7);
    chmodSync(join(top, "data/file"), 0o4755);
    utimesSync(join(top, "data/file"), 1000.5, 2000.25);
    expect(Bun.spawnSync(["mknod", join(top, "data/gone"), "c", "0", "0"]).success).toBe(true);
    chownSync(join(top, "data"), 5, 6);
    chmodSync(join(top, "data"), 0o1770);

    expect(await copyUp(volume, [top, base], "/data")).toBe(true);

    expect(readdirSync(volume.path).sort()).toEqual(["b", "file", "link", "sub"]);
    expect(readFileSync(join(volume.path, "file"), "utf8")).toBe("top");
    const file = statSync(join(volume.path, "file"));
    expect([file.uid, file.gid, file.mode & 0o7777, file.mtimeMs]).toEqual([300000, 7, 0o4755, 2000250]);
    expect(Buffer.from(getXattr({ path: join(volume.path, "file") }, "user.tsd")!).toString()).toBe("v");
    expect(statSync(join(volume.path, "b")).ino).toBe(statSync(join(volume.path, "sub/a")).ino);
    expect(readlinkSync(join(volume.path, "link"))).toBe("/etc/passwd");
    const root = statSync(volume.path);
    expect([root.uid, root.gid, root.mode & 0o7777]).toEqual([5, 6, 0o1770]);
    expect(readdirSync(join(work, "v"))).toEqual(["_data"]);
  });

  test("what a layer hides from those below is no file of an image that has no other", async () => {
    const base = layer("base");
    expect(Bun.spawnSync(["mknod", join(base, "data/hidden"), "c", "0", "0"]).success).toBe(true);
    writeFileSync(join(base, "data/file"), "x");
    expect(await copyUp(volume, [base], "/data")).toBe(true);
    expect(readdirSync(volume.path)).toEqual(["file"]);
  });

  test("reaches a volume whose directory somebody has mounted something on, or keeps elsewhere", async () => {
    const base = layer("base");
    writeFileSync(join(base, "data/file"), "image's");
    mount("none", volume.path, "tmpfs", 0);
    try {
      // Of an earlier daemon, which was killed.
      mkdirSync(join(volume.path, ".tsd-copying/half"), { recursive: true });
      expect(await copyUp(volume, [base], "/data")).toBe(true);
      expect(readdirSync(volume.path)).toEqual(["file"]);
      expect(await copyUp(volume, [base], "/data")).toBe(false);
    } finally {
      umount2(volume.path);
    }
    const elsewhere = mkdtempSync("/dev/shm/tsd-copy-up-");
    try {
      rmSync(volume.path, { recursive: true });
      symlinkSync(elsewhere, volume.path);
      expect(await copyUp(volume, [base], "/data")).toBe(true);
      expect(readFileSync(join(elsewhere, "file"), "utf8")).toBe("image's");
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
    expect(readdirSync(volume.staging)).toEqual(["_data"]);
  });

  test("the copies can have other owners, whatever kind of file they are of", async () => {
    const base = layer("base");
    mkdirSync(join(base, "data/sub"));
    writeFileSync(join(base, "data/sub/file"), "");
    symlinkSync("nowhere", join(base, "data/link"));
    for (const name of ["data/sub/file", "data/sub"]) chownSync(join(base, name), 5, 6);
    const owners = { uid: (id: number) => id + 1000, gid: (id: number) => id + 2000 };
    expect(await copyUp(volume, [base], "/data", owners)).toBe(true);
    const owner = (name: string) => {
      const { uid, gid } = lstatSync(join(volume.path, name));
      return [uid, gid];
    };
    expect([owner("."), owner("sub"), owner("sub/file"), owner("link")]).toEqual([
      [1000, 2000],
      [1005, 2006],
      [1005, 2006],
      [1000, 2000],
    ]);
  });

  test("a volume with content stays as it is, and a target that the image lacks copies nothing", async () => {
    const base = layer("base");
    writeFileSync(join(base, "data/file"), "image");
    expect(await copyUp(volume, [base], "/elsewhere")).toBe(false);
    writeFileSync(join(volume.path, "own"), "mine");
    expect(await copyUp(volume, [base], "/data")).toBe(false);
    expect(readdirSync(volume.path)).toEqual(["own"]);
  });

  test("a target that is a symlink out of the image is followed inside the image only", async () => {
    const base = layer("base");
    mkdirSync(join(base, "etc"));
    writeFileSync(join(base, "etc/inside"), "");
    symlinkSync("/../../../etc", join(base, "way-out"));
    expect(await copyUp(volume, [base], "/way-out")).toBe(true);
    expect(readdirSync(volume.path)).toEqual(["inside"]);
  });

  test("a copy that was cut short is thrown away; a move that was cut short goes on", async () => {
    const base = layer("base");
    writeFileSync(join(base, "data/file"), "image");
    mkdirSync(join(work, "v", ".tsd-copying"));
    writeFileSync(join(work, "v", ".tsd-copying", "half"), "");
    await copyUp(volume, [base], "/data");
    expect(readdirSync(volume.path)).toEqual(["file"]);
    mkdirSync(join(work, "v", ".tsd-copied"), { mode: 0o750 });
    writeFileSync(join(work, "v", ".tsd-copied", "rest"), "");
    await copyUp(volume, [base], "/data");
    expect(readdirSync(volume.path).sort()).toEqual(["file", "rest"]);
    expect(lstatSync(volume.path).mode & 0o7777).toBe(0o750);
    expect(existsSync(join(work, "v", ".tsd-copied"))).toBe(false);
  });

  test("a move that goes on takes nothing from those who have filled the volume meanwhile", async () => {
    const base = layer("base");
    mkdirSync(join(work, "v", ".tsd-copied/sub"), { recursive: true });
    for (const name of ["file", "rest", "sub/image"]) writeFileSync(join(work, "v", ".tsd-copied", name), "image");
    mkdirSync(join(volume.path, "sub"));
    writeFileSync(join(volume.path, "file"), "mine");
    expect(await copyUp(volume, [base], "/data")).toBe(true);
    expect(readdirSync(volume.path).sort()).toEqual(["file", "rest", "sub"]);
    expect(readFileSync(join(volume.path, "file"), "utf8")).toBe("mine");
    expect(readdirSync(join(volume.path, "sub"))).toEqual([]);
    expect(existsSync(join(work, "v", ".tsd-copied"))).toBe(false);
  });

  test("sockets, fifos, devices, names that are no text, and sparse large files arrive as what they are", async () => {
    const base = layer("base");
    const made = [
      "mkfifo fifo",
      "mknod device c 1 3",
      "chown 4:5 fifo",
      "truncate -s 40M large",
      "printf end >> large",
    ];
    expect(Bun.spawnSync(["sh", "-ec", made.join(";")], { cwd: join(base, "data") }).success).toBe(true);
    using socket = Bun.listen({ unix: join(base, "data/socket"), socket: { data: () => undefined } });
    const strange = Buffer.concat([Buffer.from(`${base}/data/`), Buffer.from([0xff, 0x0a, 0x20])]);
    writeFileSync(strange, "");
    expect(await copyUp(volume, [base], "/data")).toBe(true);
    const kinds = ["fifo", "device", "socket", "large"].map((name) => {
      const status = lstatSync(join(volume.path, name));
      return [status.isFIFO(), status.isCharacterDevice() && status.rdev, status.isSocket(), status.size];
    });
    expect(kinds).toEqual([
      [true, false, false, 0],
      [false, 0x103, false, 0],
      [false, false, true, 0],
      [false, false, false, 40 * 2 ** 20 + 3],
    ]);
    expect(lstatSync(join(volume.path, "fifo"))).toMatchObject({ uid: 4, gid: 5 });
    expect(readdirSync(volume.path, { encoding: "buffer" })).toContainEqual(Buffer.from([0xff, 0x0a, 0x20]));
    expect(socket.unix).toBe(join(base, "data/socket"));
  });

  test("a part of a volume is filled by its descriptor, whatever has its name by then", async () => {
    const base = layer("base");
    writeFileSync(join(base, "data/file"), "x");
    chmodSync(join(base, "data"), 0o700);
    mkdirSync(join(volume.path, "part"));
    using directory = open(join(volume.path, "part"), O_PATH);
    renameSync(join(volume.path, "part"), join(volume.path, "moved"));
    symlinkSync(work, join(volume.path, "part"));
    const path = `/proc/self/fd/${directory.number}`;
    expect(await copyUp({ name: "v", path, staging: path }, [base], "/data")).toBe(true);
    expect(readdirSync(join(volume.path, "moved"))).toEqual(["file"]);
    expect(statSync(join(volume.path, "moved")).mode & 0o7777).toBe(0o700);
    expect(readdirSync(work).sort()).toEqual(["base", "v"]);
  });

  test("a symlink that a container has put in the place of the copy leads nowhere", async () => {
    const base = layer("base");
    writeFileSync(join(base, "data/file"), "x");
    mkdirSync(join(work, "outside"));
    writeFileSync(join(work, "outside/host"), "host");
    for (const name of [".tsd-copied", ".tsd-copying"]) symlinkSync("../../outside", join(volume.path, name));
    const own = { ...volume, staging: volume.path };
    await expect(copyUp(own, [base], "/data")).rejects.toThrow("rename");
    expect(readdirSync(join(work, "outside"))).toEqual(["host"]);
  });

  test("a volume that is a mount of its own is filled in place, and what a crash left there is thrown away", async () => {
    const base = layer("base");
    writeFileSync(join(base, "data/file"), "image");
    chmodSync(join(base, "data"), 0o1770);
    mount("tmpfs", volume.path, "tmpfs", 0);
    try {
      const own = { ...volume, staging: volume.path };
      mkdirSync(join(volume.path, ".tsd-copying/half"), { recursive: true });
      expect(await copyUp(own, [base], "/data")).toBe(true);
      expect(readdirSync(volume.path)).toEqual(["file"]);
      expect(statSync(volume.path).mode & 0o7777).toBe(0o1770);
      expect(await copyUp(own, [base], "/data")).toBe(false);
    } finally {
      umount2(volume.path);
    }
  });
});
