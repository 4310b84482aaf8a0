import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MNT_DETACH } from "../../../ffi/constants/mount.ts";
import { umount2 } from "../../../ffi/mount.ts";
import type { DirectoryLimits } from "../../core/directory-limits.ts";
import { canBeSilent, mountSilentServer } from "../../core/testing/silent-server.ts";
import type { Volume } from "../volumes.ts";
import { LocalDriver } from "./driver.ts";
import { mountPointsIn } from "./mounted.ts";

let root: string;
let driver: LocalDriver;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tsd-local-"));
  driver = new LocalDriver(root, []);
});
afterEach(async () => {
  for (const place of (await mountPointsIn(root)).reverse()) umount2(place, MNT_DETACH);
  rmSync(root, { recursive: true, force: true });
});

const data = (name: string) => join(root, "volumes", name, "_data");
const record = (name: string, options: Volume["options"]): Volume => {
  return { name, driver: "local", options, labels: {}, createdAt: "", anonymous: false };
};
const optionsOf = (place: string): string =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .find((line) => line.includes(` ${place} `))!
    .split(" ")[5]!;

describe.skipIf(process.getuid?.() !== 0)("the local driver", () => {
  test("mounts a file system for its first user and takes it away after its last", async () => {
    await driver.create("fast", { type: "tmpfs", device: "tmpfs", o: "size=1m,mode=700,noexec,ro" });
    expect(await mountPointsIn(root)).toEqual([]);
    expect(await driver.mount("fast", "a")).toBe(data("fast"));
    expect(await driver.mount("fast", "b")).toBe(data("fast"));
    expect(await mountPointsIn(root)).toEqual([data("fast")]);
    expect(optionsOf(data("fast"))).toBe("ro,noexec,relatime");
    const { bsize, blocks } = statfsSync(data("fast"));
    expect(bsize * blocks).toBe(2 ** 20);
    await driver.unmount("fast", "a");
    await driver.unmount("fast", "stranger");
    expect(await mountPointsIn(root)).toEqual([data("fast")]);
    await driver.unmount("fast", "b");
    expect(await mountPointsIn(root)).toEqual([]);
  });

  test("binds a directory of the host, with its attributes from the first moment, and never removes what is in it", async () => {
    const source = join(root, "precious");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "x");
    await driver.create("bound", { type: "none", device: source, o: "bind,ro,nosuid" });
    await driver.mount("bound", "a");
    expect(readdirSync(data("bound"))).toEqual(["file"]);
    expect(optionsOf(data("bound"))).toBe("ro,nosuid,relatime");
    expect(() => writeFileSync(join(data("bound"), "new"), "")).toThrow("EROFS");
    await driver.remove("bound");
    expect(await driver.get("bound")).toBeUndefined();
    expect(readdirSync(source)).toEqual(["file"]);
    expect(existsSync(join(root, "volumes", "bound"))).toBe(false);
  });

  test.skipIf(!canBeSilent)("lets others go on while what it binds does not answer", async () => {
    const hung = join(root, "hung");
    const server = await mountSilentServer(hung);
    // Nothing has to be asked of it for its root.
    await driver.create("root", { type: "none", device: hung, o: "bind" });
    expect(await driver.mount("root", "a")).toBe(data("root"));
    await driver.unmount("root", "a");
    await driver.create("far", { type: "none", device: join(hung, "folder"), o: "bind" });
    const answered = driver.mount("far", "a").then(
      () => "mounted",
      (error: Error) => error.message,
    );
    expect(await Promise.race([answered, Bun.sleep(100).then(() => "others go on")])).toBe("others go on");
    await server[Symbol.asyncDispose]();
    expect(await answered).toContain("failed to mount local volume");
    expect(await mountPointsIn(data("far"))).toEqual([]);
  });

  test("takes over what an earlier daemon has mounted, once, and unmounts what nobody has any more", async () => {
    const options = { type: "tmpfs", device: "tmpfs" };
    for (const name of ["held", "left"]) {
      await driver.create(name, options);
      await driver.mount(name, "a");
      writeFileSync(join(data(name), "file"), name);
    }
    await driver.create("unrecorded", { type: "none", device: data("held"), o: "bind" });
    await driver.mount("unrecorded", "a");
    const next = new LocalDriver(root, [record("held", options), record("left", options)]);
    expect(await next.restore("held", "a")).toBe(data("held"));
    expect(await next.removeLeftovers(new Set(["held", "left"]))).toEqual({
      removed: [],
      found: [{ name: "unrecorded", createdAt: expect.any(String) }],
    });
    expect(await mountPointsIn(root)).toEqual([data("held"), data("unrecorded")]);
    await next.remove("unrecorded");
    expect(await mountPointsIn(root)).toEqual([data("held")]);
    expect(await next.mount("held", "b")).toBe(data("held"));
    expect(readFileSync(join(data("held"), "file"), "utf8")).toBe("held");
    for (const user of ["a", "b"]) await next.unmount("held", user);
    expect(await mountPointsIn(root)).toEqual([]);
  });

  test("finishes at its start what an earlier daemon had begun to fill, and is not stopped by what it cannot remove", async () => {
    await driver.create("filled", {});
    for (const name of [".tsd-copied", ".tsd-copying"]) {
      mkdirSync(join(root, "volumes/filled", name));
      writeFileSync(join(root, "volumes/filled", name, name), "");
    }
    mkdirSync(join(root, "volumes/stubborn/_data"), { recursive: true });
    mkdirSync(join(root, "volumes/then-empty"));
    const attribute = (flag: string) => Bun.spawnSync(["chattr", flag, join(root, "volumes/stubborn/_data")]).success;
    const canBeFixed = attribute("+i");
    try {
      const next = new LocalDriver(root, [record("filled", null)]);
      const { removed } = await next.removeLeftovers(new Set(["filled"]));
      expect(removed.sort()).toEqual(canBeFixed ? ["then-empty"] : ["stubborn", "then-empty"]);
    } finally {
      attribute("-i");
    }
    expect(readdirSync(join(root, "volumes/filled"))).toEqual(["_data"]);
    expect(readdirSync(data("filled"))).toEqual([".tsd-copied"]);
  });

  test("says in docker's words what cannot be mounted, and what the file system said, without the password", async () => {
    const refusals: [Record<string, string>, string][] = [
      [
        { type: "none", device: "/none/such", o: "bind,ro" },
        "/none/such:PATH, flags: 0x1001: no such file or directory",
      ],
      [{ type: "none", device: "/etc/passwd", o: "bind" }, "/etc/passwd:PATH, flags: 0x1000: not a directory"],
      [{ type: "nosuchfs", device: "x" }, "x:PATH: no such device"],
      [{ type: "none", device: "/tmp" }, "/tmp:PATH: no such device"],
      [
        { type: "tmpfs", device: "tmpfs", o: "password=s:ecret,noexec" },
        "tmpfs:PATH, flags: 0x8, data: password=********: invalid argument (password: tmpfs: Unknown parameter 'password')",
      ],
      [
        { type: "tmpfs", device: "tmpfs", o: `size=1m,mpol=${"x".repeat(300)}` },
        `tmpfs:PATH, data: size=1m,mpol=${"x".repeat(300)}: invalid argument`,
      ],
    ];
    for (const [options, message] of refusals) {
      await driver.create("bad", options);
      const error = await driver.mount("bad", "a").then(String, (reason: Error) => reason.message);
      expect(error).toBe(
        `error while mounting volume '${data("bad")}': failed to mount local volume: mount ${message.replace("PATH", data("bad"))}`,
      );
      await driver.remove("bad");
    }
    expect(await mountPointsIn(root)).toEqual([]);
  });

  test("mounts what has longer options than fsconfig takes", async () => {
    const lower = ["a", "b"].map((letter) => join(root, letter.repeat(200)));
    for (const directory of lower) mkdirSync(directory);
    writeFileSync(join(lower[1]!, "file"), "");
    const o = `lowerdir=${lower.join(":")},nodev,private`;
    await driver.create("long", { type: "overlay", device: "overlay", o });
    await driver.mount("long", "a");
    expect(readdirSync(data("long"))).toEqual(["file"]);
    expect(optionsOf(data("long"))).toBe("rw,nodev,relatime");
    await driver.unmount("long", "a");
    expect(await mountPointsIn(root)).toEqual([]);
  });

  test("of a size are limited with all that is ever in them, and anew when somebody has removed their directory", async () => {
    const told: string[] = [];
    const limited = new Set<string>();
    const place = join(root, "volumes", "small");
    const limits: DirectoryLimits = {
      whyNot: () => undefined,
      limit: (path, bytes) => {
        told.push(`limit ${bytes} with ${readdirSync(path)}`);
        limited.add(path);
      },
      isLimited: (path) => limited.has(path),
      roomToMount: () => ({ [Symbol.dispose]: () => undefined }),
      release: (path) => void (limited.delete(path) && told.push(`release ${existsSync(path)}`)),
    };
    const small = new LocalDriver(root, [], limits);
    await small.create("small", { size: "5" });
    await small.create("large", {});
    expect(small.limitedDirectories()).toEqual([place]);
    await small.mount("small", "a");
    rmSync(place, { recursive: true });
    await small.mount("small", "a");
    await small.remove("small");
    expect(told).toEqual(["limit 5 with ", "release true", "limit 5 with ", "release false"]);
  });

  test("of a size are refused in docker's words where nothing limits them, and leave nothing", async () => {
    await expect(driver.create("small", { size: "1g" })).rejects.toThrow("quota size requested but no quota support");
    const fails = new LocalDriver(root, [], {
      whyNot: () => undefined,
      limit: () => {
        throw new Error("the file system is broken");
      },
      isLimited: () => false,
      roomToMount: () => ({ [Symbol.dispose]: () => undefined }),
      release: () => undefined,
    });
    await expect(fails.create("small", { size: "1g" })).rejects.toThrow("volume small: the file system is broken");
    expect(readdirSync(join(root, "volumes"))).toEqual([]);
  });
});
