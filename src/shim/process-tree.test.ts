import { expect, test } from "bun:test";
import { readTextIfThere } from "../../ffi/fs.ts";
import { isAlive, type ProcessStat, processStat } from "../../ffi/process.ts";
import { ProcessTree } from "./process-tree.ts";

/** The pids that the script has written to its output, one a line. */
async function family(script: string, count: number): Promise<{ root: ProcessStat; members: ProcessStat[] }> {
  const child = Bun.spawn(["sh", "-c", script], { stdout: "pipe", detached: true });
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.split("\n").length > count) break;
  }
  const [root, ...members] = text
    .trim()
    .split("\n")
    .map((pid) => processStat(Number(pid))!);
  return { root: root!, members };
}

/** It has become sleep for that long. */
function isProgram(pid: number, duration: string): boolean {
  return readTextIfThere(`/proc/${pid}/cmdline`) === `sleep\0${duration}\0`;
}

function gone(processes: readonly ProcessStat[]): boolean {
  return processes.every((each) => !isAlive(each));
}

test("a tree is killed with what has made itself a session, but not with what has let itself be orphaned in one", async () => {
  const script = `echo $$; sleep 1001 & echo $!; setsid sh -c 'sleep 1002 & echo $!; wait' & echo $!
    setsid sh -c '(setsid sleep 1003 & echo $!); sleep 0' & wait $!; wait`;
  const { root, members } = await family(script, 5);
  const orphan = () => members.find(({ pid }) => isProgram(pid, "1003") && !isParent(processStat(pid)?.parent));
  const isParent = (pid: number | undefined) => readTextIfThere(`/proc/${pid}/cmdline`)?.includes("1003") === true;
  while (orphan() === undefined) await Bun.sleep(1);
  const daemon = orphan()!;
  try {
    const others = members.filter(({ pid }) => pid !== daemon.pid);
    const tree = new ProcessTree(root);
    expect(tree.isEmpty).toBe(false);
    tree.kill();
    // Also of those that said no number.
    while (!tree.isEmpty) await Bun.sleep(1);
    expect(gone([root, ...others])).toBe(true);
    expect(isAlive(daemon)).toBe(true);
  } finally {
    process.kill(daemon.pid, "SIGKILL");
  }
});

test("a tree that does not heed SIGHUP is still known when its first process has", async () => {
  const { root, members } = await family("echo $$; (trap '' HUP; exec sleep 1004) & echo $!; wait", 2);
  const tree = new ProcessTree(root);
  while (!isProgram(members[0]!.pid, "1004")) await Bun.sleep(1);
  tree.hangUp();
  while (!gone([root])) await Bun.sleep(1);
  expect(tree.isEmpty).toBe(false);
  tree.kill();
  while (!gone(members)) await Bun.sleep(1);
  expect(tree.isEmpty).toBe(true);
});
