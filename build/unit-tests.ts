import { readdirSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./pinned.ts";

const files = ["src", "ffi", "build"]
  .flatMap((top) =>
    (readdirSync(join(projectRoot, top), { recursive: true }) as string[]).map((name) => `${top}/${name}`),
  )
  .filter((file) => file.endsWith(".test.ts"))
  .sort();

/** What `bun run check` runs: paths, in parts of about equal time, for many tests wait for the kernel more than they compute. */
export const unitTestShards = inShards(
  files.filter((file) => !isKernelTest(file)),
  [
    ["unit tests of images' registries and archives", ["src/image/registry", "src/image/archive", "src/image/check"]],
    ["unit tests of images", ["src/image"]],
    ["unit tests of the runtime", ["src/runtime"]],
    ["unit tests of networks", ["src/network"]],
    ["unit tests of the engine and shims", ["src/engine", "src/shim"]],
    ["unit tests of the rest", [""]],
  ],
);

/** What only `bun run test` runs. */
export const kernelTestShards = inShards(files.filter(isKernelTest), [
  ["the firewall and ports on the kernel", ["src/network/firewall", "src/network/ports"]],
  ["shims on the kernel", ["src/shim"]],
  ["networks on the kernel", [""]],
]);

/**
 * Whether it makes a host and other machines of network namespaces, or a container in nearly every test: such tests lie
 * beside the source too, and take a third of the processor's time that all of them take.
 */
function isKernelTest(file: string): boolean {
  return file.endsWith(".kernel.test.ts");
}

/** @param shards by the beginnings of their files' paths. Each file is in the first that it belongs to. */
function inShards(
  paths: readonly string[],
  shards: readonly [name: string, beginnings: readonly string[]][],
): Readonly<Record<string, string[]>> {
  const shardOf = (path: string) => shards.find(([, beginnings]) => beginnings.some((each) => path.startsWith(each)))!;
  const byShard = Map.groupBy(paths, (path) => shardOf(path)[0]);
  return Object.fromEntries([...byShard].map(([name, each]) => [name, each.map((path) => `./${path}`)]));
}
