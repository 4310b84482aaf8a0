/** A program that has a machine to itself, as far as namespaces go: whatever it finds besides itself it has made. */
import { dirname } from "node:path";
import { projectRoot } from "../../build/pinned.ts";
import { type CommandResult, command } from "./command.ts";
import { tsd } from "./workspace.ts";

/**
 * Runs a program of the project with process ids, mounts, IPC and a network of its own, below a first process that
 * reaps orphans. /tmp, /var/tmp, /run and /dev/shm are empty, /run/mqueue shows the POSIX message queues, and mounts
 * are shared, as on a host with systemd. Cgroups and keyrings are the host's.
 * @param argv of `bun`: the program's path, and its arguments.
 */
export function runIsolated(argv: string[], timeoutMs: number): Promise<CommandResult> {
  const unshare = ["unshare", "--pid", "--mount", "--ipc", "--net", "--fork", "--kill-child", "--mount-proc"];
  const hidden = [...new Set([projectRoot, dirname(tsd), dirname(process.execPath)])].filter((path) =>
    /^\/(var\/)?tmp\//.test(path),
  );
  const words = [String(hidden.length), ...hidden, process.execPath, ...argv];
  return command([...unshare, "--propagation", "private", "bash", "-c", script, "bash", ...words], { timeoutMs });
}

/** Bash reaps every child that it has or gets, while it waits for one. */
const script = `set -eu
mount -t tmpfs tmpfs /run
kept=("\${@:2:$1}")
shift $(($1 + 1))
for index in "\${!kept[@]}"; do mkdir "/run/kept-$index"; mount --rbind "\${kept[index]}" "/run/kept-$index"; done
for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$place"; done
for index in "\${!kept[@]}"; do
  mkdir -p "\${kept[index]}"; mount --move "/run/kept-$index" "\${kept[index]}"; rmdir "/run/kept-$index"
done
mkdir /run/mqueue
mount -t mqueue mqueue /run/mqueue
ip link set lo up
mount --make-rshared /
"$@" & wait $!
`;
