import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { O_PATH } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";
import { getXattr } from "../../ffi/stat.ts";
import { containerFileContext, privateLevel, relabel } from "./selinux.ts";

// A real file system: those in memory keep no label that no module has judged.
const directory = mkdtempSync("/var/tmp/tsd-selinux-");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(path: string, text = ""): string {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

test("the host says how containers' files are labelled, where SELinux is on", () => {
  expect(containerFileContext(directory)).toBeUndefined();
  write("etc/selinux/config", "# a comment\nSELINUX=enforcing\nSELINUXTYPE=mls\n");
  write(
    "etc/selinux/mls/contexts/lxc_contexts",
    'process = "system_u:system_r:container_t:s0"\ncontent = "x"\nfile = "system_u:object_r:container_file_t:s0"\n',
  );
  expect(containerFileContext(directory)).toBeUndefined();
  write("sys/fs/selinux/enforce", "1");
  expect(containerFileContext(directory)).toBe("system_u:object_r:container_file_t");
  rmSync(join(directory, "etc/selinux/mls"), { recursive: true });
  expect(containerFileContext(directory)).toBeUndefined();
});

test("a container's level has two categories, always the same", () => {
  const level = privateLevel("00000005000003ff".padEnd(64, "0"));
  expect(level).toBe("s0:c5,c6");
  expect(privateLevel("000003ff00000000".padEnd(64, "0"))).toBe("s0:c0,c1023");
  expect(privateLevel("ab".repeat(32))).toMatch(/^s0:c\d+,c\d+$/);
});

describe.skipIf(process.getuid?.() !== 0)("relabelling", () => {
  const label = "system_u:object_r:container_file_t:s0";
  const relabelAt = async (path: string) => {
    using opened = open(path, O_PATH);
    await relabel(opened, label);
  };
  const labelOf = (path: string) => Buffer.from(getXattr({ path }, "security.selinux") ?? []).toString();

  test("reaches all of a tree and nothing that its symlinks lead to", async () => {
    const outside = write("outside/file");
    const inside = write("tree/a/b/file");
    symlinkSync(dirname(outside), join(directory, "tree/a/directory"));
    symlinkSync(outside, join(directory, "tree/link"));
    await relabelAt(join(directory, "tree"));
    for (const path of [join(directory, "tree"), join(directory, "tree/a/b"), inside, join(directory, "tree/link")]) {
      expect([path, labelOf(path)]).toEqual([path, `${label}\0`]);
    }
    expect(labelOf(outside)).toBe("");
    expect(labelOf(dirname(outside))).toBe("");
  });

  test("of a single file is that file's", async () => {
    const file = write("single");
    await relabelAt(file);
    expect(labelOf(file)).toBe(`${label}\0`);
  });

  test("of what was opened is not that of what has been put in its place", async () => {
    const kept = write("above/source/file");
    using opened = open(dirname(kept), O_PATH);
    const victim = write("host/source/file");
    renameSync(join(directory, "above"), join(directory, "moved"));
    symlinkSync(join(directory, "host"), join(directory, "above"));
    await relabel(opened, label);
    expect(labelOf(join(directory, "moved/source/file"))).toBe(`${label}\0`);
    expect(labelOf(victim)).toBe("");
  });

  test("of a socket does not open it", async () => {
    const path = join(directory, "socket");
    using _server = Bun.listen({ unix: path, socket: { data: () => undefined } });
    await relabelAt(path);
    expect(labelOf(path)).toBe(`${label}\0`);
  });

  test("of what the host lives on is refused in docker's words", async () => {
    for (const path of ["/", "/usr", "/etc", "/var/lib"]) {
      await expect(relabelAt(path)).rejects.toThrow(`SELinux relabeling of ${path} is not allowed`);
    }
  });
});
