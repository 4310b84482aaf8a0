/**
 * Images whose /proc, /sys, /dev and /etc are not what they should be: symlinks, files, other devices. Nothing of the
 * host is changed by whoever sets a container of them up, and nothing that is to be hidden shows.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeConfig } from "../../../src/oci/runtime.ts";
import { succeed } from "../../harness/command.ts";
import { TerminalSession } from "../../harness/terminal.ts";
import { share } from "./attacker.ts";
import { Scene, secret, treeState } from "./scene.ts";

let scene: Scene;
/** A directory of the host's with what an attacker would like to have mounted over, written to or made in. */
let outside: string;

beforeAll(async () => {
  scene = await Scene.open();
  outside = scene.directory("outside");
  for (const name of ["pts", "shm", "sys/net/ipv4", "self/attr", "self/fd", "firmware", "fs/cgroup", "target"]) {
    mkdirSync(join(outside, name), { recursive: true });
  }
  for (const name of ["null", "console", "ptmx", "resolv.conf", "hostname", "sys/net/ipv4/ip_forward", "secret"]) {
    writeFileSync(join(outside, name), secret);
  }
  writeFileSync(join(outside, "sysrq-trigger"), "");
}, 60_000);

afterAll(() => scene?.[Symbol.asyncDispose]());

/** The ways out of a root: by name, by going up, and by the links of /proc that lead to another root. */
function waysOut(): string[] {
  const up = "../".repeat(20);
  return [outside, `${up}${outside.slice(1)}`, `/proc/1/root${outside}`, `/proc/self/cwd/${up}${outside.slice(1)}`];
}

const all = (config: RuntimeConfig) => {
  config.linux!.sysctl = { "net.ipv4.ip_forward": "1" };
  config.linux!.namespaces!.push({ type: "cgroup" });
  config.mounts!.push(
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] },
    { destination: "/etc/resolv.conf", type: "bind", source: "/etc/hostname", options: ["bind", "ro"] },
  );
};

const look = [
  "sh",
  "-c",
  "cat /proc/self/mountinfo; for f in /proc /sys /dev /etc; do find $f -maxdepth 1 -type f -exec head -c 100 {} ';' 2>/dev/null; done; true",
];

/** Runs a container of a hostile image. The host is as it was before, and the container has not come by its secret. */
async function attack(spoil: (rootfs: string) => void, change: (config: RuntimeConfig) => void = all) {
  const victim = await scene.victim(look, change, spoil);
  const before = treeState(outside);
  const mounts = await succeed(["cat", "/proc/self/mountinfo"]);
  const result = await scene.run(victim);
  expect(treeState(outside)).toEqual(before);
  expect(result.stdout).not.toContain(secret);
  const after = await succeed(["cat", "/proc/self/mountinfo"]);
  expect(after.split("\n").filter((line) => !mounts.includes(line) && line.includes(scene.workspace.name))).toEqual([]);
  // A mount of the container's has its root in the image, in a file system of its own, or in what is bound.
  for (const line of result.stdout.split("\n").filter((text) => text.includes(" - "))) {
    expect(line).not.toContain(outside);
  }
  return result;
}

const replace = (name: string, target: string) => (rootfs: string) => {
  rmSync(join(rootfs, name), { recursive: true, force: true });
  symlinkSync(target, join(rootfs, name));
};

describe("an image cannot lead the set-up out of its root", () => {
  const names = ["proc", "sys", "dev", "etc"];
  test.each(names)(
    "by a /%s that is a symlink (CVE-2019-19921, CVE-2023-27561, CVE-2026-41579, CVE-2026-47766)",
    async (name) => {
      for (const target of waysOut()) {
        const { status, stderr } = await attack(replace(name, target));
        expect(stderr).toMatch(/level=error msg="(mounts|linux|default)/);
        expect(status).toBe(1);
      }
    },
  );

  const deep = ["dev/pts", "dev/shm", "dev/null", "dev/console", "dev/ptmx", "etc/resolv.conf", "sys/fs/cgroup"];
  test.each(deep)("by a /%s that is a symlink, where nothing is mounted above it", async (name) => {
    const bare = (config: RuntimeConfig) => {
      all(config);
      config.mounts = config.mounts!.filter(({ destination }) => !["/dev", "/sys"].includes(destination));
    };
    for (const target of waysOut()) {
      await attack((rootfs) => {
        for (const parent of ["dev", "sys/fs", "etc"]) mkdirSync(join(rootfs, parent), { recursive: true });
        replace(name, join(target, name.split("/").at(-1)!))(rootfs);
      }, bare);
    }
  });

  test("which a naive mkdir and mount at the same paths would have followed", async () => {
    const { rootfs, bundle } = await scene.victim(["true"], undefined, replace("dev", outside));
    await succeed(["unshare", "-m", "sh", "-c", `mkdir ${rootfs}/dev/naive && mount -t tmpfs t ${rootfs}/dev/naive`]);
    expect(treeState(outside).join("\n")).toContain(`${outside}/naive`);
    rmSync(join(outside, "naive"), { recursive: true });
    expect(bundle).not.toBe("");
  });
});

describe("an image cannot keep a mask or a label from being what it should be", () => {
  const withoutDev = (config: RuntimeConfig) => {
    config.mounts = config.mounts!.filter(({ destination }) => !destination.startsWith("/dev"));
    config.linux!.maskedPaths = ["/etc/masked"];
  };
  const addMasked = (rootfs: string) => writeFileSync(join(rootfs, "etc/masked"), "masked-7c31");

  test.each([
    ["a symlink to a file", (rootfs: string) => symlinkSync("/etc/hostname", join(rootfs, "dev/null"))],
    [
      "a symlink to /proc/sysrq-trigger",
      (rootfs: string) => symlinkSync("/proc/sysrq-trigger", join(rootfs, "dev/null")),
    ],
    ["a file", (rootfs: string) => writeFileSync(join(rootfs, "dev/null"), secret)],
    ["another device", (rootfs: string) => Bun.spawnSync(["mknod", join(rootfs, "dev/null"), "c", "1", "5"])],
    ["a fifo", (rootfs: string) => Bun.spawnSync(["mkfifo", join(rootfs, "dev/null")])],
    ["a directory", (rootfs: string) => mkdirSync(join(rootfs, "dev/null"))],
  ])("by a /dev/null that is %s (CVE-2025-31133)", async (_, spoil) => {
    const { status, stdout, stderr } = await attack((rootfs) => {
      addMasked(rootfs);
      spoil(rootfs);
    }, withoutDev);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("/dev/null");
  });

  test("where /dev/null is one, the mask is that device", async () => {
    const victim = await scene.victim(
      ["sh", "-c", "cat /etc/masked; stat -c %t:%T /etc/masked"],
      withoutDev,
      addMasked,
    );
    expect((await scene.run(victim)).stdout).toBe("1:3\n");
  });

  test("by a symlink at a masked path's parent (CVE-2023-28642)", async () => {
    for (const name of ["proc", "sys"]) {
      const { status, stdout } = await attack((rootfs) => {
        mkdirSync(join(rootfs, "fake"));
        replace(name, "/fake")(rootfs);
      });
      expect([status, stdout]).toEqual([1, ""]);
    }
  });

  test("by a volume over /proc, or over a part of it (CVE-2019-16884)", async () => {
    for (const destination of ["/proc", "/proc/self", "/proc/sys", "/proc/self/attr", "/x/../proc/self/attr"]) {
      const { status, stdout, stderr } = await attack(
        () => undefined,
        (config) => share(config, outside, destination),
      );
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/mounts\[4\].*(\/proc|no proc file system)/);
    }
    const { status, stderr } = await attack(
      (rootfs) => symlinkSync("/proc/self/attr", join(rootfs, "innocent")),
      (config) => share(config, outside, "/innocent"),
    );
    expect(status).toBe(1);
    expect(stderr).toContain("leads into /proc");
  });

  test("by files of its own at /proc/sys, where no procfs is mounted (CVE-2025-52881)", async () => {
    const fake = (rootfs: string) => {
      mkdirSync(join(rootfs, "proc/sys/net/ipv4"), { recursive: true });
      mkdirSync(join(rootfs, "proc/self/attr"), { recursive: true });
      symlinkSync("/proc/sysrq-trigger", join(rootfs, "proc/self/attr/exec"));
      writeFileSync(join(rootfs, "proc/sys/net/ipv4/ip_forward"), "fake\n");
    };
    const victim = await scene.victim(
      ["cat", "/proc/sys/net/ipv4/ip_forward", "/real/sys/net/ipv4/ip_forward"],
      (config) => {
        config.mounts = [{ destination: "/real", type: "proc", source: "proc" }];
        config.linux!.maskedPaths = [];
        config.linux!.readonlyPaths = [];
        config.linux!.sysctl = { "net.ipv4.ip_forward": "1" };
      },
      fake,
    );
    expect(await scene.run(victim)).toMatchObject({ status: 0, stdout: "fake\n1\n" });
  });
});

describe("a symlink to nothing at the place of a file that is bound", () => {
  const bind = (config: RuntimeConfig) => {
    const source = join(scene.path("image"), "etc/passwd");
    config.mounts!.push({ destination: "/etc/resolv.conf", type: "bind", source, options: ["bind", "ro"] });
  };

  test.each(["../tmp/made", "/tmp/made", "../../../../../tmp/made"])(
    "is followed inside the root: %s",
    async (target) => {
      const victim = await scene.victim(
        ["cat", "/etc/resolv.conf", "/tmp/made"],
        bind,
        replace("etc/resolv.conf", target),
      );
      const { status, stdout } = await scene.run(victim);
      expect([status, stdout.match(/^root:/gm)?.length]).toEqual([0, 2]);
      expect(readFileSync(join(victim.rootfs, "tmp/made"), "utf8")).toBe("");
    },
  );

  test("makes no file outside", async () => {
    for (const way of waysOut()) {
      const { status, stderr } = await attack(replace("etc/resolv.conf", `${way}/made`), bind);
      expect([status, stderr]).toEqual([
        1,
        expect.stringMatching(/mounts.4.: openat2 .etc.resolv.conf: (ENOENT|ELOOP)/),
      ]);
    }
  });
});

describe("an image cannot hold the set-up up", () => {
  test("by a fifo at /dev/console, which nobody writes to (CVE-2025-52565)", async () => {
    const victim = await scene.victim(
      ["true"],
      (config) => {
        config.process!.terminal = true;
        config.mounts = config.mounts!.filter(({ destination }) => destination !== "/dev");
      },
      (rootfs) => {
        renameSync(join(rootfs, "dev"), join(rootfs, "old"));
        mkdirSync(join(rootfs, "dev/pts"), { recursive: true });
        Bun.spawnSync(["mkfifo", join(rootfs, "dev/console")]);
      },
    );
    await using session = new TerminalSession(scene.argv(["run", "--bundle", victim.bundle, victim.id]));
    expect(await session.end()).toBe(0);
  });
});
