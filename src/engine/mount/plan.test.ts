import { describe, expect, test } from "bun:test";
import type { ContainerConfig, HostConfig, Mount } from "../../api/schema/container-config.ts";
import { planMounts } from "./plan.ts";

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
    expect(planMounts(config, host)[0]).toMatchObject({ options: "size=1024,mode=1770" });
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
