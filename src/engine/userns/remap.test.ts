import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostFiles } from "./host-files.ts";
import { type Remap, resolveRemap } from "./remap.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-remap-"));
  const files = {
    passwd: "root:x:0:0::/:/bin/sh\nanna:x:1000:1000::/:/bin/sh\nbert:x:1001:1001::/:/bin/sh\n",
    group: "root:x:0:\nanna:x:1000:\nteam:x:2000:anna\n",
    subuid: "anna:100000:65536\nanna:300000:1000\n",
    subgid: "1000:200000:65536\nteam:400000:65536\n",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
});
afterEach(() => rmSync(directory, { recursive: true }));

const resolve = (text: string): Remap => resolveRemap(text, new HostFiles(directory));
const read = (name: string): string => readFileSync(join(directory, name), "utf8");

describe("--userns-remap", () => {
  const uids = [
    { containerID: 0, hostID: 100000, size: 65536 },
    { containerID: 65536, hostID: 300000, size: 1000 },
  ];

  test.each(["anna", "1000", "anna:anna", "1000:1000"])("%s: that user's ranges, one after the other", (text) => {
    expect(resolve(text)).toEqual({ uids, gids: [{ containerID: 0, hostID: 200000, size: 65536 }] });
  });

  test("a group has ranges of its own", () => {
    expect(resolve("anna:team")).toEqual({ uids, gids: [{ containerID: 0, hostID: 400000, size: 65536 }] });
  });

  test("nothing, root and auto", () => {
    expect([resolve(""), resolve("root"), resolve("auto")]).toEqual([undefined, undefined, "auto"]);
  });

  test.each([
    ["a:b:c", 'Invalid user/group specification in --userns-remap: "a:b:c"'],
    ["7", "Uid 7 has no entry in /etc/passwd"],
    ["nobody-here", 'Error during uid lookup for "nobody-here": no matching entries in passwd file'],
    ["anna:7", "Gid 7 has no entry in /etc/group"],
    ["anna:nothing", 'Error during gid lookup for "nothing": no matching entries in group file'],
    ["bert", 'no subuid ranges found for user "bert"'],
  ])("%s is refused", (text, message) => {
    expect(() => resolve(text)).toThrow(`--userns-remap: ${message}`);
  });

  test("a user with ranges of users and none of groups is refused", () => {
    writeFileSync(join(directory, "subgid"), "");
    expect(() => resolve("anna")).toThrow('no subgid ranges found for user "anna"');
  });
});

describe("--userns-remap default", () => {
  test("sets users aside for dockremap where nobody has any, once", () => {
    const remap = resolve("default");
    expect(read("subuid")).toBe("anna:100000:65536\nanna:300000:1000\ndockremap:301000:65536\n");
    expect(read("subgid")).toBe("1000:200000:65536\nteam:400000:65536\ndockremap:301000:65536\n");
    const mapping = [{ containerID: 0, hostID: 301000, size: 65536 }];
    expect(remap).toEqual({ uids: mapping, gids: mapping });
    expect(resolve("default")).toEqual(remap);
    expect(read("subuid").match(/dockremap/g)).toHaveLength(1);
    expect(existsSync(join(directory, "subuid.lock"))).toBe(false);
  });

  test("makes the files where they are missing, readable for all", () => {
    for (const name of ["subuid", "subgid"]) rmSync(join(directory, name));
    resolve("default");
    expect(read("subuid")).toBe("dockremap:100000:65536\n");
    expect(statSync(join(directory, "subgid")).mode & 0o777).toBe(0o644);
  });

  test("waits for nobody who edits the file, and forgets who was killed", () => {
    writeFileSync(join(directory, "subuid.lock"), `${process.pid}\0`);
    expect(() => resolve("default")).toThrow(`subuid.lock is there: process ${process.pid} is editing the file`);
    writeFileSync(join(directory, "subuid.lock"), String(2 ** 22 + 1));
    resolve("default");
    expect(read("subuid")).toContain("dockremap");
  });
});
