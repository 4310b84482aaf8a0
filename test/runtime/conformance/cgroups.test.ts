/** Where a container's cgroup is, and what exec joins. The controllers themselves are other files' subject. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { OciRuntime } from "../../harness/oci-runtime.ts";
import { isTsd, needs } from "../../harness/runtime-under-test.ts";

let runtime: OciRuntime;
beforeAll(async () => {
  runtime = await OciRuntime.open();
}, 120_000);
afterAll(() => runtime?.[Symbol.asyncDispose]());

describe("exec --cgroup", () => {
  needs("cgroup v1", "runc >= 1.2")("puts the command below the container's cgroup, of one controller", async () => {
    await using container = await runtime.running();
    const [pids] = runtime.cgroups(container.id).filter((path) => path.includes("/pids/"));
    mkdirSync(join(pids!, "below"));
    try {
      const { stdout } = await runtime.exec(container.id, ["cat", "/proc/self/cgroup"], ["--cgroup", "pids:below"]);
      expect(stdout).toMatch(new RegExp(`:pids:.*/${container.id}/below\n`));
      expect(stdout).toMatch(new RegExp(`:memory:.*/${container.id}\n`));
    } finally {
      rmdirSync(join(pids!, "below"));
    }
  });

  needs("cgroup v2")("puts the command below the container's cgroup", async () => {
    await using container = await runtime.running();
    const [directory] = runtime.cgroups(container.id);
    mkdirSync(join(directory!, "below"));
    try {
      const { stdout } = await runtime.exec(container.id, ["cat", "/proc/self/cgroup"], ["--cgroup", "below"]);
      expect(stdout).toBe("0::/below\n");
    } finally {
      rmdirSync(join(directory!, "below"));
    }
  });

  test("that is not there, or leads out, is refused", async () => {
    await using container = await runtime.running();
    for (const path of ["nosuch", "../../.."]) {
      const result = await runtime.fails("exec", "--cgroup", path, container.id, "true");
      expect(result.status).toBe(255);
      expect(result.message).toMatch(/cgroup/);
    }
  });
});

needs("cgroup v1")("without a cgroupsPath the cgroup has the container's name, below the caller's own", async () => {
  await using container = await runtime.running(["sleep", "1000"], (config) => {
    delete config.linux.cgroupsPath;
  });
  const { pid } = await runtime.state(container.id);
  const [own, theirs] = ["self", pid].map((process) => {
    const lines = readFileSync(`/proc/${process}/cgroup`, "utf8").trim().split("\n");
    return lines.map((line) => line.split(":")).filter(([number]) => number !== "0");
  });
  const paths = own!.map(([, , path]) => path!);
  // tsd has one path for all hierarchies, below what the caller's own have in common.
  const isOne = new Set(paths).size === 1;
  const expected = own!.map(([number, names, path]) => [
    number,
    names,
    isTsd && !isOne ? expect.stringMatching(new RegExp(`/${container.id}$`)) : join(path!, container.id),
  ]);
  expect(theirs as unknown).toEqual(expected);
});

needs("cgroup v2")("without a cgroupsPath the cgroup has the container's name, beside the caller's own", async () => {
  await using container = await runtime.running(["sleep", "1000"], (config) => {
    delete config.linux.cgroupsPath;
  });
  const { pid } = await runtime.state(container.id);
  const own = readFileSync("/proc/self/cgroup", "utf8").trim().slice("0::".length);
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toBe(`0::${join(dirname(own), container.id)}\n`);
});
