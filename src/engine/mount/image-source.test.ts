/** Mounts on their way into containers, in a mount namespace that is everybody's: what is left is looked for by name. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { MS_REMOUNT } from "../../../ffi/constants/mount.ts";
import { O_PATH } from "../../../ffi/constants/open.ts";
import { open } from "../../../ffi/files.ts";
import { mount, umount2 } from "../../../ffi/mount.ts";
import { createUserNamespace } from "../../../ffi/plan/namespaces.ts";
import { mountImage } from "./image-source.ts";
import { MountPlaces, removeMountPlaces } from "./places.ts";

let directory: string;
const at = (...names: string[]) => join(directory, ...names);
/** What is mounted below the directory, with options and propagation. */
const mounted = () =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , , , place]) => place?.startsWith(directory))
    .map(([, , , , place, , ...fields]) => `${place!.slice(directory.length)} ${fields.join(" ")}`);

describe.skipIf(process.getuid?.() !== 0)("a mount on its way into a container", () => {
  const layers = () => [at("layers/top"), at("layers/base")];
  beforeAll(() => {
    directory = mkdtempSync("/var/tmp/tsd-places-");
    mkdirSync(at("layers/top/etc"), { recursive: true });
    mkdirSync(at("layers/base/etc"), { recursive: true });
    writeFileSync(at("layers/base/etc/name"), "base");
    writeFileSync(at("layers/base/etc/only"), "only");
    writeFileSync(at("layers/top/etc/name"), "top");
    chownSync(at("layers/top/etc/name"), 7, 8);
    symlinkSync("/etc/only", at("layers/top/link"));
  });
  afterAll(() => {
    expect(mounted()).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  test("lies where nobody else gets it, and is gone with its place", () => {
    mkdirSync(at("volume"));
    writeFileSync(at("volume/file"), "content");
    {
      using places = new MountPlaces(at("places"));
      using folder = open(at("volume"), O_PATH);
      using file = open(at("volume/file"), O_PATH);
      expect(readFileSync(join(places.attachCopy(folder), "file"), "utf8")).toBe("content");
      expect(readFileSync(places.attachCopy(file), "utf8")).toBe("content");
      const [own, ...copies] = mounted();
      expect(own).toContain("unbindable - tmpfs");
      expect(copies).toHaveLength(2);
      for (const copy of copies) expect(copy).not.toContain("shared:");
    }
    expect(mounted()).toEqual([]);
    expect(readdirSync(at("places"))).toEqual([]);
    expect(readdirSync(at("volume"))).toEqual(["file"]);
  });

  test("has no share in what is mounted below its original", () => {
    mkdirSync(at("shared/below"), { recursive: true });
    mount(at("shared"), at("shared"), null, 0x1000);
    mount(null, at("shared"), null, 1 << 20);
    mount("tmpfs", at("shared/below"), "tmpfs", 0);
    // Twice where the host's root is shared, too.
    const before = mounted();
    try {
      {
        using places = new MountPlaces(at("places"));
        using folder = open(at("shared"), O_PATH);
        places.attachCopy(folder);
      }
      expect(mounted()).toEqual(before);
    } finally {
      umount2(at("shared/below"));
      umount2(at("shared"));
    }
  });

  test("that a killed daemon left is taken away, and nothing of what was mounted", () => {
    const left = new MountPlaces(at("places"));
    using folder = open(at("layers"), O_PATH);
    left.attachCopy(folder);
    mkdirSync(at("places/made-and-not-mounted"));
    removeMountPlaces(at("places"));
    expect(mounted()).toEqual([]);
    expect(readdirSync(at("places"))).toEqual([]);
    expect(existsSync(at("layers/base/etc/only"))).toBe(true);
    removeMountPlaces(at("missing"));
  });

  test("can be an image: all its layers, read-only even for those who may remount", () => {
    using places = new MountPlaces(at("places"));
    const place = mountImage(places, { layers: layers(), shown: "image" });
    expect(readFileSync(join(place, "etc/name"), "utf8")).toBe("top");
    expect(readFileSync(join(place, "etc/only"), "utf8")).toBe("only");
    expect(() => writeFileSync(join(place, "new"), "")).toThrow("EROFS");
    expect(() => mount(null, place, null, MS_REMOUNT)).toThrow();
    expect(() => writeFileSync(join(place, "new"), "")).toThrow("EROFS");
  });

  test("can be a part of an image, looked up as the image's own root", () => {
    using places = new MountPlaces(at("places"));
    const part = (subpath: string) => mountImage(places, { layers: layers(), subpath, shown: "busybox" });
    expect(readdirSync(part("etc")).sort()).toEqual(["name", "only"]);
    expect(readFileSync(part("link"), "utf8")).toBe("only");
    expect(() => writeFileSync(part("link"), "")).toThrow("EROFS");
    expect(() => part("missing")).toThrow("cannot access path busybox/missing: no such file or directory");
  });

  test("can be an image without layers: an empty directory", () => {
    using places = new MountPlaces(at("places"));
    const place = mountImage(places, { layers: [], shown: "scratch" });
    expect(readdirSync(place)).toEqual([]);
    expect(statSync(place).mode & 0o7777).toBe(0o755);
    expect(() => writeFileSync(join(place, "new"), "")).toThrow("EROFS");
  });

  test("has the container's owners in a user namespace", () => {
    using userNamespace = createUserNamespace((pid) => {
      for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${pid}/${map}`, "0 100000 1000\n");
    });
    using places = new MountPlaces(at("places"));
    const place = mountImage(places, { layers: layers(), shown: "image", userNamespace });
    const { uid, gid } = statSync(join(place, "etc/name"));
    expect([uid, gid]).toEqual([100_007, 100_008]);
    expect(mounted()).toHaveLength(2);
    expect(statSync(at("layers/top/etc/name")).uid).toBe(7);
  });
});
