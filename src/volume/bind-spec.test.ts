import { describe, expect, test } from "bun:test";
import { parseBind } from "./bind-spec.ts";

describe("the short mount syntax", () => {
  test("a path is bound, a name is a volume, a lone target is an anonymous volume", () => {
    expect(parseBind("/srv//data/:/data/")).toEqual({
      source: { kind: "path", path: "/srv/data" },
      target: "/data",
      readOnly: false,
      noCopy: false,
      idMapped: false,
      propagation: "",
      mode: "",
    });
    expect(parseBind("db-data:/var/lib/db").source).toEqual({ kind: "volume", name: "db-data" });
    expect(parseBind("~/x:/y").source).toEqual({ kind: "volume", name: "~/x" });
    expect(parseBind("/data").source).toBeUndefined();
  });

  test("options are read in any order and kept as written", () => {
    expect(parseBind("/a:/b:rslave,ro")).toMatchObject({ readOnly: true, propagation: "rslave", mode: "rslave,ro" });
    expect(parseBind("vol:/b:nocopy,rw")).toMatchObject({ readOnly: false, noCopy: true });
    expect(parseBind("/a:/b:cached,Z,idmap")).toMatchObject({
      readOnly: false,
      idMapped: true,
      mode: "cached,Z,idmap",
    });
  });

  test.each([
    ["a:b:c:d", "invalid volume specification: 'a:b:c:d'"],
    [":/b", "invalid volume specification: ':/b'"],
    ["/a:", "invalid volume specification: '/a:'"],
    ["/data:ro", "invalid volume specification: '/data:ro'"],
    [
      "/a:b",
      `invalid volume specification: '/a:b': invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`,
    ],
    [
      "/a:/b/..",
      `invalid volume specification: '/a:/b/..': invalid mount config for type "bind": invalid specification: destination can't be '/'`,
    ],
    ["/a:/b:rx", "invalid mode: rx"],
    ["/a:/b:ro,rx", "invalid mode: ro,rx"],
    ["/a:/b:ro,rw", "invalid mode: ro,rw"],
    ["/a:/b:z,Z", "invalid mode: z,Z"],
    ["/a:/b:rshared,slave", "invalid mode: rshared,slave"],
    [
      "/a:/b:nocopy",
      `invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`,
    ],
    [
      "vol:/b:rshared",
      `invalid volume specification: 'vol:/b:rshared': invalid mount config for type "volume": field BindOptions must not be specified`,
    ],
  ])("%s is refused in docker's words", (spec, message) => {
    let said = "";
    try {
      parseBind(spec);
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said).toBe(message);
  });
});
