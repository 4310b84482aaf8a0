/** Ending a process with all that it has started, which is not the same as a process group: programs make their own. */
import { SIGKILL, SIGSTOP } from "../../ffi/constants/process.ts";
import type { Fd } from "../../ffi/fd.ts";
import { openProcess, type ProcessStat, pidfd_send_signal, processStat } from "../../ffi/process.ts";

/** A tree that grows faster than it is stopped does not keep its killer for ever. */
const roundsMax = 64;

/**
 * Kills the process and its descendants: by their parents (orphans are its own, if `exec` was told to have it keep them),
 * and by their session, of which it is the leader. They are stopped first, until no new one is found, so that none starts
 * another between the look and the kill.
 * @param among looked at each time: the pids that it may be, those of its container.
 */
export function killTree(root: number, among: () => readonly number[]): void {
  const stopped = new Map<number, Fd>();
  try {
    for (let round = 0; round < roundsMax; round++) {
      const found = treeOf(root, among()).filter(({ pid }) => !stopped.has(pid));
      if (found.length === 0) break;
      for (const process of found) {
        const pidfd = openProcess(process);
        if (pidfd === undefined) continue;
        stopped.set(process.pid, pidfd);
        pidfd_send_signal(pidfd, SIGSTOP);
      }
    }
    for (const pidfd of stopped.values()) pidfd_send_signal(pidfd, SIGKILL);
  } finally {
    for (const pidfd of stopped.values()) pidfd.close();
  }
}

function treeOf(root: number, pids: readonly number[]): ProcessStat[] {
  const living = pids.flatMap((pid) => {
    const stat = processStat(pid);
    return stat === undefined || stat.state === "Z" || stat.state === "X" ? [] : [stat];
  });
  const tree = new Map<number, ProcessStat>();
  for (const stat of living) if (stat.pid === root || stat.session === root) tree.set(stat.pid, stat);
  // A child may stand before its parent: until nothing is added any more.
  for (let before = -1; before !== tree.size; ) {
    before = tree.size;
    for (const stat of living) if (tree.has(stat.parent)) tree.set(stat.pid, stat);
  }
  return [...tree.values()];
}
