import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { capabilitiesOf, capabilityMasks, withoutCapability } from "./capability.ts";
import type { CapabilityName } from "./constants/capability.ts";

const mine = () => capabilitiesOf(capabilityMasks(readFileSync("/proc/self/status", "utf8")).CapEff!);

test.skipIf(process.getuid?.() !== 0)("a capability is done without for a while, and by nobody who is started", () => {
  const before = mine();
  // From both of the words that the kernel has for them.
  for (const name of [before[0], before.at(-1)] as CapabilityName[]) {
    {
      using _without = withoutCapability(name);
      expect(mine()).toEqual(before.filter((each) => each !== name));
      const { stdout } = Bun.spawnSync(["cat", "/proc/self/status"]);
      expect(capabilitiesOf(capabilityMasks(stdout.toString()).CapEff!)).toEqual(before);
    }
    expect(mine()).toEqual(before);
  }
});
