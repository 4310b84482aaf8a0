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
      propagation: "rprivate",
      mode: "",
    });
    expect(parseBind("db-data:/var/lib/db").source).toEqual({ kind: "volume", name: "db-data" });
    expect(parseBind("/data").source).toBeUndefined();
  });

  test("options are read in any order and kept as written", () => {
    expect(parseBind("/a:/b:rslave,ro")).toMatchObject({ readOnly: true, propagation: "rslave", mode: "rslave,ro" });
    expect(parseBind("vol:/b:nocopy,rw")).toMatchObject({ readOnly: false, noCopy: true });
    expect(parseBind("/a:/b:cached")).toMatchObject({ readOnly: false });
  });

  test("what docker refuses is refused, naming it", () => {
    const refusals: [string, string][] = [
      ["a:b:c:d", "invalid volume specification: 'a:b:c:d'"],
      [":/b", "invalid volume specification: ':/b'"],
      ["/a:", "invalid volume specification: '/a:'"],
      ["/a:b", "invalid mount path: 'b' mount path must be absolute"],
      ["/a:/b/..", "destination can't be '/'"],
      ["x:/b", "volume name is too short"],
      ["./x:/b", '"./x" includes invalid characters for a local volume name'],
      ["/a:/b:rx", "invalid mode: rx"],
      ["/a:/b:ro,rw", "invalid mode: ro,rw"],
      ["/a:/b:nocopy", "invalid mode: nocopy"],
      ["vol:/b:rshared", "invalid mode: rshared"],
      ["/a:/b:Z", "SELinux relabelling (Z) is not built"],
    ];
    for (const [spec, message] of refusals) expect(() => parseBind(spec)).toThrow(message);
  });
});
