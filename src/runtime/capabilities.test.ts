import { expect, test } from "bun:test";
import { capabilitiesOf, capabilityMask, capabilityMasks } from "../../ffi/capability.ts";
import { capabilityMasksOf, kernelCapabilities, lastCapability } from "./capabilities.ts";

test("capability sets become masks, and names that the kernel lacks are told", () => {
  const masks = capabilityMasksOf(
    {
      bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE"],
      effective: ["CAP_KILL"],
      ambient: ["KILL", "CAP_X"],
    },
    39,
  );
  expect(masks).toEqual({
    bounding: 0b100001n,
    effective: 0b100000n,
    inheritable: 0n,
    permitted: 0n,
    ambient: 0n,
    unknown: ["CAP_CHECKPOINT_RESTORE", "KILL", "CAP_X"],
  });
});

test("masks are read by name and back, also those beyond 32 bits and those without a name", () => {
  const names = ["CAP_CHOWN", "CAP_SETFCAP", "CAP_BPF"] as const;
  expect(capabilitiesOf(capabilityMask(names))).toEqual([...names]);
  expect(capabilitiesOf(1n << 60n)).toEqual(["CAP_60"]);
  expect(capabilityMasks("Name:\tx\nCapEff:\t00000000a80425fb\nCapBnd:\t0000000000000001\n")).toEqual({
    CapEff: 0xa80425fbn,
    CapBnd: 1n,
  });
});

test("this kernel's capabilities begin with CAP_CHOWN", () => {
  expect(lastCapability()).toBeGreaterThan(20);
  expect(kernelCapabilities()[0]).toBe("CAP_CHOWN");
});
