/**
 * Processes of tsd's that a container can see while they are set up. A container with CAP_SYS_PTRACE may look at all
 * that they have open and at their memory (CVE-2016-9962): nothing of the host's may be there to be found.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { until } from "../../harness/command.ts";
import { LiveCommand } from "../../harness/live.ts";
import { spy } from "./attacker.ts";
import { allow } from "./config.ts";
import { Scene, secret } from "./scene.ts";

let scene: Scene;
/** A file of the host's, outside of every root. */
let secretPath: string;

beforeAll(async () => {
  scene = await Scene.open();
  secretPath = scene.path("secret");
  writeFileSync(secretPath, secret);
}, 60_000);

afterAll(() => scene?.[Symbol.asyncDispose]());

const readThroughDescriptors = `for fd in /proc/1/fd/*; do
  echo "$fd $(readlink $fd)"
  cat $fd/1/root${"$1"} $fd/$1 $fd/../$1 $fd/../../$1 2>/dev/null
done; true`;

describe("a container that waits for its start", () => {
  test("shows an exec with CAP_SYS_PTRACE no way to the host's files", async () => {
    await using created = await scene.running(
      ["sleep", "1000"],
      (config) => allow(config, "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"),
      undefined,
      ["create"],
    );
    const words = ["--", "sh", "-c", readThroughDescriptors, "sh", secretPath];
    const { stdout } = await scene.exec(created.id, words);
    expect(stdout).toContain("/proc/1/fd/0 ");
    expect(stdout).not.toContain(secret);
  });
});

/** Runs execs until the spy has come upon 20 of them while they were set up. @returns what it has found. */
async function spyOn(mode: "read" | "write", target: number, flags: string[] = []): Promise<string[]> {
  await using container = await scene.running(spy(secret, secretPath, mode, target), (config) =>
    allow(config, "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"),
  );
  await until("the spy is ready", () => container.output().includes("ready"));
  const sign = mode === "read" ? /^exe .memfd/gm : /^wrote/gm;
  const met = () => container.output().match(sign)?.length ?? 0;
  for (let round = 0; round < 30 && met() < 20; round++) {
    // What is in the environment of tsd itself is in its memory too.
    await scene.exec(container.id, [...flags, "--", "true"], { env: { TSD_TEST_SECRET: secret } });
  }
  return container.output().trim().split("\n");
}

describe("a container with CAP_SYS_PTRACE that waits for an exec", () => {
  /** With flags for security modules the process has something to write to /proc before it becomes the program. */
  test.each([[[]], [["--apparmor", "no-such-profile"]], [["--process-label", "no:such:label"]]])(
    "finds nothing of the host's in its memory, its environment or its descriptors, with flags %j",
    async (flags) => {
      const found = await spyOn("read", 0, flags);
      expect(found).not.toContainEqual(expect.stringMatching(/^secret/));
      const allowed = /^(ready|exe (.memfd:tsd-init .deleted.|.bin.busybox)( \d+)?|fd (.dev.null|socket:.*|pipe:.*))$/;
      expect(found.filter((line) => !allowed.test(line))).toEqual([]);
      // Where the kernel has no such security module the exec has failed before it came to the container.
      if (flags.length === 0) expect(found).toContainEqual(expect.stringMatching(/^exe .memfd:tsd-init/));
    },
  );

  test("cannot by writing to its memory have tsd take another process for it, and kill that", async () => {
    await using bystander = new LiveCommand(["sleep", "1000"]);
    const found = await spyOn("write", bystander.pid);
    expect(found).toContainEqual(expect.stringMatching(/^wrote/));
    expect(readFileSync(`/proc/${bystander.pid}/status`, "utf8")).toContain("State:\tS");
  });
});
