import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeReport } from "./failure-report.ts";
import { createContainerDirectory } from "./store.ts";

let above: string;
let root: string;
beforeEach(() => {
  above = join(mkdtempSync("/var/tmp/tsd-state-root-"), "tsd");
  root = join(above, "runtime");
});
afterEach(() => rmSync(join(above, ".."), { recursive: true }));

const makers: [what: string, make: () => void][] = [
  ["a container", () => createContainerDirectory(root, "c1")[Symbol.dispose]()],
  ["the report of a failure", () => void writeReport(root, { verb: "create", container: "c1" } as never)],
];

test.each(makers)(
  "the state root that comes with %s is root's alone, and everybody may pass what is above",
  (_, make) => {
    make();
    expect([above, root].map((path) => (statSync(path).mode & 0o777).toString(8))).toEqual(["711", "700"]);
  },
);
