import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD } from "../../ffi/constants/open.ts";
import { S_IFCHR, S_IFIFO } from "../../ffi/constants/stat.ts";
import { makeDevice, mknodat } from "../../ffi/files.ts";
import { setXattr } from "../../ffi/stat.ts";
import { readRootFiles } from "./root-files.ts";
import { lookupUser, resolveUser } from "./users.ts";

const isRoot = process.getuid?.() === 0;
const base = mkdtempSync("/var/tmp/tsd-users-");
afterAll(() => rmSync(base, { recursive: true }));
let made = 0;

/** A directory with files: a text is a file's content, `-> x` a symlink. */
function tree(files: Record<string, string>): string {
  const root = join(base, `${++made}`);
  mkdirSync(root);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    if (content.startsWith("-> ")) symlinkSync(content.slice(3), join(root, path));
    else writeFileSync(join(root, path), content);
  }
  return root;
}

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin

# a comment, and lines that are none
broken:x:notanumber:0::/:/bin/sh
short
1000:x:2000:2000::/home/number:/bin/sh
app:x:1000:1001:App:/home/app:/bin/sh
homeless:x:1002:1002:::
`;
const group = `root:x:0:root
daemon:x:1:
audio:x:29:app,daemon
app:x:1001:
video:x:44:app
bad:x:-1:app
`;

describe("users", () => {
  const resolve = (user: string, add: string[] = []) => resolveUser(user, add, { passwd, group });

  test("are found by name and number, with the groups that they are members of", () => {
    expect(resolve("")).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: "/root" });
    const app = { uid: 1000, gid: 1001, additionalGids: [1001, 29, 44], home: "/home/app" };
    expect(resolve("app")).toEqual(app);
    // A name of digits is a number: the user called "1000" is not meant.
    expect(resolve("1000")).toEqual(app);
    expect(resolve("homeless").home).toBe("/");
  });

  test("with a group given up the others", () => {
    expect(resolve("app:video")).toMatchObject({ uid: 1000, gid: 44, additionalGids: [44] });
    expect(resolve("app:7")).toMatchObject({ gid: 7, additionalGids: [7] });
    expect(resolve(":29")).toMatchObject({ uid: 0, gid: 29, home: "/root" });
    expect(resolve("app:")).toMatchObject({ gid: 1001, additionalGids: [1001, 29, 44] });
  });

  test("need no entry when they are numbers", () => {
    expect(resolve("4711")).toEqual({ uid: 4711, gid: 0, additionalGids: [0], home: "/" });
    expect(resolveUser("", [], { passwd: "", group: "" })).toMatchObject({ uid: 0, gid: 0, home: "/" });
  });

  test("get the groups that are added, by name and number, once each", () => {
    expect(resolve("app", ["video", "99", "daemon"]).additionalGids).toEqual([1001, 29, 44, 99, 1]);
  });

  test("are refused in docker's words", () => {
    const refused: [string, string[], string][] = [
      ["nobody", [], "unable to find user nobody: no matching entries in passwd file"],
      ["broken", [], "unable to find user broken: no matching entries in passwd file"],
      ["app:nogroup", [], "unable to find group nogroup: no matching entries in group file"],
      ["app", ["nogroup"], "unable to find group nogroup: no matching entries in group file"],
      ["app:bad", [], "unable to find group bad: no matching entries in group file"],
      ["-1", [], "uids and gids must be in range 0-2147483647"],
      ["0:2147483648", [], "uids and gids must be in range 0-2147483647"],
      ["1000abc", [], "unable to find user 1000abc"],
    ];
    for (const [user, add, message] of refused) expect(() => resolve(user, add)).toThrow(message);
  });

  test("a damaged number is no entry for root", () => {
    const files = { passwd: "evil:x:0x0:0::/:\nevil2:x::0::/:\nevil3:x:99999999999:0::/:\n", group: "" };
    for (const name of ["evil", "evil2", "evil3"]) expect(() => resolveUser(name, [], files)).toThrow("unable to find");
  });
});

describe("files of a root", () => {
  test("are read through symlinks that stay inside it", () => {
    writeFileSync(join(base, "outside"), "secret");
    const root = tree({
      "etc/passwd": "-> /data/../data/./passwd",
      "data/passwd": "inside",
      "etc/up": `-> ${"../".repeat(30)}data/passwd`,
      "etc/escape": `-> ${join(base, "outside")}`,
      "etc/loop": "-> loop",
      "link/dir": "-> ../data",
      "etc/magic": "-> /proc/self/environ",
    });
    const read = (path: string) => readRootFiles([root], [path], 1000)[0];
    expect(read("/etc/passwd")).toBe("inside");
    expect(read("/etc/up")).toBe("inside");
    expect(read("/link/dir/passwd")).toBe("inside");
    expect(read("/etc/escape")).toBeUndefined();
    expect(read("/etc/magic")).toBeUndefined();
    expect(read("/etc/none")).toBeUndefined();
    expect(read("/data/passwd/more")).toBeUndefined();
    expect(() => read("/etc/loop")).toThrow("/etc/loop: too many symbolic links");
    expect(() => read("/etc")).toThrow("/etc: is a directory");
    expect(() => readRootFiles([root], ["/etc/passwd"], 3)).toThrow("6 bytes, more than 3");
  });

  test.skipIf(!isRoot)("a FIFO or a device in place of a file is refused and not opened", () => {
    const root = tree({ "etc/x": "" });
    mknodat(AT_FDCWD, join(root, "etc/passwd"), S_IFIFO | 0o600);
    mknodat(AT_FDCWD, join(root, "etc/group"), S_IFCHR | 0o600, makeDevice(1, 5));
    expect(() => lookupUser([root], "app")).toThrow("/etc/passwd: is not a regular file");
    expect(() => readRootFiles([root], ["/etc/group"], 10)).toThrow("/etc/group: is not a regular file");
  });

  test.skipIf(!isRoot)("are looked for through the layers as overlayfs merges them", () => {
    const top = tree({ "etc/only-top": "top", "etc/both": "top", "opaque/new": "top", file: "now a file" });
    const middle = tree({ "etc/both": "middle", "etc/only-middle": "middle", "etc/link": "-> only-bottom" });
    const bottom = tree({
      "etc/both": "bottom",
      "etc/only-bottom": "bottom",
      "etc/deleted": "bottom",
      "opaque/old": "bottom",
      "file/below": "bottom",
      "gone/x": "bottom",
    });
    mknodat(AT_FDCWD, join(top, "etc/deleted"), S_IFCHR, 0);
    mknodat(AT_FDCWD, join(middle, "gone"), S_IFCHR, 0);
    setXattr({ path: join(top, "opaque") }, "trusted.overlay.opaque", Buffer.from("y"));
    const read = (path: string) => readRootFiles([top, middle, bottom], [path], 100)[0];
    expect(read("/etc/only-top")).toBe("top");
    expect(read("/etc/both")).toBe("top");
    expect(read("/etc/only-middle")).toBe("middle");
    expect(read("/etc/only-bottom")).toBe("bottom");
    expect(read("/etc/link")).toBe("bottom");
    for (const hidden of ["/etc/deleted", "/opaque/old", "/file/below", "/gone/x"])
      expect(read(hidden)).toBeUndefined();
    expect(read("/opaque/new")).toBe("top");
    expect(read("/file")).toBe("now a file");
  });
});
