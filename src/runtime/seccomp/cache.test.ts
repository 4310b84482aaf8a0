import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LinuxSeccomp } from "../../oci/runtime.ts";
import { cachedSeccompProgram } from "./cache.ts";
import { compileSeccompProgram } from "./compile.ts";

const directory = mkdtempSync(join(tmpdir(), "tsd-seccomp-"));
afterAll(() => rmSync(directory, { recursive: true }));

const profile = (names: string[]): LinuxSeccomp => ({
  defaultAction: "SCMP_ACT_ERRNO",
  syscalls: [{ names, action: "SCMP_ACT_ALLOW" }],
});

test("a cached program is the compiled one, and another profile's is another", () => {
  const kept = join(directory, "kept");
  for (const names of [["read"], ["write", "no_such_call"], ["read"]]) {
    expect(cachedSeccompProgram(profile(names), kept)).toEqual(compileSeccompProgram(profile(names)));
  }
  expect(readdirSync(kept)).toHaveLength(2);
});

test("what is in the cache is used, and a damaged file is compiled anew", () => {
  const kept = join(directory, "damaged");
  const program = cachedSeccompProgram(profile(["read"]), kept);
  const path = join(kept, readdirSync(kept)[0]!);
  const text = readFileSync(path);
  text.writeUInt32LE(0x12345678, text.length - 4);
  writeFileSync(path, text);
  expect(Buffer.from(cachedSeccompProgram(profile(["read"]), kept).bytes).readUInt32LE(program.bytes.length - 4)).toBe(
    0x12345678,
  );
  writeFileSync(path, "");
  expect(cachedSeccompProgram(profile(["read"]), kept)).toEqual(program);
});

test("a cache that cannot be written changes nothing", () => {
  const file = join(directory, "file");
  writeFileSync(file, "");
  expect(cachedSeccompProgram(profile(["read"]), join(file, "below"))).toEqual(
    compileSeccompProgram(profile(["read"])),
  );
});

test("a profile with numbers beyond JSON is compiled without the cache", () => {
  const large: LinuxSeccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [
      { names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, op: "SCMP_CMP_EQ", value: 2n ** 63n }] },
    ],
  };
  expect(cachedSeccompProgram(large, join(directory, "none"))).toEqual(compileSeccompProgram(large));
});
