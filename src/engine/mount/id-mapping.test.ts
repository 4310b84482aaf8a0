import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostConfig, Mount } from "../../api/schema/container-config.ts";
import type { BundleUser } from "../../bundle/input.ts";
import { EngineError } from "../../core/errors.ts";
import { bundleIdMapping, idMapping } from "./id-mapping.ts";
import { planMounts } from "./plan.ts";

const invalid = (reason: string) => new EngineError("invalid_argument", reason);
const user = (uid: number, gid: number): BundleUser => ({ uid, gid, additionalGids: [gid], home: "/" });
const mapping = [{ containerID: 0, hostID: 100_000, size: 1000 }];
const userNamespace = { uids: mapping, gids: mapping };

let source: string;
beforeAll(() => {
  source = mkdtempSync(join(tmpdir(), "tsd-id-mapping-"));
  if (process.getuid?.() === 0) chownSync(source, 1234, 1235);
});
afterAll(() => rmSync(source, { recursive: true }));

describe("BindOptions.IDMapping", () => {
  test("says whose the files are, or nothing", () => {
    expect(idMapping(undefined, invalid)).toEqual({});
    expect(idMapping({}, invalid)).toEqual({});
    expect(idMapping({ Source: "match-user" }, invalid)).toEqual({ idMapping: { kind: "match-user" } });
    const other = idMapping({ Source: "match-user", User: "web" }, invalid);
    expect(other).toEqual({ idMapping: { kind: "match-user", user: "web" } });
    expect(idMapping({ Source: "userns" }, invalid)).toEqual({ idMapping: { kind: "container" } });
  });

  test("is refused where it makes no sense", () => {
    expect(() => idMapping({ Source: "other" }, invalid)).toThrow('Source "other" is unknown');
    expect(() => idMapping({ User: "web" }, invalid)).toThrow('Source "" is unknown');
    expect(() => idMapping({ Source: "userns", User: "web" }, invalid)).toThrow("User is for match-user only");
  });

  test("comes with the mounts of a request, as does idmap of the short syntax", () => {
    const Mounts: Mount[] = [
      { Type: "bind", Source: "/a", Target: "/b", BindOptions: { IDMapping: { Source: "userns" } } },
    ];
    const surroundings = { root: "/root", mountsOf: () => [] };
    const plan = (host: HostConfig) => planMounts({}, host, surroundings);
    const planned = plan({ Mounts, Binds: ["/c:/d:ro,idmap", "volume:/e:idmap", "/f:/g"] });
    expect(planned.map((mount) => ("idMapping" in mount ? mount.idMapping?.kind : undefined))).toEqual([
      "container",
      "either",
      "either",
      undefined,
    ]);
    expect(() => plan({ Binds: ["/c:/d:idmap,idmap"] })).toThrow("invalid mode: idmap,idmap");
  });

  test("is refused with another runtime, which may pass it over in silence", () => {
    const [from] = [{ Type: "bind", Source: "/a", Destination: "/b", Mode: "", RW: true, Propagation: "" } as const];
    const surroundings = { root: "/root", mountsOf: () => [{ ...from, idMapping: { kind: "either" } as const }] };
    const plan = (host: HostConfig) => planMounts({}, { Runtime: "runc", ...host }, surroundings);
    const reason = "IDMapping with the runtime runc is not built";
    expect(() => plan({ Binds: ["/c:/d:idmap"] })).toThrow(`mount /d: ${reason}`);
    expect(() => plan({ Binds: ["volume:/d:idmap"] })).toThrow(`mount /d: ${reason}`);
    expect(() => plan({ VolumesFrom: ["other"] })).toThrow(`mount /b: ${reason}`);
    expect(plan({ Binds: ["/c:/d"] })).toHaveLength(1);
    expect(plan({ Runtime: "tsd", Binds: ["/c:/d:idmap"] })).toHaveLength(1);
  });
});

describe.skipIf(process.getuid?.() !== 0)("what config.json says of a mount's owners", () => {
  const at = { source: "", destination: "/to" };
  const lookupUser = () => user(7, 8);

  test("is the container's user namespace", () => {
    const context = { userNamespace, user: user(0, 0), lookupUser };
    expect(bundleIdMapping({ kind: "container" }, at, context)).toEqual({ idMapping: "container" });
    expect(bundleIdMapping({ kind: "either" }, at, context)).toEqual({ idMapping: "container" });
    expect(() => bundleIdMapping({ kind: "container" }, at, { ...context, userNamespace: undefined })).toThrow(
      'mount /to: IDMapping "userns" needs a container in a user namespace',
    );
  });

  test("or the source's owner as the container's user, or as another one", () => {
    const mount = { source, destination: "/to" };
    const host = { userNamespace: undefined, user: user(5, 6), lookupUser };
    const one = (containerID: number, hostID: number) => [{ containerID, hostID, size: 1 }];
    expect(bundleIdMapping({ kind: "either" }, mount, host)).toEqual({
      idMapping: { uids: one(1234, 5), gids: one(1235, 6) },
    });
    expect(bundleIdMapping({ kind: "match-user", user: "web" }, mount, { ...host, userNamespace })).toEqual({
      idMapping: { uids: one(1234, 100_007), gids: one(1235, 100_008) },
    });
    const beyond = { ...host, userNamespace, user: user(2000, 0) };
    expect(() => bundleIdMapping({ kind: "match-user" }, mount, beyond)).toThrow(
      "mount /to: user 2000:0 is not in the container's user namespace",
    );
  });
});
