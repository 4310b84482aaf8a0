import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withHome } from "./home.ts";

let rootfs: string;
beforeAll(() => {
  rootfs = mkdtempSync("/var/tmp/tsd-home-");
  mkdirSync(join(rootfs, "etc"));
});
afterAll(() => rmSync(rootfs, { recursive: true }));

function homeOf(uid: number): string | undefined {
  return withHome(["A=b"], rootfs, uid).find((entry) => entry.startsWith("HOME="));
}

describe("HOME", () => {
  test("comes from the root's /etc/passwd, and is / for users that are not there", () => {
    writeFileSync(
      join(rootfs, "etc", "passwd"),
      "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken:x\nnobody:x:65534:65534::/:\nempty:x:5:5:::\n",
    );
    expect(homeOf(0)).toBe("HOME=/root");
    expect(homeOf(65534)).toBe("HOME=/");
    expect(homeOf(5)).toBe("HOME=/");
    expect(homeOf(1234)).toBe("HOME=/");
  });
  test("that is set is left alone, also when it is empty", () => {
    expect(withHome(["HOME="], rootfs, 0)).toEqual(["HOME="]);
  });
  test("is not looked up outside of the root, in a device or in a fifo", () => {
    const passwd = join(rootfs, "etc", "passwd");
    writeFileSync(join(rootfs, "..", "tsd-outside-passwd"), "root:x:0:0::/outside:\n");
    for (const target of ["../../tsd-outside-passwd", "/dev/zero", "/proc/self/cmdline", "loop"]) {
      rmSync(passwd);
      symlinkSync(target, passwd);
      expect(homeOf(0)).toBe("HOME=/");
    }
    rmSync(join(rootfs, "..", "tsd-outside-passwd"));
    rmSync(passwd);
    Bun.spawnSync(["mkfifo", passwd]);
    expect(homeOf(0)).toBe("HOME=/");
    rmSync(passwd);
    mkdirSync(passwd);
    expect(homeOf(0)).toBe("HOME=/");
  });
});
