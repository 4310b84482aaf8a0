import { describe, expect, test } from "bun:test";
import type { OciProcess } from "../../oci/runtime.ts";
import { execFlags, execProcess } from "./exec-process.ts";
import { parseFlags } from "./flags.ts";

const own: OciProcess = {
  cwd: "/work",
  args: ["sleep"],
  terminal: true,
  consoleSize: { height: 1, width: 2 },
  env: ["A=1"],
  user: { uid: 10, gid: 20, additionalGids: [30], username: "x" },
  capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"], ambient: [] },
  rlimits: [{ type: "RLIMIT_CORE", soft: 0, hard: 0 }],
};

function build(...words: string[]): OciProcess {
  const { flags, positional } = parseFlags(execFlags, [...words, "sh", "-c", "x"], { interspersed: false });
  return execProcess(own, positional, flags);
}

describe("a process to exec", () => {
  test("is the container's own with another command and no terminal", () => {
    const { consoleSize: _, ...rest } = own;
    expect(build()).toEqual({ ...rest, args: ["sh", "-c", "x"], terminal: false });
  });
  test("changes as the flags say", () => {
    expect(build("-t", "--cwd", "/tmp", "-e", "B=2", "--no-new-privs", "--apparmor", "p", "-g", "40")).toMatchObject({
      terminal: true,
      cwd: "/tmp",
      env: ["A=1", "B=2"],
      noNewPrivileges: true,
      apparmorProfile: "p",
      user: { uid: 10, gid: 20, additionalGids: [30, 40] },
    });
  });
  test("gets capabilities that no unprivileged program of the container inherits", () => {
    expect(build("--cap", "CAP_SYS_ADMIN").capabilities).toEqual({
      bounding: ["CAP_KILL", "CAP_SYS_ADMIN"],
      effective: ["CAP_KILL", "CAP_SYS_ADMIN"],
      permitted: ["CAP_KILL", "CAP_SYS_ADMIN"],
      ambient: [],
    });
  });
  test("runs as the user that was named, and as nobody when the name is not two numbers (CVE-2026-30892)", () => {
    expect(build("-u", "5").user).toEqual({ uid: 5, gid: 20, additionalGids: [30] });
    expect(build("-u", "5:6").user).toEqual({ uid: 5, gid: 6, additionalGids: [30] });
    for (const bad of ["", "root", "5:", ":5", "5:x", "5x", "-1", " 5", "5:6:7", "4294967296", "0x5", "1e3"]) {
      expect(() => build(`--user=${bad}`)).toThrow("not of the form <uid>[:<gid>]");
    }
    expect(() => build("-g", "-1")).toThrow("not a group id");
  });
  test("starts in an absolute directory", () => {
    expect(() => build("--cwd", "tmp")).toThrow("must be an absolute path");
  });
});
