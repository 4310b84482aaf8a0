import { afterEach, describe, expect, test } from "bun:test";
import { fstatSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { O_RDONLY } from "./constants/open.ts";
import { Fd } from "./fd.ts";
import { open, write } from "./files.ts";
import { acceptUnix, connectUnix, listenUnix, receiveDescriptors, sendDescriptors, socketPair } from "./scm.ts";

const directories: string[] = [];
function temporary(): string {
  const directory = mkdtempSync("/var/tmp/tsd-scm-");
  directories.push(directory);
  return directory;
}
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

describe("descriptors", () => {
  test("travel over a socket with their data, several at once", () => {
    const [left, right] = socketPair();
    using _left = left;
    using _right = right;
    using etc = open("/etc", O_RDONLY);
    using proc = open("/proc", O_RDONLY);
    sendDescriptors(left, "/dev/ptmx", [etc, proc]);
    const { data, descriptors } = receiveDescriptors(right);
    expect(Buffer.from(data).toString()).toBe("/dev/ptmx");
    expect(descriptors.map((descriptor) => fstatSync(descriptor.number).ino)).toEqual([
      statSync("/etc").ino,
      statSync("/proc").ino,
    ]);
    for (const descriptor of descriptors) descriptor.close();
  });
  test("may be absent, and an empty message is the end", () => {
    const [left, right] = socketPair();
    using _right = right;
    write(left, "hello");
    expect(receiveDescriptors(right)).toMatchObject({ descriptors: [] });
    left.close();
    expect(receiveDescriptors(right).data.length).toBe(0);
  });
  test("are not sent without a byte, nor when they are closed", () => {
    const [left, right] = socketPair();
    using _left = left;
    using _right = right;
    expect(() => sendDescriptors(left, "", [0])).toThrow("at least one byte");
    expect(() => sendDescriptors(left, "x", [9999])).toThrow("EBADF");
    expect(() => new Fd(-1)).toThrow("not a file descriptor");
  });
});

describe("unix sockets", () => {
  test("connect by path, also where the path is longer than an address", () => {
    const deep = join(temporary(), "d".repeat(100), "e".repeat(100));
    mkdirSync(deep, { recursive: true });
    for (const path of [join(temporary(), "s"), join(deep, "socket")]) {
      using listener = listenUnix(path);
      using client = connectUnix(path);
      using server = acceptUnix(listener);
      sendDescriptors(client, "x", [0]);
      expect(receiveDescriptors(server).descriptors.length).toBe(1);
    }
  });
  test("that nobody listens at are named in the error", () => {
    expect(() => connectUnix("/var/tmp/no-such-socket")).toThrow("connect /var/tmp/no-such-socket: ENOENT");
    expect(() => connectUnix("a\0b")).toThrow("NUL");
  });
});
