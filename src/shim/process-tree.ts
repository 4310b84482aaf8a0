/** A process that exec has added, with all that it has started: found in /proc, and ended together. */
import { SIGHUP, SIGKILL, SIGSTOP } from "../../ffi/constants/process.ts";
import { readdirSync } from "../../ffi/fs.ts";
import { isAlive, openProcess, type ProcessStat, pidfd_send_signal, processStat } from "../../ffi/process.ts";
import type { SupervisedProcess } from "./supervised.ts";

/** A tree that grows faster than it is stopped is killed as far as it was seen. */
const roundsMax = 100;

/**
 * Its members are the processes of its session, for each exec is the leader of one, and their children, whatever session
 * those have made for themselves. What has let itself be orphaned in a session of its own, as daemons do, is no member,
 * unless the leader keeps orphans (ExecOptions).
 */
export class ProcessTree {
  readonly #root: ProcessStat;
  readonly #members = new Map<number, ProcessStat>();

  /** @param root the leader; it may have ended, but not yet been reaped. */
  constructor(root: ProcessStat) {
    this.#root = root;
    this.#members.set(root.pid, root);
  }

  get isEmpty(): boolean {
    this.#look();
    return this.#members.size === 0;
  }

  /** Tells all of them that whoever they worked for is gone, signal(7): most end by it. */
  hangUp(): void {
    this.#look();
    for (const member of this.#members.values()) send(member, SIGHUP);
  }

  /** Ends all of them, those that are started meanwhile too: they are stopped first, so that none gets away. */
  kill(): void {
    this.#look();
    let found = [...this.#members.values()];
    for (let round = 0; found.length > 0 && round < roundsMax; round++) {
      // A fork(2) that is under way when this comes is taken back.
      for (const member of found) send(member, SIGSTOP);
      found = this.#look();
    }
    for (const member of this.#members.values()) send(member, SIGKILL);
  }

  /** Forgets those that have ended. @returns those that were not known. */
  #look(): ProcessStat[] {
    for (const member of [...this.#members.values()]) if (!isAlive(member)) this.#members.delete(member.pid);
    // The number of a session is nobody else's as long as it has a member.
    const hasSession = [...this.#members.values()].some(({ session }) => session === this.#root.pid);
    const found: ProcessStat[] = [];
    const all = processes();
    for (let more = true; more; ) {
      more = false;
      for (const each of all) {
        const isMember = (hasSession && each.session === this.#root.pid) || this.#members.has(each.parent);
        if (!isMember || this.#members.has(each.pid)) continue;
        this.#members.set(each.pid, each);
        found.push(each);
        more = true;
      }
    }
    return found;
  }
}

/** Resolves when none is left, but for those that only the kernel keeps. */
export async function endTree(exec: SupervisedProcess, graceMs: number): Promise<void> {
  const root = exec.running && exec.started !== undefined ? processStat(exec.started.pid) : undefined;
  if (root === undefined) return;
  const tree = new ProcessTree(root);
  if (graceMs > 0) {
    const untilMs = performance.now() + graceMs;
    tree.hangUp();
    await Promise.race([exec.ended, Bun.sleep(graceMs)]);
    if (tree.isEmpty) return;
    await Bun.sleep(Math.max(0, untilMs - performance.now()));
  }
  tree.kill();
  await exec.ended;
}

/** All of the host's that have not ended. */
function processes(): ProcessStat[] {
  const numbers = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const found = numbers.map((name) => processStat(Number(name)));
  return found.filter((stat) => stat !== undefined).filter(({ state }) => state !== "Z" && state !== "X");
}

function send(member: ProcessStat, signal: number): void {
  using pidfd = openProcess(member);
  if (pidfd !== undefined) pidfd_send_signal(pidfd, signal);
}
