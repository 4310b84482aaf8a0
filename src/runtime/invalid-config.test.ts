/** Configurations that are wrong in one place: the error says which, or nothing was wrong with them after all. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { isEngineError } from "../core/errors.ts";
import { formatExactJson } from "../core/exact-json.ts";
import { readBundle } from "./bundle.ts";
import { explainBundle } from "./explain.ts";
import { arbitraryConfig } from "./testing/arbitrary-config.ts";
import { formatPath, type Mutation, mutationOf } from "./testing/mutation.ts";
import { forAll } from "./testing/rounds.ts";

setDefaultTimeout(600_000);

let bundle: string;
beforeAll(() => {
  bundle = mkdtempSync("/var/tmp/tsd-invalid-");
  mkdirSync(join(bundle, "rootfs"));
});
afterAll(() => rmSync(bundle, { recursive: true }));

/** What `run` and `explain` do with a bundle before anything is made. @returns the error's message, or undefined. */
function refusal(json: string | Uint8Array): string | undefined {
  writeFileSync(join(bundle, "config.json"), json);
  const options = {
    start: "now",
    noPivot: false,
    noNewKeyring: false,
    preserveFds: 0,
    showEnvironment: false,
  } as const;
  try {
    explainBundle(readBundle(bundle), { format: "json", ...options });
    return undefined;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    return error.message.replace(`${bundle}/config.json: `, "");
  }
}

/** Fields of which each says something about the other: the message may name either. */
const related: readonly RegExp[] = [
  /^(hostname|domainname|linux\.(namespaces|sysctl|[ug]idMappings|timeOffsets)|mounts\[\d+\]\.type)/,
  /^(root|invalid rootfs)/,
  /^linux\.seccomp/,
];

/** Whether a message names the place of a mutation, what holds it, or what stands beside it. */
function names(message: string, path: readonly (string | number)[]): boolean {
  const field = formatPath(path);
  const [named = ""] = message.split(/: /);
  if (related.some((fields) => fields.test(field) && fields.test(named))) return true;
  const [mount] = /^mounts\[\d+\]/.exec(field) ?? [];
  if (mount !== undefined && holds(mount, named)) return true;
  const beside = formatPath(path.slice(0, -1));
  return named === field || holds(named, field) || holds(field, named) || (beside !== "" && holds(beside, named));
}

function holds(outer: string, inner: string): boolean {
  return inner === outer || (inner.startsWith(outer) && /^[.[]/.test(inner.slice(outer.length)));
}

const mutated = arbitraryConfig
  .map((config) => ({ ...config, root: { path: "rootfs" } }))
  .chain((config) => mutationOf(config));

describe("a configuration that is wrong in one place", () => {
  test("is refused by the path of the field, or is not wrong", () => {
    let refused = 0;
    forAll(mutated, 200, ({ path, json }: Mutation) => {
      const message = refusal(json);
      if (message === undefined) return;
      refused++;
      if (!names(message, path)) throw new Error(`${formatPath(path)} is wrong, and the message is: ${message}`);
    });
    expect(refused).toBeGreaterThan(30);
  });
});

describe("a config.json that is damaged", () => {
  const texts = arbitraryConfig.map((config) => formatExactJson({ ...config, root: { path: "rootfs" } }));

  test("by its end missing is refused as no JSON", () => {
    forAll(fc.tuple(texts, fc.double({ min: 0, max: 0.999, noNaN: true })), 30, ([json, part]) => {
      const cut = Buffer.from(json).subarray(0, Math.floor(Buffer.byteLength(json) * part));
      expect(refusal(cut)).toStartWith("not JSON: ");
    });
  });

  test("by any byte is refused, or is another configuration", () => {
    forAll(fc.tuple(texts, fc.nat(), fc.nat(255)), 60, ([json, position, byte]) => {
      const bytes = Buffer.from(json);
      bytes[position % bytes.length] = byte;
      expect(refusal(bytes)).not.toBe("");
    });
  });

  const process = '"process":{"cwd":"/","args":["a"]}';
  const linux = '"linux":{"namespaces":[{"type":"mount"}]}';
  const whole = (more: string) => `{"ociVersion":"1.0.2",${process},${linux},"root":{"path":"rootfs"}${more}}`;
  const cases: [name: string, json: string | Uint8Array, message: RegExp | undefined][] = [
    ["nothing", "", /^not JSON: /],
    ["a byte order mark", `\ufeff${whole("")}`, /^not JSON: /],
    ["UTF-16", Buffer.from(`\ufeff${whole("")}`, "utf16le"), /^not JSON: /],
    ["two values", `${whole("")} {}`, /^not JSON: /],
    ["a comment", `${whole("")} // x`, /^not JSON: /],
    ["a list", "[]", /^expected Object, found Array$/],
    ["a text", '"config"', /^expected Object, found "config"$/],
    ["null", "null", /^missing$/],
    ["NaN", whole(',"hooks":NaN'), /^not JSON: /],
    ["a key twice, of which the last counts", whole(',"ociVersion":"2.0.0"'), /^ociVersion: /],
    ["a deep unknown field", whole(`,"x":${"[".repeat(100_000)}${"]".repeat(100_000)}`), undefined],
    [
      "a deep field",
      whole(`,"mounts":${"[".repeat(100_000)}${"]".repeat(100_000)}`),
      /^mounts\[0\]: expected Object, found Array$/,
    ],
    ["a prototype", whole(',"__proto__":{"hooks":{"prestart":1}},"constructor":1,"hasOwnProperty":2'), undefined],
    [
      "bytes that are no UTF-8",
      Buffer.concat([Buffer.from(whole(',"x":"')).subarray(0, -1), Buffer.from([0xff]), Buffer.from('"}')]),
      undefined,
    ],
    [
      "a number that no double holds",
      whole(',"hooks":{"prestart":[{"path":"/a","timeout":123456789012345678901234567890}]}'),
      /^hooks\.prestart\[0\]\.timeout: /,
    ],
    [
      "an infinite number",
      whole(',"hooks":{"prestart":[{"path":"/a","timeout":1e999}]}'),
      /^hooks\.prestart\[0\]\.timeout: /,
    ],
  ];
  for (const [name, json, message] of cases) {
    test(`as ${name} is ${message === undefined ? "borne" : "refused"}`, () => {
      const said = refusal(json);
      if (message === undefined) expect(said).toBeUndefined();
      else expect(said).toMatch(message);
    });
  }
});
