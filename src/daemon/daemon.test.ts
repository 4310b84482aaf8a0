import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clearSocket, lockDirectory, removePidFile, writePidFile } from "./exclusive.ts";
import { socketGroup } from "./socket-group.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-daemon-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("one daemon", () => {
  test("has a root and a state directory, and another is told which process has it", () => {
    const lock = lockDirectory(directory);
    expect(() => lockDirectory(directory)).toThrow(`${directory} is in use by another daemon, pid ${process.pid}`);
    lock.close();
    lockDirectory(directory).close();
  });

  test("has a pid file; one that names no process is replaced", () => {
    const path = join(directory, "run", "tsd.pid");
    writePidFile(path);
    expect(readFileSync(path, "utf8")).toBe(`${process.pid}\n`);
    removePidFile(path);
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, "4194999\n");
    writePidFile(path);
    writeFileSync(path, "1\n");
    expect(() => writePidFile(path)).toThrow(`process with PID 1 is still running: pid file ${path}`);
    removePidFile(path);
    expect(existsSync(path)).toBe(true);
  });

  test("has a socket: one where somebody listens is left alone, a stale one is removed, a file is not", async () => {
    const path = join(directory, "run", "tsd.sock");
    await clearSocket(path);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    expect(clearSocket(path)).rejects.toThrow(`socket ${path} is in use: a daemon listens there already`);
    await clearSocket(path).catch(() => undefined);
    expect(existsSync(path)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
    const stale = Bun.spawnSync([
      "python3",
      "-c",
      `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(path)})`,
    ]);
    expect(stale.success).toBe(true);
    await clearSocket(path);
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, "precious");
    expect(clearSocket(path)).rejects.toThrow(`${path} is in the way`);
    await clearSocket(path).catch(() => undefined);
    expect(readFileSync(path, "utf8")).toBe("precious");
    expect(clearSocket(`/${"x".repeat(110)}`)).rejects.toThrow("longer than the 107 bytes");
  });
});

test("the socket's group is the one asked for, else tsd, else docker, else root's", () => {
  const file = join(directory, "group");
  writeFileSync(file, "root:x:0:\ndocker:x:101:\ntsd:x:102:me\n");
  expect(socketGroup(undefined, file)).toBe(102);
  expect(socketGroup("docker", file)).toBe(101);
  expect(socketGroup("1234", file)).toBe(1234);
  expect(() => socketGroup("nobody-has-it", file)).toThrow("group nobody-has-it not found");
  writeFileSync(file, "root:x:0:\ndocker:x:101:\n");
  expect(socketGroup(undefined, file)).toBe(101);
  writeFileSync(file, "root:x:0:\n");
  expect(socketGroup(undefined, file)).toBe(0);
});
