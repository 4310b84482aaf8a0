import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveTo } from "./checkpoints.ts";
import type { ShimContainer } from "./protocol.ts";
import type { Reaper } from "./reaper.ts";

test("a checkpoint that fails leaves nothing, nor what a killed shim has left of this container's", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tsd-checkpoints-"));
  try {
    for (const name of ["whole", ".c1.0123456789ab.unfinished", ".c1.ba9876543210.unfinished"]) {
      mkdirSync(join(directory, name));
    }
    const container = { id: "0123456789ab".padEnd(64, "c"), runtimeRoot: join(directory, "none") } as ShimContainer;
    const reaper = { withForeignChildren: (work: () => unknown) => work() } as unknown as Reaper;
    const place = { images: join(directory, "c2"), work: join(directory, "work"), leaveRunning: true };
    await expect(saveTo(place, container, reaper)).rejects.toMatchObject({ code: "not_found" });
    expect(readdirSync(directory).sort()).toEqual([".c1.ba9876543210.unfinished", "whole"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
