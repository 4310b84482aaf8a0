import { expect, test } from "bun:test";
import { processStat } from "../../ffi/process.ts";
import { killTree } from "./process-tree.ts";

/** Every process that is there. */
function all(): number[] {
  const found = new Bun.Glob("[0-9]*").scanSync({ cwd: "/proc", onlyFiles: false });
  return [...found].map(Number);
}

test("a process is killed with its children, its session and those that come meanwhile, and nobody else", async () => {
  const script = `sleep 1000 & echo $!; sh -c 'sleep 1000 & echo $!'; while :; do sleep 1000 & sleep 0.001; done`;
  const tree = Bun.spawn(["setsid", "sh", "-c", script], { stdout: "pipe" });
  const other = Bun.spawn(["sleep", "1000"]);
  try {
    const reader = tree.stdout.getReader();
    let said = "";
    while (said.split("\n").length < 3) said += Buffer.from((await reader.read()).value!).toString();
    const [child, orphan] = said.split("\n").map(Number);
    expect(processStat(child!)!.parent).toBe(tree.pid);
    expect(processStat(orphan!)!.parent).not.toBe(tree.pid);
    killTree(tree.pid, all);
    await tree.exited;
    const living = all().filter((pid) => {
      const stat = processStat(pid);
      return stat !== undefined && stat.session === tree.pid && stat.state !== "Z";
    });
    expect(living).toEqual([]);
    expect(processStat(other.pid)!.state).not.toBe("T");
  } finally {
    other.kill();
    await other.exited;
  }
});
