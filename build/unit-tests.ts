import { readdirSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./pinned.ts";

const others = readdirSync(join(projectRoot, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !["image", "network", "runtime"].includes(entry.name))
  .map(({ name }) => `./src/${name}`);

/** The unit tests' paths in parts of about equal time: many of the tests wait for the kernel more than they compute. */
export const unitTestShards: Readonly<Record<string, string[]>> = {
  "unit tests of the runtime": ["./src/runtime"],
  "unit tests of images": ["./src/image"],
  "unit tests of networks": ["./src/network"],
  "unit tests of the rest": [...others, "./ffi", "./build"],
};
