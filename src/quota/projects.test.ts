import type { Database } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { O_DIRECTORY, O_RDONLY } from "../../ffi/constants/open.ts";
import { open } from "../../ffi/files.ts";
import { umount2 } from "../../ffi/mount.ts";
import { mountOverlay } from "../../ffi/overlay.ts";
import {
  type Project,
  type ProjectUsage,
  projectAccounting,
  projectOf,
  projectUsage,
  setProject,
  setProjectLimit,
} from "../../ffi/quota.ts";
import { statfs } from "../../ffi/stat.ts";
import { until } from "../../test/harness/command.ts";
import { diskKinds, hasQuotaDisks, QuotaDisk } from "../../test/harness/quota-disk.ts";
import { openDatabase } from "../core/database.ts";
import { hostProjects } from "./host-projects.ts";
import { ProjectQuotas, quotaSchema } from "./projects.ts";

const isRoot = process.getuid?.() === 0;
const mebibyte = 2 ** 20;

describe.each([...diskKinds])("limits of directories on %s", (kind) => {
  const works = hasQuotaDisks(kind);
  describe.skipIf(!works)("with project quotas", () => {
    let disk: QuotaDisk;
    let root: string;
    let database: Database;
    let quotas: ProjectQuotas;
    const taken = new Set<number>();

    // In a group that is skipped they would be told of as tests without names.
    if (works) useDisk();
    function useDisk(): void {
      beforeAll(() => {
        disk = new QuotaDisk(kind);
      });
      afterAll(() => disk[Symbol.dispose]());
      beforeEach(() => {
        root = mkdtempSync(join(disk.path, "root-"));
        database = openDatabase(join(root, "metadata.db"), [quotaSchema]);
        quotas = new ProjectQuotas({ database, root, taken: () => taken });
      });
      afterEach(() => {
        quotas.close();
        database.close();
        rmSync(root, { recursive: true });
        taken.clear();
      });
    }

    function make(name: string): string {
      const path = join(root, name);
      mkdirSync(path);
      return path;
    }
    function limited(name: string, bytes: number): string {
      const path = make(name);
      quotas.limit(path, bytes);
      return path;
    }
    function project(path: string): Project {
      using opened = open(path, O_RDONLY);
      return projectOf(opened);
    }
    function usage(id: number): ProjectUsage {
      using opened = open(root, O_RDONLY | O_DIRECTORY);
      return projectUsage(opened, id);
    }
    const records = () => database.query("SELECT id, directory, bytes, released FROM quota_projects").all();

    test("hold for what an overlay writes there, and are what statfs(2) tells of it", () => {
      const path = limited("a", 8 * mebibyte);
      const at = (name: string) => join(path, name);
      for (const name of ["fs", "work"]) mkdirSync(at(name));
      const [lower, merged] = [make("lower"), make("merged")];
      mountOverlay(merged, { lower: [lower], upper: at("fs"), work: at("work") });
      try {
        expect(statfs(merged).total).toBe(8 * mebibyte);
        writeFileSync(join(merged, "fits"), new Uint8Array(6 * mebibyte));
        // ext4 and XFS have different words for it.
        expect(() => writeFileSync(join(merged, "more"), new Uint8Array(3 * mebibyte))).toThrow(/EDQUOT|ENOSPC/);
      } finally {
        umount2(merged, 0);
      }
      expect(usage(project(path).id).limit).toBe(8 * mebibyte);
      expect(usage(project(path).id).used).toBeWithin(6 * mebibyte, 8 * mebibyte + 1);
      expect([quotas.isLimited(path), quotas.isLimited(root)]).toEqual([true, false]);
      expect(project(at("fs/fits"))).toMatchObject({ id: project(path).id });
    });

    test("leave room to mount what is full", () => {
      const path = limited("a", 2 * mebibyte);
      const at = (name: string) => join(path, name);
      for (const name of ["fs", "work"]) mkdirSync(at(name));
      const [lower, merged] = [make("lower"), make("merged")];
      const mountAndRemove = (name: string) => {
        mountOverlay(merged, { lower: [lower], upper: at("fs"), work: at("work") });
        try {
          rmSync(join(merged, name));
        } finally {
          umount2(merged, 0);
        }
      };
      writeFileSync(at("fs/big"), "");
      const fill = (bytes: number) => {
        for (;;) appendFileSync(at("fs/big"), new Uint8Array(bytes));
      };
      // On ext4 whoever may exceed all limits does so in what no overlay is over.
      if (kind === "xfs") {
        for (const bytes of [65536, 4096]) expect(() => fill(bytes)).toThrow(/EDQUOT|ENOSPC/);
        expect(() => mountAndRemove("big")).toThrow("EROFS");
      }
      {
        using _room = quotas.roomToMount(path);
        mountAndRemove("big");
      }
      expect(usage(project(path).id).limit).toBe(2 * mebibyte);
    });

    test("are projects of their own, and none that is somebody else's", () => {
      const first = project(limited("a", mebibyte)).id;
      const foreign = make("foreign");
      using opened = open(foreign, O_RDONLY | O_DIRECTORY);
      setProject(opened, { id: first + 1, inherits: true });
      setProjectLimit(opened, first + 2, mebibyte);
      taken.add(first + 3);
      expect(project(limited("b", 2 * mebibyte))).toEqual({ id: first + 4, inherits: true });
      expect(usage(first)).toMatchObject({ limit: mebibyte, inodes: 1 });
      expect(usage(first + 4)).toMatchObject({ limit: 2 * mebibyte, inodes: 1 });
      setProjectLimit(opened, first + 2, 0);
    });

    test("go with their directory, and not before the last that is left of it", async () => {
      const path = limited("a", mebibyte);
      const { id } = project(path);
      writeFileSync(join(path, "file"), "x");
      const held = openSync(join(path, "file"), "r");
      renameSync(path, join(root, "trash"));
      quotas.release(path);
      rmSync(join(root, "trash"), { recursive: true });
      expect(quotas.sweep()).toBe(1);
      // The same name again is another directory.
      const again = project(limited("a", mebibyte)).id;
      expect(again).not.toBe(id);
      closeSync(held);
      // XFS takes its time to forget a file.
      await until("nothing is left of it", () => quotas.sweep() === 0);
      expect(usage(id)).toEqual({ limit: 0, used: 0, inodes: 0 });
      expect(records()).toEqual([{ id: again, directory: path, bytes: mebibyte, released: 0 }]);
    });

    test("of directories that a killed daemon did not come to make are given back by the next", () => {
      const [kept, lost] = [limited("kept", mebibyte), limited("lost", mebibyte)];
      const id = project(lost).id;
      rmSync(lost, { recursive: true });
      // Somebody has taken away the other one's limit meanwhile.
      using opened = open(kept, O_RDONLY | O_DIRECTORY);
      setProjectLimit(opened, project(kept).id, 0);
      const next = new ProjectQuotas({ database, root, taken: () => taken });
      next.restore(new Set([kept]));
      next.close();
      expect(records()).toHaveLength(1);
      expect(usage(id).limit).toBe(0);
      expect(usage(project(kept).id).limit).toBe(mebibyte);
      // A daemon was killed while it mounted what is in it.
      setProjectLimit(opened, project(kept).id, 2 * mebibyte);
      next.restore(new Set([kept]));
      expect(usage(project(kept).id).limit).toBe(mebibyte);
    });

    test("are told of and set by the block device's name, too, as Linux before 5.14 needs it", () => {
      const path = limited("a", mebibyte);
      using opened = open(path, O_RDONLY | O_DIRECTORY);
      const { id } = projectOf(opened);
      expect(projectAccounting(opened, false)).toEqual({ counts: true, limits: true });
      expect(projectUsage(opened, id, false)).toEqual(projectUsage(opened, id, true));
      setProjectLimit(opened, id, 2 * mebibyte, false);
      expect(projectUsage(opened, id).limit).toBe(2 * mebibyte);
    });

    test("that cannot be made leave nothing", () => {
      expect(() => quotas.limit(join(root, "missing"), mebibyte)).toThrow("ENOENT");
      expect(records()).toEqual([]);
    });
  });
});

describe.skipIf(!isRoot)("a file system without project quotas", () => {
  test("is named, with what it lacks", () => {
    using database = openDatabase(":memory:", [quotaSchema]);
    const quotas = new ProjectQuotas({ database, root: "/somewhere" });
    expect(() => quotas.limit("/proc/self", 1)).toThrow(
      /^limit \/proc\/self: proc \(proc, mounted on \/proc\) has no project quotas$/,
    );
    expect(quotas.whyNot("/proc")).toMatchObject({ hint: "xfs and ext4 have them" });
    expect(database.query("SELECT * FROM quota_projects").all()).toEqual([]);
  });

  // Debian's kernel and the one of development both have ext4.
  test("of a kind that could have them is told how", () => {
    using disk = new QuotaDisk("xfs", { options: "noquota" });
    using database = openDatabase(":memory:", [quotaSchema]);
    const refusal = new ProjectQuotas({ database, root: disk.path }).whyNot(disk.path);
    expect(refusal?.reason).toMatch(
      new RegExp(`^/dev/loop\\d+ \\(xfs, mounted on ${disk.path}\\) is mounted without the option pquota$`),
    );
    expect(refusal?.hint).toContain("mount it with -o pquota");
  });
});

test("the host's named projects are those of /etc/projid and /etc/projects", () => {
  const directory = mkdtempSync("/var/tmp/tsd-projects-");
  try {
    expect(hostProjects(directory)).toEqual(new Set());
    writeFileSync(join(directory, "projid"), "# names\nlogs:10\nweb:with:colon:11\n\nbroken\n");
    writeFileSync(join(directory, "projects"), "10:/var/log\n12:/srv/www\n");
    expect(hostProjects(directory)).toEqual(new Set([10, 11, 12]));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
