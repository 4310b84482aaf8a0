import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { OciHook, OciState } from "../oci/runtime.ts";
import { runHooks, runHooksToTheEnd } from "./hooks.ts";

// Each starts processes of its own, on a machine that may be busy.
setDefaultTimeout(60_000);

const state: OciState = { ociVersion: "1.0.2", id: "c1", status: "created", pid: 42, bundle: "/var/tmp" };

function shell(script: string, more: Partial<OciHook> = {}): OciHook {
  return { path: "/bin/sh", args: ["hook", "-c", script], ...more };
}

describe("hooks", () => {
  test("run in order with the state on standard input, their own environment, and the bundle as directory", () => {
    const directory = mkdtempSync("/var/tmp/tsd-hooks-");
    const file = join(directory, "out");
    runHooks(
      "createRuntime",
      [
        shell(`cat > ${file}; echo >> ${file}`),
        shell(`(pwd; echo "$A|$HOME|$0"; grep SigIgn /proc/self/status) >> ${file}`, { env: ["A=b=c"] }),
      ],
      state,
    );
    const [json, where, variables, ignored] = readFileSync(file, "utf8").split("\n");
    expect(JSON.parse(json!)).toEqual(state);
    expect(where).toBe("/var/tmp");
    expect(variables).toBe("b=c||hook");
    expect(ignored).toBe("SigIgn:\t0000000000000000");
    rmSync(directory, { recursive: true });
  });
  test("that fail are named with their status and what they said", () => {
    expect(() => runHooks("prestart", [shell("true"), shell("echo sorry >&2; exit 3")], state)).toThrow(
      "hooks.prestart[1] /bin/sh: exit status 3: sorry",
    );
    expect(() => runHooks("poststart", [shell("kill -9 $$")], state)).toThrow("killed by SIGKILL");
    expect(() => runHooks("poststart", [{ path: "/no/hook" }], state)).toThrow("hooks.poststart[0] /no/hook: ENOENT");
  });
  test("that outlive their timeout are killed", () => {
    const started = performance.now();
    expect(() => runHooks("prestart", [shell("exec sleep 60", { timeout: 1 })], state)).toThrow(
      "not finished after 1 s",
    );
    expect(performance.now() - started).toBeLessThan(10_000);
  });
  test("of the end all run, and their failures are warnings", () => {
    const warnings: string[] = [];
    runHooksToTheEnd("poststop", [shell("exit 1"), shell("exit 2")], state, (message) => warnings.push(message));
    expect(warnings).toEqual(["hooks.poststop[0] /bin/sh: exit status 1", "hooks.poststop[1] /bin/sh: exit status 2"]);
  });
});
