import { describe, expect, test } from "bun:test";
import type { LimitRefusal } from "../../core/directory-limits.ts";
import type { EngineContext } from "../context.ts";
import { storageLimit } from "./storage-limit.ts";

function limit(StorageOpt: Record<string, string> | undefined, containerBytes?: number, refusal?: LimitRefusal) {
  const snapshots = { whyNoLimit: () => refusal };
  const context = { snapshots, configuration: { containerBytes } } as unknown as EngineContext;
  return storageLimit(context, StorageOpt === undefined ? {} : { StorageOpt });
}

describe("what a container may write", () => {
  test("is the daemon's default, unless its own options say another size, or 0 for none", () => {
    expect(limit(undefined)).toBeUndefined();
    expect(limit({}, 5)).toBe(5);
    expect(limit({ size: "1.5g" }, 5)).toBe(1.5 * 2 ** 30);
    expect(limit({ Size: "10" })).toBe(10);
    expect(limit({ size: "0" }, 5)).toBeUndefined();
  });

  test.each([
    [{ size: "wide" }, "--storage-opt size=wide: invalid size: 'wide'"],
    [{ size: "-1" }, "--storage-opt size=-1: invalid size: '-1'"],
    [{ dm: "x" }, "unknown option dm"],
  ])("is not %j", (options, message) => {
    expect(() => limit(options)).toThrow(message);
  });

  test("is refused where the file system limits nothing, whatever it is", () => {
    const refusal = { reason: "/dev/vda (btrfs, mounted on /) has no project quotas", hint: "xfs and ext4 have them" };
    for (const size of ["1g", "wide", "0"]) {
      expect(() => limit({ size }, undefined, refusal)).toThrow(
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option, or ext4 with 'prjquota': /dev/vda (btrfs, mounted on /) has no project quotas",
      );
    }
    expect(limit(undefined, undefined, refusal)).toBeUndefined();
  });
});
