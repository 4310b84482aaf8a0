import { describe, expect, test } from "bun:test";
import { isEngineError } from "../core/errors.ts";
import { parseProcess, parseRuntimeConfig, parseState } from "./runtime.ts";

function refusal(config: unknown): string {
  const json = typeof config === "string" ? config : JSON.stringify(config);
  try {
    parseRuntimeConfig(json, "/b/config.json");
  } catch (error) {
    if (isEngineError(error, "invalid_argument")) return error.message;
    throw error;
  }
  return "accepted";
}
const withProcess = (process: object) => ({ ociVersion: "1.2.0", process: { cwd: "/", ...process } });

describe("config.json", () => {
  test("of the smallest kind is accepted, and unknown properties are kept", () => {
    const config = parseRuntimeConfig('{"ociVersion":"1.0.2-dev","vendor":{"x":1}}', "c");
    expect(config).toEqual({ ociVersion: "1.0.2-dev", vendor: { x: 1 } } as never);
  });

  test("null lists of Go's encoder are absent", () => {
    const config = parseRuntimeConfig('{"ociVersion":"1.0.2","mounts":null,"linux":{"devices":null}}', "c");
    expect(config).toEqual({ ociVersion: "1.0.2", linux: {} });
  });

  test("64-bit integers are exact where they are limits or masks, and rounded where they are quantities", () => {
    const limit = '{"type":"RLIMIT_CORE","soft":9007199254740993,"hard":18446744073709551615}';
    const memory = '{"limit":9223372036854771712}';
    const json = `{"ociVersion":"1.0.2","process":{"cwd":"/","rlimits":[${limit}]},"linux":{"resources":{"memory":${memory}}}}`;
    const config = parseRuntimeConfig(json, "c");
    expect(config.process?.rlimits?.[0]).toEqual({
      type: "RLIMIT_CORE",
      soft: 9007199254740993n,
      hard: 18446744073709551615n,
    });
    expect(config.linux?.resources?.memory?.limit).toBe(2 ** 63 - 4096);
  });

  test("errors give the file, the path of the field and what is wrong", () => {
    const cases: [unknown, string][] = [
      ["{", "/b/config.json: not JSON: "],
      [{}, "/b/config.json: ociVersion: missing"],
      [{ ociVersion: "2.0.0" }, '/b/config.json: ociVersion: "2.0.0" is not a version of the 1.x specification'],
      [{ ociVersion: "1.0.0", process: {} }, "/b/config.json: process.cwd: missing"],
      [{ ociVersion: "1.0.0", root: {} }, "/b/config.json: root.path: missing"],
      [withProcess({ cwd: "tmp" }), '/b/config.json: process.cwd: "tmp" is not an absolute path'],
      [withProcess({ args: "sh" }), '/b/config.json: process.args: expected Array, found "sh"'],
      [withProcess({ args: ["sh", 1] }), "/b/config.json: process.args[1]: expected string, found 1"],
      [withProcess({ rlimits: [{ type: "RLIMIT_X", soft: 1, hard: 1 }] }), "/b/config.json: process.rlimits[0].type: "],
      [
        withProcess({ rlimits: [{ type: "RLIMIT_CPU", soft: 2, hard: 1 }] }),
        "/b/config.json: process.rlimits[0].soft: above the hard limit",
      ],
      [withProcess({ user: { uid: -1 } }), "/b/config.json: process.user.uid: expected >=0, found -1"],
      [withProcess({ oomScoreAdj: 1.5 }), "/b/config.json: process.oomScoreAdj: "],
      [
        { ociVersion: "1.0.0", linux: { namespaces: [{ type: "pid" }, { type: "pid" }] } },
        "/b/config.json: linux.namespaces: a type is given twice",
      ],
      [
        { ociVersion: "1.0.0", linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [] }] } } },
        "/b/config.json: linux.seccomp.syscalls[0]",
      ],
    ];
    for (const [config, message] of cases) expect(refusal(config)).toStartWith(message);
  });
});

describe("process.json and state", () => {
  test("are checked by themselves", () => {
    expect(parseProcess('{"cwd":"/","args":["id"]}', "p").args).toEqual(["id"]);
    expect(() => parseProcess('{"args":["id"]}', "p")).toThrow("p: cwd: missing");
    const state = '{"ociVersion":"1.3.0","id":"x","status":"created","pid":7,"bundle":"/b"}';
    expect(parseState(state, "s").status).toBe("created");
    expect(() => parseState(state.replace("created", "asleep"), "s")).toThrow("s: status: ");
  });
});
