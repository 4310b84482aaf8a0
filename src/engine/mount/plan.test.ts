import { describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig, Mount } from "../../api/schema/container-config.ts";
import type { ContainerMount } from "../container/definition.ts";
import { planMounts as planWith } from "./plan.ts";

const others: Record<string, ContainerMount[]> = {
  db: [
    { Type: "volume", Name: "data", Source: "/v/data", Destination: "/data", Mode: "z", RW: true, Propagation: "" },
    { Type: "bind", Source: "/srv", Destination: "/srv", Mode: "ro", RW: false, Propagation: "rslave" },
    { Type: "tmpfs", Source: "", Destination: "/t", Mode: "", RW: true, Propagation: "", tmpfsOptions: "size=1m" },
  ],
  other: [{ Type: "bind", Source: "/other", Destination: "/srv", Mode: "", RW: true, Propagation: "rprivate" }],
};
const planMounts = (config: ContainerConfig, host: HostConfig) =>
  planWith(config, host, { root: "/var/lib/tsd", mountsOf: (reference) => others[reference]! });

describe("the mounts of a container", () => {
  test("mounts, binds and the image's volumes come in one list; tmpfs and binds hide an image's volume", () => {
    const config: ContainerConfig = { Volumes: { "/data": {}, "/cache": {}, "/run/x/": {} } };
    const host: HostConfig = {
      Binds: ["/srv:/data:ro", "logs:/logs"],
      Mounts: [{ Type: "tmpfs", Target: "/scratch", TmpfsOptions: { SizeBytes: 1024, Mode: 0o1770 } }],
      Tmpfs: { "/run/x": "" },
    };
    expect(planMounts(config, host).map(({ kind, target }) => `${kind} ${target}`)).toEqual([
      "tmpfs /scratch",
      "bind /data",
      "volume /logs",
      "volume /cache",
    ]);
    expect(planMounts(config, host)[0]).toMatchObject({ options: "mode=1770,size=1k" });
  });

  test("the short syntax makes a missing source, the long one does not", () => {
    const [long, short] = planMounts({}, { Binds: ["/a:/b"], Mounts: [{ Type: "bind", Source: "/c", Target: "/d" }] });
    expect(short).toMatchObject({ source: "/a", createSource: true, propagation: "rprivate" });
    expect(long).toMatchObject({ source: "/c", createSource: false });
  });

  test("a volume or an image may be asked for in part", () => {
    const Mounts: Mount[] = [
      { Type: "volume", Source: "data", Target: "/a", VolumeOptions: { Subpath: "x/../y" } },
      { Type: "image", Source: "busybox", Target: "/b" },
      { Type: "image", Source: "busybox:1", Target: "/c", ImageOptions: { Subpath: "etc" } },
    ];
    expect(planMounts({}, { Mounts })).toMatchObject([
      { kind: "volume", name: "data", subpath: "x/../y", readOnly: false },
      { kind: "image", reference: "busybox", readOnly: true },
      { kind: "image", reference: "busybox:1", subpath: "etc", readOnly: true },
    ]);
  });

  test.each(["/etc", "..", "a/../../b", "../volume"])("the sub-path %j is refused", (Subpath) => {
    const volume: Mount = { Type: "volume", Source: "data", Target: "/x", VolumeOptions: { Subpath } };
    const image: Mount = { Type: "image", Source: "busybox", Target: "/x", ImageOptions: { Subpath } };
    for (const mount of [volume, image]) {
      expect(() => planMounts({}, { Mounts: [mount] })).toThrow("subpath must be a relative path within the volume");
    }
  });

  test("another container's come at their places, the last one's, unless this one has something there itself", () => {
    const config: ContainerConfig = { Volumes: { "/data": {}, "/t": {} } };
    const shown = (host: HostConfig) =>
      planMounts(config, host).map((mount) => {
        const source = mount.kind === "inherited" ? mount.from.Source : "";
        return `${mount.kind} ${mount.target} ${mount.readOnly ? "ro" : "rw"} ${source}`.trim();
      });
    expect(shown({ VolumesFrom: ["db", "other"] })).toEqual([
      "inherited /data rw /v/data",
      "inherited /srv rw /other",
      "inherited /t rw",
    ]);
    expect(shown({ VolumesFrom: ["db:rw"] })).toContain("inherited /srv ro /srv");
    expect(shown({ VolumesFrom: ["db:ro,z"], Tmpfs: { "/t": "" }, Binds: ["/x:/data"] })).toEqual([
      "bind /data rw",
      "inherited /srv ro /srv",
    ]);
    const refused = (text: string) => () => planMounts({}, { VolumesFrom: [text] });
    expect(refused("")).toThrow("volumes-from specification cannot be an empty string");
    for (const mode of ["xx", "rshared", "nocopy", "ro,rw"])
      expect(refused(`db:${mode}`)).toThrow(`invalid mode: ${mode}`);
  });

  test("a bind that shows the daemon's root is a slave, so that volumes can be unmounted", () => {
    const propagation = (bind: string) => planMounts({}, { Binds: [bind] })[0] as { propagation?: string };
    for (const source of ["/", "/var", "/var/lib/tsd", "/var/lib/tsd/volumes"]) {
      expect(propagation(`${source}:/x`)).toMatchObject({ propagation: "rslave" });
    }
    expect(propagation("/var/lib/tsd2:/x")).toMatchObject({ propagation: "rprivate" });
    expect(propagation("/var:/x:rshared")).toMatchObject({ propagation: "rshared" });
    expect(() => propagation("/var:/x:private")).toThrow(
      'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the ' +
        'daemon root, daemon root: "/var/lib/tsd", bind mount source: "/var", propagation: "private"',
    );
  });

  test("a tmpfs has its size in the largest unit, and options that mount(8) knows", () => {
    const options = (TmpfsOptions: object, ReadOnly = false) =>
      (planMounts({}, { Mounts: [{ Type: "tmpfs", Target: "/t", ReadOnly, TmpfsOptions }] })[0] as { options: string })
        .options;
    expect(options({ SizeBytes: 3 * 2 ** 20, Mode: 0o1777 }, true)).toBe("ro,mode=1777,size=3m");
    expect(options({ SizeBytes: 1025, Options: [["exec"], ["uid", "5"]] })).toBe("size=1025,exec,uid=5");
    expect(() => options({ Options: [["exec", "a", "b"]] })).toThrow("invalid option array length");
    expect(() => options({ Options: [["bogus", "a"]] })).toThrow('mount /t: invalid tmpfs option ["bogus" "a"]');
  });

  test.each([
    [{ Binds: ["/a:/x", "/b:/x/"] }, "Duplicate mount point: /x"],
    [{ Binds: ["/a:/x"], Tmpfs: { "/x": "" } }, "Duplicate mount point: /x"],
    [
      { Mounts: [{ Type: "bind", Target: "/x" }] },
      'invalid mount config for type "bind": field Source must not be empty',
    ],
    [{ Mounts: [{ Type: "bind", Source: "a", Target: "/x" }] }, "mount path must be absolute"],
    [
      { Mounts: [{ Type: "volume", Target: "/x", VolumeOptions: { Subpath: "a" } }] },
      "must not set Subpath when using anonymous volumes",
    ],
    [
      { Mounts: [{ Type: "image", Target: "/x" }] },
      'invalid mount config for type "image": field Source must not be empty',
    ],
    [
      { Mounts: [{ Type: "volume", Source: "vol", Target: "/x", ImageOptions: { Subpath: "a" } }] },
      "field ImageOptions must not be specified",
    ],
    [
      { Mounts: [{ Type: "bind", Source: "/a", Target: "/x", TmpfsOptions: {} }] },
      'invalid mount config for type "bind": field TmpfsOptions must not be specified',
    ],
    [{ Mounts: [{ Type: "bind", Source: "/a\0", Target: "/x" }] }, '"/a\\u0000" contains a NUL'],
    [{ Mounts: [{ Type: "tmpfs", Target: "/x\0" }] }, '"/x\\u0000" contains a NUL'],
    [{ Binds: ["/a\0b:/x"] }, '"/a\\u0000b" contains a NUL'],
    [{ Binds: ["/a:/x\0y"] }, '"/x\\u0000y" contains a NUL'],
    [{ Mounts: [{ Type: "floppy", Target: "/x" }] }, 'invalid mount config for type "floppy": mount type unknown'],
    [
      { Mounts: [{ Type: "volume", Target: "/x", ReadOnly: true }] },
      "must not set ReadOnly mode when using anonymous volumes",
    ],
    [{ Mounts: [{ Type: "volume", Source: "vol" }] }, "field Target must not be empty"],
    [{ Mounts: [{ Type: "tmpfs", Source: "/a", Target: "/x" }] }, "field Source must not be specified"],
    [
      { Mounts: [{ Type: "bind", Source: "/a", Target: "/x", VolumeOptions: { NoCopy: true } }] },
      "field VolumeOptions must not be specified",
    ],
    [{ Mounts: [{ Type: "bind", Source: "/a", Target: "/" }] }, "destination can't be '/'"],
    [
      { Mounts: [{ Type: "bind", Source: "/a", Target: "/x", BindOptions: { Propagation: "sideways" } }] },
      "invalid propagation mode: sideways",
    ],
  ] as [HostConfig, string][])("%j is refused", (host, message) => {
    expect(() => planMounts({}, host)).toThrow(message);
  });
});
