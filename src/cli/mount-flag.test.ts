import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { deviceMapping } from "./device-flag.ts";
import { parseMountFlag } from "./mount-flag.ts";
import { volumeFlags } from "./volume-flag.ts";

describe("--mount", () => {
  test.each([
    ["src=a,dst=/b", { Type: "volume", Source: "a", Target: "/b" }],
    ["type=BIND,source=./x,target=/y,ro", { Type: "bind", Source: resolve("x"), Target: "/y", ReadOnly: true }],
    ["type=bind,src=..,destination=/y,readonly=f", { Source: resolve(".."), ReadOnly: false }],
    ['"dst=/b,c"', { Type: "volume", Target: "/b,c" }],
    [
      "type=bind,src=/a,dst=/b,bind-recursive=disabled,BIND-propagation=RSHARED,consistency=CACHED",
      { Consistency: "cached", BindOptions: { Propagation: "rshared", NonRecursive: true } },
    ],
    ["type=bind,src=/a,dst=/b,bind-nonrecursive", { BindOptions: { NonRecursive: true } }],
    ["type=bind,src=/a,dst=/b,bind-create-src", { BindOptions: { CreateMountpoint: true } }],
    ["type=bind,src=/a,dst=/b,bind-idmap", { BindOptions: { IDMapping: { Source: "match-user" } } }],
    [
      "type=bind,src=/a,dst=/b,bind-idmap=match-user:5:6",
      { BindOptions: { IDMapping: { Source: "match-user", User: "5:6" } } },
    ],
    ["type=bind,src=/a,dst=/b,bind-idmap=userns", { BindOptions: { IDMapping: { Source: "userns" } } }],
    [
      "dst=/x,volume-nocopy,volume-label=a=b,volume-label=c,volume-driver=d,volume-opt=o=x=y,volume-opt=p,volume-subpath=s",
      {
        VolumeOptions: {
          NoCopy: true,
          Labels: { a: "b", c: "" },
          Subpath: "s",
          DriverConfig: { Name: "d", Options: { o: "x=y", p: "" } },
        },
      },
    ],
    ["type=image,src=a,dst=/b,image-subpath=x", { Type: "image", ImageOptions: { Subpath: "x" } }],
    [
      'type=tmpfs,dst=/b,tmpfs-size=1g,tmpfs-mode=1777,tmpfs-options=exec,"tmpfs-options=uid=5,nodev"',
      { TmpfsOptions: { SizeBytes: 2 ** 30, Mode: 0o1777, Options: [["exec"], ["uid", "5"], ["nodev"]] } },
    ],
  ])("%s", (text, mount) => {
    expect(parseMountFlag(text)).toMatchObject(mount as object);
  });

  test.each([
    ["type=bind", "target is required"],
    ["type=,dst=/x", "type is required"],
    ["dst=/x,foo", "invalid field 'foo' must be a key=value pair"],
    ["dst=/x,foo=a", "unexpected key 'foo' in 'foo=a'"],
    ["dst=/x,constructor=a", "unexpected key 'constructor' in 'constructor=a'"],
    ["dst=/x,__proto__=a", "unexpected key '__proto__' in '__proto__=a'"],
    ["dst=/x,ro=no", "invalid value for ro: no"],
    ["type=tmpfs,dst=/b,tmpfs-size=-1", "invalid value for tmpfs-size: -1"],
    ["type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"],
    ["type=bind,src=/a,dst=/b,bind-recursive=x", 'invalid value for bind-recursive: x (must be "enabled"'],
    ["type=bind,src=/a,dst=/b,bind-idmap=x", "invalid value for bind-idmap: x (must be"],
    ["type=bind,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"],
    ["type=tmpfs,dst=/b,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'tmpfs'"],
    [
      "type=bind,src=/a,dst=/b,bind-recursive=readonly,ro",
      "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
    ],
    [
      "type=bind,src=/a,dst=/b,bind-recursive=writable",
      "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
    ],
  ])("%s is refused", (text, message) => {
    expect(() => parseMountFlag(text)).toThrow(message);
  });
});

test("-v with a source is a bind, without one a new volume, and the same twice is one", () => {
  const { binds, anonymous } = volumeFlags(["./x:/y:ro", "/a", "n:/b", "~/c:/d", "/a", "n:/b"]);
  expect(binds).toEqual([`${resolve("x")}:/y:ro`, "n:/b", "~/c:/d"]);
  expect(anonymous).toEqual({ "/a": {} });
  expect(() => volumeFlags([""])).toThrow("invalid empty volume spec");
  expect(() => volumeFlags(["/a::b"])).toThrow("invalid spec: /a::b: empty section between colons");
  expect(() => volumeFlags(["/a:/b:ro:x"])).toThrow("invalid spec: /a:/b:ro:x: too many colons");
});

test("--device", () => {
  const shown = (text: string) => Object.values(deviceMapping(text)).join(" ");
  expect(["/dev/a", "/dev/a:rw", "/dev/a:/dev/b", "/dev/a:/dev/b:m"].map(shown)).toEqual([
    "/dev/a /dev/a rwm",
    "/dev/a /dev/a rw",
    "/dev/a /dev/b rwm",
    "/dev/a /dev/b m",
  ]);
  expect(() => deviceMapping("")).toThrow("bad format for path: ");
  expect(() => deviceMapping("/a:/b:c:d")).toThrow("bad format for path: /a:/b:c:d");
  expect(() => deviceMapping("/dev/a:/dev/b:rr")).toThrow("bad mode specified: rr");
  expect(() => deviceMapping("/dev/a:rwx")).toThrow("rwx is not an absolute path");
});
