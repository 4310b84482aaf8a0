import { describe, expect, test } from "bun:test";
import { PlanBuilder } from "../../../ffi/plan/builder.ts";
import { formatCall } from "../../../ffi/plan/format.ts";
import { detachedOverlay, mountOverlay } from "./overlay.ts";

const overlay = { lower: ["/s/1/fs", "/s/2:x/fs"], upper: "/s/3,y/fs", work: "/s/3,y/work" };

function calls(add: (plan: PlanBuilder) => void): string[] {
  const plan = new PlanBuilder();
  add(plan);
  return plan.build().records.map((record) => formatCall(record));
}

describe("an overlay", () => {
  test("takes its layers one by one where the kernel can", () => {
    const texts = calls((plan) => mountOverlay(plan, overlay, "/r", () => plan.call("getpid", []), true));
    const parameters = texts.filter((text) => text.startsWith("fsconfig(")).slice(1, -1);
    expect(parameters.map((text) => /"(\S+)", "(.*)", 0\)$/.exec(text)?.slice(1))).toEqual([
      ["lowerdir+", "/s/1/fs"],
      ["lowerdir+", "/s/2:x/fs"],
      ["upperdir", "/s/3,y/fs"],
      ["workdir", "/s/3,y/work"],
      ["redirect_dir", "off"],
      ["metacopy", "off"],
    ]);
    expect(texts).toContain("getpid()");
  });

  test("has all layers in one page of options on older kernels, relative to what they share", () => {
    const texts = calls((plan) => mountOverlay(plan, overlay, "/r", () => undefined, false));
    expect(texts.slice(0, 2)).toEqual([
      'chdir("/s/")',
      'mount("overlay", "/r", "overlay", 0, "lowerdir=1/fs:2\\\\:x/fs,upperdir=3\\\\,y/fs,workdir=3\\\\,y/work,redirect_dir=off,metacopy=off")',
    ]);
    const many = { lower: Array.from({ length: 300 }, (_, index) => `/s/${index}/a-long-name-of-a-layer`) };
    expect(() => calls((plan) => mountOverlay(plan, many, "/r", () => undefined, false))).toThrow(
      "root.path: the overlay's 300 layers do not fit into one page of options",
    );
  });

  test("that is attached later has one short parameter there, or is refused", () => {
    const texts = calls((plan) => detachedOverlay(plan, overlay, "/r", false));
    expect(texts).toContain('fsconfig($1, FSCONFIG_SET_STRING, "lowerdir", "1/fs:2\\\\:x/fs", 0)');
    const many = { lower: Array.from({ length: 60 }, (_, index) => `/s/${index}/fs`) };
    expect(() => calls((plan) => detachedOverlay(plan, many, "/r", false))).toThrow("need Linux 6.8 or newer");
  });
});
