import { describe, expect, test } from "bun:test";
import { isEngineError } from "../../core/errors.ts";
import { withAddress } from "./address.ts";
import { type LocalMount, parseLocalOptions } from "./options.ts";

describe("the options of a local volume", () => {
  test("say what is mounted, and how much it may hold", () => {
    expect(parseLocalOptions({})).toEqual({});
    const mount = { type: "nfs", device: ":/export", options: "addr=10.0.0.1,rw" };
    expect(parseLocalOptions({ type: "nfs", device: ":/export", o: "addr=10.0.0.1,rw" })).toEqual({ mount });
    expect(parseLocalOptions({ type: "tmpfs", device: "tmpfs" })).toEqual({
      mount: { type: "tmpfs", device: "tmpfs", options: "" },
    });
    expect(parseLocalOptions({ size: "1.5k" })).toEqual({ sizeBytes: 1536 });
    // As in Docker: all three may be there and empty.
    expect(parseLocalOptions({ type: "", device: "", o: "", size: "0" })).toEqual({});
  });

  test.each([
    [{ fsType: "nfs" }, 'invalid option: "fsType"'],
    [{ type: "nfs" }, 'missing required option: "device"'],
    [{ device: "/x" }, 'missing required option: "type"'],
    [{ o: "bind", type: "none" }, 'missing required option: "device"'],
    [{ o: "bind", device: "/x" }, 'missing required option: "type"'],
    [{ size: "much" }, "invalid size: 'much'"],
    [{ type: "tmpfs", device: "tmpfs", size: "1m" }, 'option "size" is for volumes without a type'],
    [{ type: "none", device: "/x", o: "bind,idmap" }, 'invalid mount option "idmap" for a volume'],
    [{ type: "none", device: "/x", o: "remount" }, 'invalid mount option "remount" for a volume'],
  ] as [Record<string, string>, string][])("%j is refused", (options, message) => {
    expect(() => parseLocalOptions(options)).toThrow(message);
  });
});

describe("the server of a network file system", () => {
  const resolve = async (name: string) => {
    if (name === "nowhere") throw new Error("queryA ENOTFOUND nowhere");
    return "10.0.0.7";
  };
  const resolved = (type: string, device: string, options: string) =>
    withAddress({ type, device, options }, resolve).then((mount: LocalMount) => `${mount.device} ${mount.options}`);

  test.each([
    ["nfs", ":/export", "addr=server,rw", ":/export addr=10.0.0.7,rw"],
    ["nfs4", ":/export", "rw,addr=server", ":/export rw,addr=10.0.0.7"],
    ["nfs", ":/export", "addr=192.0.2.1", ":/export addr=192.0.2.1"],
    ["nfs", ":/export", "addr=2001:db8::1", ":/export addr=2001:db8::1"],
    ["nfs", "server:/export", "rw", "server:/export rw"],
    ["cifs", "//server/share", "username=u", "//10.0.0.7/share username=u"],
    ["cifs", "//server/share", "addr=server", "//server/share addr=10.0.0.7"],
    ["cifs", "//192.0.2.1/share", "", "//192.0.2.1/share "],
    ["ext4", "/dev/sda1", "addr=server", "/dev/sda1 addr=server"],
  ])("of %s %s with %s is looked up where docker looks it up", async (type, device, options, expected) => {
    expect(await resolved(type, device, options)).toBe(expected);
  });

  test("that has no address is an error with its name", async () => {
    const error: unknown = await resolved("nfs", ":/x", "addr=nowhere").catch((reason) => reason);
    expect(isEngineError(error, "unavailable")).toBe(true);
    expect(String(error)).toContain("error resolving passed in network volume address: nowhere: ");
  });
});
