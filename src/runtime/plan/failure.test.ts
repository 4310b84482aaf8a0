import { describe, expect, test } from "bun:test";
import { SyscallError } from "../../../ffi/errno.ts";
import type { PlanFailure } from "../../../ffi/plan/failure.ts";
import type { CompiledPlan } from "./context.ts";
import { planError } from "./failure.ts";

const compiled = { plan: { records: [] } } as unknown as CompiledPlan;

/** As if that call, made for that field of config.json, had been refused with that number. */
function errorOf(why: string, call: string, number: number, object = "it") {
  const error = new SyscallError(call, number, object);
  const failure: PlanFailure = { record: 0, call, errno: error.errno, text: call, what: object, why, error };
  const running = { failure: () => failure, result: () => undefined, memory: () => new Uint8Array() };
  return planError(running, compiled, { args: ["/bin/echo"], cwd: "/" } as never)!;
}

describe("a start that the kernel refuses", () => {
  test.each([
    ["process.cwd", "chdir", 20],
    ["process.rlimits[0]", "prlimit64", 1],
    ['linux.sysctl["net.nosuch"]', "openat2", 2],
    ['linux.sysctl["net.ipv4.ip_forward"]', "write", 22],
    ["mounts[7]", "move_mount", 22],
    ["mounts[7]", "fsconfig", 22],
    ["mounts[6]", "verify", 22],
  ])("for what %s says is whoever asked for it to put right", (why, call, number) => {
    const error = errorOf(why, call, number);
    expect(error).toMatchObject({ code: "invalid_argument", stage: "init", syscall: call, path: "it" });
    expect(error.message).toStartWith(`${why}: ${call} it: `);
  });

  test.each([
    ["process.cwd", "chdir", 5],
    ["mounts[7]", "move_mount", 1],
    ["mounts[7]", "mount_setattr", 22],
    ["linux.namespaces", "unshare", 22],
  ])("elsewhere, as %s at %s, is a defect until it is known better", (why, call, number) => {
    expect(errorOf(why, call, number).code).toBe("internal");
  });

  test("for a full disk or an old kernel says that", () => {
    expect(errorOf("mounts[1]", "fsconfig", 28).code).toBe("no_space");
    expect(errorOf("mounts[1]", "mount_setattr", 38)).toMatchObject({ code: "unsupported", hint: expect.any(String) });
  });

  test("for its arguments' length says what to do", () => {
    const error = errorOf("process.args", "execve", 7);
    expect(error).toMatchObject({ code: "invalid_argument", errno: "E2BIG", hint: expect.stringContaining("less") });
  });
});
