/** What a container sees of its image's layers is what their archives say. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { getXattr } from "../../ffi/stat.ts";
import { archive, type FixtureEntry } from "../../src/tar/tar-fixture.ts";
import { succeed } from "../harness/command.ts";
import { Daemon } from "../harness/daemon.ts";
import { Workspace } from "../harness/workspace.ts";
import { type Compression, HostileRegistry } from "./hostile-registry.ts";

let workspace: Workspace;
let daemon: Daemon;
let registry: HostileRegistry;
let count = 0;

beforeAll(async () => {
  workspace = await Workspace.open();
  registry = await HostileRegistry.start(workspace);
  daemon = await Daemon.start(workspace);
}, 60_000);

afterAll(() => workspace?.[Symbol.asyncDispose]());

/** busybox and its applets, as the lowest layer of every image here. */
const base: FixtureEntry[] = [
  { name: "bin/" },
  { name: "bin/busybox", mode: 0o755, data: new Uint8Array(readFileSync("/bin/busybox")) },
  ...["sh", "cat", "ls", "stat", "readlink", "find", "sort", "echo"].map((name) => ({
    name: `bin/${name}`,
    type: "2",
    link: "busybox",
  })),
  ...["dev/", "proc/", "sys/", "etc/"].map((name) => ({ name })),
];

function push(layers: FixtureEntry[][], compression?: Compression): string {
  count += 1;
  const tars = [base, ...layers].map((entries) => archive(entries));
  return registry.addImage(`image${count}`, tars, compression === undefined ? {} : { compression }).reference;
}

/** What a command prints in a container of the image. */
function see(reference: string, script: string): Promise<string> {
  return daemon.ok("run", "--rm", "-q", "--network", "none", reference, "sh", "-c", script);
}

/** The same in a plain directory, where layers are applied one over the other. */
async function seeBundle(reference: string, script: string): Promise<string> {
  const bundle = workspace.path(`bundle-${count}`);
  await daemon.ok("bundle", "-q", reference, bundle);
  return succeed(["chroot", `${bundle}/rootfs`, "/bin/sh", "-c", script]);
}

async function expectBoth(reference: string, script: string, expected: string): Promise<void> {
  expect(await see(reference, script)).toBe(expected);
  expect(await seeBundle(reference, script)).toBe(expected);
}

describe("layers", () => {
  test.each(["gzip", "zstd", "none"] as const)("compressed with %s are unpacked", async (compression) => {
    const reference = push([[{ name: "data/" }, { name: "data/x", data: "text" }]], compression);
    await expectBoth(reference, "cat /data/x", "text");
  });

  test("delete files and directories of those below with whiteouts", async () => {
    const reference = push([
      [{ name: "a/" }, { name: "a/one", data: "1" }, { name: "a/two", data: "2" }, { name: "b/" }, { name: "b/x" }],
      [{ name: "a/.wh.one" }, { name: ".wh.b" }],
    ]);
    await expectBoth(reference, "find /a /b 2>&1 | sort", "/a\n/a/two\nfind: /b: No such file or directory");
  });

  test("hide a directory with an opaque one, and fill it anew", async () => {
    const reference = push([
      [{ name: "a/" }, { name: "a/old", data: "1" }, { name: "a/deep/" }, { name: "a/deep/old" }],
      [{ name: "a/", mode: 0o711 }, { name: "a/.wh..wh..opq" }, { name: "a/new", data: "2" }],
      [{ name: "a/newer", data: "3" }],
    ]);
    await expectBoth(reference, "ls -A /a; stat -c %a /a", "new\nnewer\n711");
  });

  test("put a directory where a file was, and a file where a directory was", async () => {
    const reference = push([
      [{ name: "a", data: "file" }, { name: "b/" }, { name: "b/x", data: "x" }],
      [{ name: "a/" }, { name: "a/x", data: "in a" }, { name: "b", data: "file b" }],
    ]);
    await expectBoth(reference, "cat /a/x; echo; cat /b", "in a\nfile b");
  });

  test("keep a lower directory's mode and owner when they only add to it", async () => {
    const reference = push([[{ name: "spool/", mode: 0o1777, uid: 5, gid: 6 }], [{ name: "spool/new", data: "x" }]]);
    await expectBoth(reference, "stat -c '%a %u %g' /spool", "1777 5 6");
  });
});

describe("hard links", () => {
  test("of a layer are one file", async () => {
    const reference = push([
      [
        { name: "a", data: "text", mode: 0o640 },
        { name: "b", type: "1", link: "a" },
      ],
    ]);
    await expectBoth(reference, "cat /b; stat -c ' %h %a' /a; [ /a -ef /b ] && echo same", "text 2 640\nsame");
  });

  test("to a file of a lower layer are one file with it, which keeps all that it had", async () => {
    const reference = push([
      [
        { name: "d/", mtime: 1_111_111_111 },
        {
          name: "d/a",
          data: "text",
          mode: 0o4751,
          uid: 300_000,
          gid: 7,
          mtime: 1_222_222_222,
          pax: { "SCHILY.xattr.user.note": "hi" },
        },
      ],
      [{ name: "e/" }, { name: "e/b", type: "1", link: "d/a" }, { name: "c", type: "1", link: "e/b" }],
    ]);
    const script =
      "cat /e/b; stat -c ' %a %u %g %Y %h' /e/b; [ /d/a -ef /e/b ] && [ /c -ef /d/a ] && echo same; stat -c %Y /d";
    await expectBoth(reference, script, "text 4751 300000 7 1222222222 3\nsame\n1111111111");
  });

  test("to a file two layers below work, and to one that was replaced in between", async () => {
    const reference = push([
      [
        { name: "a", data: "old" },
        { name: "x", data: "x" },
      ],
      [{ name: "a", data: "new" }],
      [
        { name: "b", type: "1", link: "a" },
        { name: "y", type: "1", link: "x" },
      ],
    ]);
    await expectBoth(reference, "cat /b /y", "newx");
  });

  test("to a symlink, a fifo and a device of a lower layer work", async () => {
    const reference = push([
      [
        { name: "soft", type: "2", link: "/bin/sh" },
        { name: "pipe", type: "6", mode: 0o622 },
        { name: "null", type: "3", device: [1, 3], mode: 0o666 },
      ],
      [
        { name: "soft2", type: "1", link: "soft" },
        { name: "pipe2", type: "1", link: "pipe" },
        { name: "null2", type: "1", link: "null" },
      ],
    ]);
    await expectBoth(
      reference,
      "readlink /soft2; stat -c '%F %a %t:%T' /pipe2 /null2",
      "/bin/sh\nfifo 622 0:0\ncharacter special file 666 1:3",
    );
  });

  test("to a file that a layer in between deleted are refused", async () => {
    const reference = push([[{ name: "a", data: "x" }], [{ name: ".wh.a" }], [{ name: "b", type: "1", link: "a" }]]);
    const { status, stderr } = await daemon.tsd(["pull", reference]);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/layer entry b: hard link target a is neither in the layer nor in those below/),
    ]);
    expect(await daemon.ok("images", "-q", reference)).toBe("");
  });
});

describe("files", () => {
  test("have their owners, beyond what a header's octal digits can say", async () => {
    const reference = push([
      [
        { name: "a", uid: 262_144, gid: 2_000_000 },
        { name: "b", pax: { uid: "4000000000", gid: "3000000000" } },
      ],
    ]);
    await expectBoth(reference, "stat -c '%u %g' /a /b", "262144 2000000\n4000000000 3000000000");
  });

  test("have times to the nanosecond", async () => {
    const reference = push([
      [
        { name: "a", pax: { mtime: "1234567890.123456789" } },
        { name: "d/", pax: { mtime: "1.5" } },
      ],
    ]);
    const bundle = workspace.path(`bundle-${count}`);
    await daemon.ok("bundle", "-q", reference, bundle);
    const { mtimeNs } = await import("node:fs").then((fs) => fs.statSync(`${bundle}/rootfs/a`, { bigint: true }));
    expect(mtimeNs).toBe(1_234_567_890_123_456_789n);
    expect(await see(reference, "stat -c %y /a /d")).toMatch(/\.123456789 .*\n.*\.500000000 /);
  });

  test("have set-id bits, extended attributes and capabilities", async () => {
    // cap_net_raw=ep, revision 2 (linux/capability.h).
    const capability = new Uint8Array([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const reference = push([
      [
        { name: "suid", mode: 0o4755, uid: 1 },
        { name: "a", pax: { "SCHILY.xattr.user.note": "hi", "SCHILY.xattr.security.capability": capability } },
      ],
    ]);
    const bundle = workspace.path(`bundle-${count}`);
    await daemon.ok("bundle", "-q", reference, bundle);
    expect(await succeed(["stat", "-c", "%a %u", `${bundle}/rootfs/suid`])).toBe("4755 1");
    const file = { path: `${bundle}/rootfs/a` };
    expect(Buffer.from(getXattr(file, "user.note")!).toString()).toBe("hi");
    expect(getXattr(file, "security.capability")).toEqual(capability);
  });

  test("are devices and fifos with their numbers and modes", async () => {
    const reference = push([
      [
        { name: "zero", type: "3", device: [1, 5], mode: 0o600 },
        { name: "disk", type: "4", device: [7, 300], mode: 0o660, gid: 6 },
        { name: "pipe", type: "6", mode: 0o622 },
      ],
    ]);
    await expectBoth(
      reference,
      "stat -c '%F %t:%T %a %g' /zero /disk /pipe",
      "character special file 1:5 600 0\nblock special file 7:12c 660 6\nfifo 0:0 622 0",
    );
  });
});

describe("an index", () => {
  test("gives the platform that is asked for, or the host's", async () => {
    const tar = (name: string) => archive([...base, { name: "platform", data: name }]);
    const children = (["amd64", "arm64"] as const).map((architecture) => ({
      ...registry.addImage(`child-${architecture}`, [tar(architecture)], { architecture }).manifest,
      platform: { os: "linux", architecture },
    }));
    for (const child of children) {
      const bytes = await Bun.file(
        workspace.path("hostile-5555", "manifests", `child-${child.platform.architecture}`, "latest"),
      ).text();
      registry.addManifest("multi", child.platform.architecture, JSON.parse(bytes));
    }
    const reference = registry.addIndex("multi", children);
    expect(await see(reference, "cat /platform")).toBe("amd64");
    const bundle = workspace.path("bundle-arm64");
    await daemon.ok("bundle", "-q", "--platform", "linux/arm64", reference, bundle);
    expect(readFileSync(`${bundle}/rootfs/platform`, "utf8")).toBe("arm64");
    const missing = await daemon.tsd(["pull", "--platform", "linux/s390x", reference]);
    expect([missing.status, missing.stderr]).toEqual([
      1,
      expect.stringMatching(/linux\/s390x.*available: linux\/amd64, linux\/arm64/),
    ]);
  });

  test("and images of Docker's media types are the same", async () => {
    const { reference } = registry.addImage("docker", [archive([...base, { name: "x", data: "docker" }])], {
      docker: true,
    });
    expect(await see(reference, "cat /x")).toBe("docker");
  });
});
