import { expect, test } from "bun:test";
import { capabilitiesOf, capabilityMask, capabilityMasks } from "../../ffi/capability.ts";
import { unknownCapabilities, warnOfUnknownCapabilities } from "./capabilities.ts";

test("capabilities that the kernel lacks, or nobody knows, are told once", () => {
  const unknown = unknownCapabilities(
    {
      bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE"],
      effective: ["CAP_KILL", "CAP_X"],
      ambient: ["KILL", "CAP_X"],
    },
    39,
  );
  expect(unknown).toEqual(["CAP_CHECKPOINT_RESTORE", "CAP_X", "KILL"]);
  const warnings: string[] = [];
  warnOfUnknownCapabilities({ bounding: ["CAP_CHOWN", "CAP_NOPE"] }, (message) => warnings.push(message));
  warnOfUnknownCapabilities({ bounding: ["CAP_CHOWN"] }, (message) => warnings.push(message));
  expect(warnings).toEqual(["ignoring unknown or unavailable capabilities: [CAP_NOPE]"]);
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
