import { describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { owningUserNamespace } from "../namespace.ts";
import { createNetworkNamespaceIn, createUserNamespace } from "./namespaces.ts";

function writeMaps(pid: number): void {
  for (const file of ["uid_map", "gid_map"]) writeFileSync(`/proc/${pid}/${file}`, "0 300000 10\n");
}

function nameOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

describe.skipIf(process.getuid?.() !== 0)("a namespace that is held", () => {
  test("is a user namespace of its own, with nobody in it", () => {
    let pid = 0;
    using user = createUserNamespace((process) => {
      pid = process;
      writeMaps(process);
      expect(readFileSync(`/proc/${process}/uid_map`, "utf8").trim().split(/ +/)).toEqual(["0", "300000", "10"]);
    });
    expect(nameOf(user.number)).toMatch(/^user:\[\d+\]$/);
    expect(nameOf(user.number)).not.toBe(readlinkSync("/proc/self/ns/user"));
    expect(() => readlinkSync(`/proc/${pid}/ns/user`)).toThrow("ENOENT");
  });

  test("or a network namespace that belongs to it", () => {
    using user = createUserNamespace(writeMaps);
    using network = createNetworkNamespaceIn(user);
    expect(nameOf(network.number)).toMatch(/^net:\[\d+\]$/);
    using owner = owningUserNamespace(network);
    expect(nameOf(owner.number)).toBe(nameOf(user.number));
  });

  test("and nothing is left when its preparation fails", () => {
    let pid = 0;
    const failing = (process: number) => {
      pid = process;
      throw new Error("no maps");
    };
    expect(() => createUserNamespace(failing)).toThrow("no maps");
    expect(() => readlinkSync(`/proc/${pid}/ns/user`)).toThrow("ENOENT");
    using user = createUserNamespace(writeMaps);
    expect(() => createNetworkNamespaceIn(0)).toThrow("setns the user namespace: EINVAL");
    expect(nameOf(user.number)).toContain("user:");
  });
});
