import { EngineError } from "../core/errors.ts";
import { containerCgroup } from "./container-cgroup.ts";
import { readRecord } from "./store.ts";

/** The processes of a container by the host's numbers; none when it has stopped. @throws EngineError not_found. */
export function containerProcesses(root: string, id: string): number[] {
  const cgroup = containerCgroup(readRecord(root, id));
  if (cgroup === undefined) {
    throw new EngineError("unsupported", `container ${id} has no cgroup of its own that would list its processes`);
  }
  return cgroup.pids();
}

/**
 * Runs the host's ps(1) and keeps the heading and the lines of some processes.
 * @param args for ps.
 * @throws EngineError with what ps said, or when its output has no column of pids.
 */
export function filteredPs(args: readonly string[], pids: readonly number[]): string[] {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["ps", ...args], { stdin: "ignore" });
  if (exitCode !== 0) {
    throw new EngineError(
      "invalid_argument",
      `ps ${args.join(" ")}: exit status ${exitCode}: ${stderr}${stdout}`.trim(),
    );
  }
  return linesOf(stdout.toString(), pids);
}

/** The heading, and the lines whose number below the heading PID is one of `pids`. */
export function linesOf(output: string, pids: readonly number[]): string[] {
  const [heading = "", ...lines] = output.split("\n");
  const words = (line: string): string[] => line.trim().split(/\s+/);
  const column = words(heading).indexOf("PID");
  if (column < 0) throw new EngineError("invalid_argument", "couldn't find PID field in ps output");
  const wanted = new Set(pids);
  const kept = lines.filter((line) => {
    if (line.trim() === "") return false;
    const word = words(line)[column] ?? "";
    if (/^\d+$/.test(word)) return wanted.has(Number(word));
    const message = `no pid in the ${column + 1}. column of what ps printed: ${JSON.stringify(line)}`;
    throw new EngineError("invalid_argument", message, { hint: "put the column pid first: -o pid,…" });
  });
  return [heading, ...kept];
}
