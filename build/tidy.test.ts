/**
 * Holds the shape of the tree: which layer may import which, what is banned and what to use instead, how long
 * files and functions may be. A rule that has to be broken is broken here, with the reason, for all to see.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dir, "..");
const fileLinesMax = 500;

/** What each layer may import, beside itself and packages. `api/schema` is the Engine API's JSON and nothing more. */
const layers: Record<string, string[]> = {
  ffi: [],
  "src/core": [],
  "src/oci": ["src/core"],
  "src/tar": ["src/core", "ffi"],
  "src/api/schema": ["src/core", "src/oci"],
  "src/image": ["src/core", "src/oci", "src/tar", "ffi"],
  "src/bundle": ["src/core", "src/oci", "ffi"],
  "src/network": ["src/core", "src/oci", "ffi"],
  // What plugins of all kinds have in common: how they are found, greeted and asked.
  "src/plugin": ["src/core"],
  "src/volume": ["src/core", "src/oci", "src/plugin", "ffi"],
  "src/quota": ["src/core", "ffi"],
  "src/logging": ["src/core", "src/oci", "ffi"],
  "src/runtime": ["src/core", "src/oci", "ffi"],
  "src/shim": ["src/core", "src/oci", "ffi", "src/runtime", "src/logging"],
  "src/engine": [
    "src/core",
    "src/oci",
    "ffi",
    "src/image",
    "src/bundle",
    "src/network",
    "src/volume",
    "src/logging",
    "src/runtime",
    "src/shim",
    "src/api/schema",
  ],
  "src/api": ["src/core", "src/oci", "src/api/schema"],
  "src/client": ["src/core", "src/api/schema"],
  "src/cli": ["src/core", "src/oci", "src/tar", "ffi", "src/client", "src/api/schema"],
  // The report reads the cgroups that the runtime made.
  "src/report": ["src/core", "ffi", "src/runtime"],
  "src/daemon": [
    "src/core",
    "src/oci",
    "ffi",
    "src/engine",
    "src/api",
    "src/api/schema",
    "src/image",
    "src/bundle",
    "src/network",
    "src/volume",
    "src/plugin",
    "src/quota",
    "src/logging",
    "src/runtime",
    "src/shim",
  ],
  "src/main.ts": [
    "ffi",
    "src/core",
    "src/cli",
    "src/daemon",
    "src/shim",
    "src/runtime",
    "src/image",
    "src/network",
    "src/report",
  ],
  build: ["ffi", "src/core", "test"],
  test: ["src/core", "src/oci", "src/tar", "ffi", "build", "src/client", "src/api/schema"],
};

const bans: { pattern: RegExp; instead: string; allowed?: RegExp }[] = [
  { pattern: /from "bun:ffi"/, instead: "a function of ffi/", allowed: /^ffi\// },
  {
    pattern: /\bprocess\.exit\(/,
    instead: "a status returned to src/main.ts",
    allowed: /^(src\/main\.ts|build\/|test\/)/,
  },
  { pattern: /@ts-ignore|@ts-nocheck|\bas any\b/, instead: "a type" },
  { pattern: /\bTODO\b|\bFIXME\b|\bXXX\b/, instead: "an error that says what is not built, or an issue" },
  { pattern: /catch (\(\w+\) )?\{\s*\}/, instead: "handling it, or rethrowing" },
  { pattern: /\bexecSync\(|\bexec\(`/, instead: "an argument vector", allowed: /^(build|test)\// },
  { pattern: /\.only\(/, instead: "running that test by name" },
];

const tops = ["ffi", "src", "build", "test"].filter((top) => existsSync(join(root, top)));
const files = tops.flatMap((top) =>
  (readdirSync(join(root, top), { recursive: true }) as string[])
    .filter((name) => name.endsWith(".ts") && !name.includes("node_modules"))
    .map((name) => join(top, name)),
);
const source = new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")]));

/** Where the command lines start that have to be quick: each loads what it imports statically. */
const quickCommands = [
  "src/main.ts",
  "src/runtime/cli/main.ts",
  ...["create", "delete", "exec", "kill", "pause", "resume", "run", "start", "state"].map(
    (verb) => `src/runtime/cli/${verb}.ts`,
  ),
  "src/cli/main.ts",
  "src/cli/tree.ts",
  "src/cli/context/current.ts",
  "src/client/client.ts",
  "src/cli/run-connection.ts",
  ...["create", "exec", "images", "inspect", "kill", "logs", "ps", "pull", "rm", "run", "start", "stop", "wait"].map(
    (verb) => `src/cli/commands/${verb}.ts`,
  ),
];

/** The longest layer name that the path lies in. */
function layerOf(path: string): string | undefined {
  return Object.keys(layers)
    .filter((layer) => path === layer || path.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function importsOf(file: string): string[] {
  const found = [...source.get(file)!.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)];
  return found.map((match) => normalize(join(dirname(file), match[1]!)));
}

describe("tidy", () => {
  test("every file belongs to a layer, and layers import only what lies below them", () => {
    const wrong: string[] = [];
    for (const file of files) {
      const layer = layerOf(file);
      if (layer === undefined) wrong.push(`${file}: in no layer; add its folder to build/tidy.test.ts`);
      else if (!file.endsWith(".test.ts") || layer === "ffi") {
        for (const target of importsOf(file)) {
          const other = layerOf(target);
          if (target.startsWith("package.json") || other === layer) continue;
          if (other === undefined || !layers[layer]!.includes(other)) wrong.push(`${file} imports ${target}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test("no command that has to be quick loads a module of Node's: each takes 0.5 to 1 ms", () => {
    const wrong: string[] = [];
    const seen = new Set<string>();
    const visit = (file: string, by: string): void => {
      if (seen.has(file) || !source.has(file)) return;
      seen.add(file);
      // Types cost nothing, and what is imported by a call is loaded when it is needed.
      for (const [, clause, target] of source.get(file)!.matchAll(/^(?:import|export)\b([^"]*?)from "([^"]+)"/gms)) {
        if (clause!.trim().startsWith("type ")) continue;
        if (/^(node:|fs$|path$|os$)/.test(target!)) wrong.push(`${file}, imported by ${by}: ${target}; see ffi/fs.ts`);
        else if (target!.startsWith(".")) visit(normalize(join(dirname(file), target!)), file);
      }
    };
    for (const file of quickCommands) visit(file, "nobody");
    expect(wrong).toEqual([]);
  });

  test("nothing banned is used", () => {
    const wrong: string[] = [];
    for (const [file, text] of source) {
      if (file === "build/tidy.test.ts") continue;
      for (const ban of bans) {
        const match = ban.allowed?.test(file) ? null : ban.pattern.exec(text);
        if (match) wrong.push(`${file}: ${match[0]} is banned, use ${ban.instead}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("every source file is used by something that runs", () => {
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const target of importsOf(file)) if (source.has(target)) visit(target);
      // Scripts that are started by their path.
      for (const [, name] of source.get(file)!.matchAll(/"([\w.-]+\.ts)"/g)) {
        for (const other of files)
          if (other.startsWith(`${dirname(file)}/`) && other.endsWith(`/${name}`)) visit(other);
      }
    };
    const scripts = /^build\/|\.(test|soak)\.ts$|^test\/(run|bench\/run)\.ts$/;
    for (const file of files) if (file === "src/main.ts" || scripts.test(file)) visit(file);
    expect(files.filter((file) => !seen.has(file))).toEqual([]);
  });

  test(`files have at most ${fileLinesMax} lines, or say at their top why not`, () => {
    const wrong: string[] = [];
    for (const [file, text] of source) {
      const lines = text.split("\n").length - 1;
      if (lines > fileLinesMax && !text.slice(0, 600).includes("Long because")) wrong.push(`${file}: ${lines} lines`);
    }
    expect(wrong).toEqual([]);
  });
});
