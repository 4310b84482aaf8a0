import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fd } from "./fd.ts";
import { fcntl, read } from "./files.ts";
import { serviceNotify } from "./notify.ts";
import { call } from "./syscall.ts";

const directory = mkdtempSync(join(tmpdir(), "tsd-notify-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function receiver(name: Buffer): Fd {
  const socket = new Fd(call("socket", "AF_UNIX", 1, 2, 0));
  const address = Buffer.concat([Buffer.from([1, 0]), name]);
  call("bind", "test", socket.number, address, address.length);
  const O_NONBLOCK = 0o4000;
  fcntl(socket, 4, O_NONBLOCK);
  return socket;
}

function received(socket: Fd): string {
  const buffer = new Uint8Array(256);
  return Buffer.from(buffer.subarray(0, read(socket, buffer))).toString();
}

describe("messages to the service manager", () => {
  test("arrive at a path", () => {
    const path = join(directory, "notify");
    using socket = receiver(Buffer.from(`${path}\0`));
    serviceNotify(path, "READY=1");
    expect(received(socket)).toBe("READY=1");
  });

  test("arrive at an abstract name", () => {
    const name = `tsd-notify-${process.pid}`;
    using socket = receiver(Buffer.from(`\0${name}`));
    serviceNotify(`@${name}`, "STOPPING=1\nSTATUS=bye");
    expect(received(socket)).toBe("STOPPING=1\nSTATUS=bye");
  });

  test("an address that is none and one where nobody listens are errors", () => {
    expect(() => serviceNotify("relative", "READY=1")).toThrow("no address of a Unix socket");
    expect(() => serviceNotify(join(directory, "nobody"), "READY=1")).toThrow("ENOENT");
  });
});
