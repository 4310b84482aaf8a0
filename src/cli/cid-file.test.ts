import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directory = mkdtempSync(join(tmpdir(), "tsd-cid-"));
const path = join(directory, "cid");

/** A process that has the file, does `then`, and waits for its end. */
async function ended(then: string, signal: NodeJS.Signals) {
  const script = `
    const { ContainerIdFile } = await import(${JSON.stringify(join(import.meta.dir, "cid-file.ts"))});
    using file = new ContainerIdFile(${JSON.stringify(path)});
    ${then};
    console.log("ready");
    await new Promise((resolve) => setTimeout(resolve, 60_000));`;
  await using child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  for await (const _ of child.stdout) child.kill(signal);
  await child.exited;
  return child.signalCode;
}

test("An ID file goes with a process that is ended before there is a container, and stays with one", async () => {
  expect(await ended("", "SIGINT")).toBe("SIGINT");
  expect(existsSync(path)).toBe(false);
  expect(await ended('file.write("abc")', "SIGTERM")).toBe("SIGTERM");
  expect(readFileSync(path, "utf8")).toBe("abc");
  rmSync(directory, { recursive: true });
});
