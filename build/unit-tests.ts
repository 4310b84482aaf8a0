import { readdirSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./pinned.ts";

const networkDirectories = readdirSync(join(projectRoot, "src/network"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !["driver", "firewall"].includes(entry.name))
  .map(({ name }) => `./src/network/${name}`);
const networkFiles = readdirSync(join(projectRoot, "src/network"))
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => `./src/network/${name}`);

const others = readdirSync(join(projectRoot, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !["image", "network", "runtime"].includes(entry.name))
  .map(({ name }) => `./src/${name}`);

/** The unit tests' paths in parts of about equal time: many of the tests wait for the kernel more than they compute. */
export const unitTestShards: Readonly<Record<string, string[]>> = {
  "unit tests of the runtime": ["./src/runtime"],
  "unit tests of images": ["./src/image"],
  "unit tests of networks": networkFiles,
  "unit tests of bridges and the firewall": ["./src/network/driver", "./src/network/firewall"],
  "unit tests of ports and names": networkDirectories,
  "unit tests of the rest": [...others, "./ffi", "./build"],
};
