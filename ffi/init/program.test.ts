import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initProgram } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "tsd-init-"));
const init = join(directory, "init");
writeFileSync(init, initProgram(), { mode: 0o755 });
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function run(command: string[], env: Record<string, string> = { PATH: process.env.PATH! }) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([init, ...command], { env });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe("the init program", () => {
  test("ends with its program's status, 128 + n after a signal", () => {
    expect(run(["--", "sh", "-c", "echo hi; exit 7"])).toEqual({ exitCode: 7, stdout: "hi\n", stderr: "" });
    expect(run(["sh", "-c", "kill -9 $$"]).exitCode).toBe(137);
  });

  test("looks along PATH, and says what it did not find or may not execute", () => {
    expect(run(["sh", "-c", "exit 3"], {}).exitCode).toBe(3);
    expect(run(["no-such-program"])).toMatchObject({
      exitCode: 127,
      stderr: "tsd-init: cannot execute no-such-program: not found\n",
    });
    expect(run(["/etc/passwd"])).toMatchObject({ exitCode: 126 });
    expect(run(["ls"], { PATH: "/no/such/directory" }).exitCode).toBe(127);
    expect(run([])).toMatchObject({ exitCode: 125, stderr: "tsd-init: no command\n" });
  });

  test("hands signals on, real-time ones too, and leaves the program's own mask as it was", async () => {
    for (const [signal, number] of [
      ["TERM", 15],
      ["RTMIN+3", 37],
    ] as const) {
      const child = Bun.spawn(
        [init, "--", "bash", "-c", `trap 'exit 42' ${signal}; echo ready; while :; do sleep 0.01; done`],
        {
          stdout: "pipe",
        },
      );
      await child.stdout.getReader().read();
      // Bun's own kill knows no real-time signals.
      expect(Bun.spawnSync(["kill", `-${number}`, String(child.pid)]).success).toBe(true);
      expect(await child.exited).toBe(42);
    }
    const { stdout } = run(["grep", "SigBlk", "/proc/self/status"]);
    expect(stdout.trim()).toMatch(/0000000000000000$/);
  });

  test.skipIf(process.getuid?.() !== 0)("reaps orphans, as process 1 must", () => {
    const script = "(sh -c 'exit 0' & exec sleep 0.05) & sleep 0.2; cat /proc/*/stat 2>/dev/null | grep -c ' Z '";
    const unshare = Bun.spawnSync(["unshare", "--pid", "--fork", "--mount-proc", init, "--", "sh", "-c", script]);
    expect(unshare.stdout.toString()).toBe("0\n");
  });
});
