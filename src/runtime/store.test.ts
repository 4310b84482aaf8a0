import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { formatExactJson, parseExactJson } from "../core/exact-json.ts";
import type { RuntimeConfig } from "../oci/runtime.ts";
import { type ContainerRecord, formatRecord, parseRecord } from "./record.ts";
import {
  checkContainerId,
  containerIds,
  createContainerDirectory,
  lockContainer,
  readConfig,
  readRecord,
  removeContainerDirectory,
  writeConfig,
  writeRecord,
} from "./store.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

let root: string;
beforeEach(() => {
  root = mkdtempSync("/var/tmp/tsd-store-");
});
afterEach(() => rmSync(root, { recursive: true }));

const record: ContainerRecord = {
  id: "c1",
  bundle: "/bundle",
  rootfs: "/bundle/rootfs",
  ociVersion: "1.0.2",
  createdAt: "2026-01-01T00:00:00.000Z",
  ownerUid: 0,
  lifecycle: { phase: "created", init: { pid: 1, startTime: 2 } },
};

describe("container ids", () => {
  test("may be used as file names, or are refused", () => {
    for (const good of ["c1", "a.b", "A_b-c+d", "..x", "9"]) checkContainerId(good);
    for (const bad of [".", "..", "a/b", "../x", "a b", "a\0", "ä", "x".repeat(256)]) {
      expect(() => checkContainerId(bad)).toThrow("invalid container id format");
    }
    expect(() => checkContainerId("")).toThrow("container id cannot be empty");
  });
});

describe("container state", () => {
  test("is read as it was written, and the directory shows no temporary file", () => {
    using _lock = createContainerDirectory(root, "c1");
    writeRecord(root, record);
    writeRecord(root, { ...record, createdAt: "later" });
    expect(readRecord(root, "c1")).toMatchObject({ ...record, createdAt: "later" });
    expect(readdirSync(join(root, "c1"))).toEqual(["state.json"]);
    expect(statSync(join(root, "c1", "state.json")).mode & 0o777).toBe(0o600);
    expect(containerIds(root)).toEqual(["c1"]);
    removeContainerDirectory(root, "c1");
    expect(containerIds(root)).toEqual([]);
  });
  test("of an unknown container is not found, in the words that callers of runc look for", () => {
    expect(() => readRecord(root, "c1")).toThrow("container c1 does not exist");
    expect(() => lockContainer(root, "c1")).toThrow("container c1 does not exist");
    expect(() => readRecord(join(root, "no-root"), "c1")).toThrow("does not exist");
    expect(containerIds(join(root, "no-root"))).toEqual([]);
  });
  test("that is damaged or newer is refused and not guessed", () => {
    const path = "/x/state.json";
    for (const [json, reason] of [
      ["{", "/x/state.json: not JSON"],
      ["null", "not an object"],
      ["{}", "no tsd wrote it"],
      ['{"version":1,"id":"c"}', "incomplete"],
      ['{"version":2}', "written by a newer tsd"],
    ] as const) {
      expect(() => parseRecord(json, path)).toThrow(reason);
    }
    expect(parseRecord(formatRecord(record), path)).toMatchObject(record);
  });
  test("keeps integers of 64 bits in the configuration", () => {
    const unlimited = 2n ** 64n - 1n;
    const config: RuntimeConfig = {
      ociVersion: "1.0.2",
      process: { cwd: "/", rlimits: [{ type: "RLIMIT_CORE", soft: 5, hard: unlimited }] },
      annotations: { digits: "12345678901234567890" },
    };
    using _lock = createContainerDirectory(root, "c1");
    writeConfig(root, "c1", config);
    expect(readConfig(root, "c1")).toEqual(config);
    expect(formatExactJson(config)).toContain(`"hard":${unlimited}`);
    expect(parseExactJson('{"a":1e3}')).toMatchObject({ a: 1000 });
  });
});

describe("container directories", () => {
  test("are made once", () => {
    using _lock = createContainerDirectory(root, "c1");
    expect(() => createContainerDirectory(root, "c1")).toThrow("container with id c1 already exists");
  });
  test("are locked against other commands, which wait", async () => {
    const lock = createContainerDirectory(root, "c1");
    const script = `import { lockContainer } from ${JSON.stringify(join(import.meta.dir, "store.ts"))};
      using lock = lockContainer(${JSON.stringify(root)}, "c1", "shared");
      console.log("locked");`;
    const other = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    await Bun.sleep(150);
    expect(other.exitCode).toBeNull();
    lock.close();
    expect(await new Response(other.stdout).text()).toBe("locked\n");
  });
  test("that were deleted while a command waited for them do not exist", async () => {
    const lock = createContainerDirectory(root, "c1");
    const script = `import { lockContainer } from ${JSON.stringify(join(import.meta.dir, "store.ts"))};
      try { lockContainer(${JSON.stringify(root)}, "c1"); } catch (error) { console.log(error.message); }`;
    const other = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    await waitsAt(other.pid, join(root, "c1"));
    removeContainerDirectory(root, "c1");
    using _next = createContainerDirectory(root, "c1");
    lock.close();
    expect(await new Response(other.stdout).text()).toBe("container c1 does not exist\n");
  });
  test("are shared by readers and exclude a writer only then", () => {
    createContainerDirectory(root, "c1").close();
    using _one = lockContainer(root, "c1", "shared");
    using _two = lockContainer(root, "c1", "shared");
  });
});

/** Resolves once the process has the directory open, which it then waits to lock. */
async function waitsAt(pid: number, directory: string): Promise<void> {
  for (;;) {
    const open = readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === directory);
    if (open) return;
    await Bun.sleep(2);
  }
}

/** Descriptors come and go while they are looked at. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
